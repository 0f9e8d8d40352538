# The template's: updates improve this file and keep your edits.
"""Step 3: features and augmentation, each transform held to its word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .base import Step

PICTURE = Path("runs/features.png")


@dataclass(frozen=True, kw_only=True)
class Features(Step):
    """Step 3. Hold each transform to its word, on a sample, and draw what it does."""

    number = 3
    usual = "features"
    code = ("data", "features")

    def __call__(self) -> int:
        """See `Command`."""
        from ..data.cache import digest
        from ..features.check import check
        from ..features.picture import picture
        from ..training.loop import records

        training = records(self.settings, "train")
        checked = check(self.settings, training)
        print(*checked.promises, sep="\n")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        picture(checked).savefig(PICTURE, dpi=120)
        said = f"each transform keeps its word on {len(checked.raw)} records; look at the picture."
        if not checked.passed:
            said = "mend the transform in features/transforms.py, or what KEEPS says of it."
        return self.conclude(checked.passed, said, where=PICTURE, data=digest(training.folder))
