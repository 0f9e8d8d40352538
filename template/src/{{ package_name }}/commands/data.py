# The template's: updates improve this file and keep your edits.
"""Step 2: check the data before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import NAME
from .base import Command, report_result

SHOWN = 20  # classes in the table, and warnings of a kind


@dataclass(frozen=True, kw_only=True)
class Validate(Command):
    """Step 2. Check every example against the schema, and the splits for leaks."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..data import cache
        from ..data.examples import FILE
        from ..protocols import SPLITS

        config = self.settings.data
        findings, classes = cache.validate(config), cache.schema(config).classes
        table = Table("", *SPLITS, box=None)
        table.add_row("examples", *(str(findings.sizes[split]) for split in SPLITS))
        for label, name in enumerate(classes[:SHOWN]):
            counts = (str(findings.labels[split, label]) for split in SPLITS)
            table.add_row(f"class {escape(name)}", *counts)
        Console().print(table)

        for kind in Counter(remark.kind for remark in findings.remarks):
            lines = [str(remark) for remark in findings.remarks if remark.kind == kind]
            print(f"Warning, {kind}:", *lines[:SHOWN], sep="\n  ")
            if len(lines) > SHOWN:
                print(f"  and {len(lines) - SHOWN} more")

        findings.raise_problems()
        folder = cache.prepare(config)
        print(f"Examples: {folder / FILE}; to plot them: ml-architect report data {folder}")
        summary = f"{findings.sizes.total()} examples fit the schema, and no split leaks"
        return report_result(True, summary, output=folder, next_command=f"{NAME} features")
