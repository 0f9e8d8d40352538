# The template's: updates improve this file and keep your edits.
"""Step 3: check the transforms and the augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import NAME
from .base import Command, report_result

PLOT = Path("runs/features.png")


@dataclass(frozen=True, kw_only=True)
class Features(Command):
    """Step 3. Check each transform on a sample, and plot examples before and after."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..features.check import check
        from ..features.picture import picture
        from ..training.loop import load_split

        checked = check(self.settings, load_split(self.settings, "train"))
        print(*checked.promises, sep="\n")
        PLOT.parent.mkdir(parents=True, exist_ok=True)
        picture(checked).savefig(PLOT, dpi=120)
        summary = f"all checks of the transforms on {len(checked.raw)} examples; look at the plot"
        if not checked.passed:
            summary = "fix the transform in features/transforms.py, or what KEEPS states about it"
        next_command = f"{NAME} overfit --config configs/overfit.toml"
        return report_result(checked.passed, summary, output=PLOT, next_command=next_command)
