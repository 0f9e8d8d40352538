# The template's: updates improve this file and keep your edits.
"""Records that are nearly equal, found without comparing each with each.

A record is boiled down to a sketch: k numbers, most of which two records share if they are nearly
equal. Only records that share one of the first few are compared.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from ..protocols import Array, Split

BITS = 16  # of a band of `signs`
BANDS = 8
CANDIDATES = 8  # compared at most: where half of the data is one blank page, that is enough


class NearDuplicates:
    """Remembers the sketches of the records so far."""

    def __init__(self) -> None:
        self._records: list[tuple[str, Split, Array]] = []
        self._sharing: dict[tuple[int, int], list[int]] = {}

    def find(self, record: str, split: Split, sketch: Array) -> tuple[str, Split] | None:
        """An earlier record that is nearly this one, if there is any, with its split.

        One eighth of the two sketches, (k,), may differ. So one of any k / 8 + 1 numbers is shared,
        and looking for those finds every such record.
        """
        allowed = len(sketch) // 8
        places = [(at, int(sketch[at])) for at in range(allowed + 1)]
        found = None
        for other in {other for place in places for other in self._sharing.get(place, ())}:
            name, others_split, others = self._records[other]
            same_kind = len(others) == len(sketch)
            if same_kind and np.count_nonzero(others != sketch) <= allowed:
                found = (name, others_split)
                if others_split != split:
                    break
        for place in places:
            sharing = self._sharing.setdefault(place, [])
            if len(sharing) < CANDIDATES:
                sharing.append(len(self._records))
        self._records.append((record, split, sketch))
        return found


def digits(inputs: Array) -> Array:
    """Of a few numbers: their first three digits. Shape (1,)."""
    rounded = ",".join(f"{value:.3g}" for value in inputs.ravel().tolist())
    digest = hashlib.blake2b(rounded.encode(), digest_size=8).digest()
    return np.frombuffer(digest, dtype=np.uint64)


def signs(inputs: Array) -> Array:
    """Of many numbers: on which side of 128 random planes they lie, in 8 bands of 16. Shape (8,).

    Each differs with a probability in proportion to the angle between two records, which ignores
    brightness and contrast. Source: SimHash (https://doi.org/10.1145/509907.509965).
    """
    values = np.nan_to_num(inputs.astype(np.float32).ravel())
    if values.size > 1024:  # an average of neighbours says enough
        values = values[: values.size // 1024 * 1024].reshape(1024, -1).mean(axis=1)
    sides = _planes(values.size) @ (values - values.mean()) > 0
    return sides.reshape(BANDS, BITS) @ (1 << np.arange(BITS, dtype=np.uint64))


@cache
def _planes(size: int) -> Array:
    random = np.random.Generator(np.random.Philox(0))
    return random.standard_normal((BANDS * BITS, size), dtype=np.float32)
