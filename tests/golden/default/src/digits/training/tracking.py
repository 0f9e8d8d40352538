# The template's: updates improve this file and keep your edits.
"""The chosen tracker as a guest of the run: whatever goes wrong with it, training goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from ..config import Config, to_dict
from ..protocols import History, Metrics, Tracker
from .run import Run
from .tracker import open_tracker


class Tracking:
    """Passes everything on until the tracker fails for the first time; says so, then is silent.

    Nothing is lost by that: `metrics.jsonl` is written whatever happens here, and a resumed run
    gives the tracker what it lacks. A scratch run isn't worth a place in a tracker.
    """

    def __init__(
        self, run: Run, config: Config, history: History, say: Callable[[str], None]
    ) -> None:
        self._say = say
        self._tracker: Tracker | None = None
        recorded = run.read_provenance()
        if recorded["scratch"]:
            return
        try:
            step = history[-1][0] if history else 0
            self._tracker = open_tracker(run, to_dict(config), step)
        except Exception as error:
            self._give_up(error)
        if self._tracker is not None and recorded.get("tracker") != self._tracker.id:
            run.write_provenance(recorded | {"tracker": self._tracker.id})
        for step, metrics in history:
            self.log(step, metrics)
        self._ask(lambda tracker: tracker.artifact(run.config))
        self._ask(lambda tracker: tracker.artifact(run.provenance))

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`."""
        self._ask(lambda tracker: tracker.log(step, metrics))

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`."""
        self._ask(lambda tracker: tracker.close(status))

    def _ask(self, request: Callable[[Tracker], None]) -> None:
        if self._tracker is not None:
            try:
                request(self._tracker)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        failed, self._tracker = self._tracker, None
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        self._say(
            f"The tracker failed ({reason}). Training goes on, metrics.jsonl has every line, "
            "and resuming the run sends what is missing"
        )
        if failed is not None:
            with suppress(Exception):  # or the next run of this process would get its values
                failed.close("interrupted")
