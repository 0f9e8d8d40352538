# The template's: updates improve this file and keep your edits.
"""What every command takes, and how it reports its result.

Whatever needs torch is imported inside the command that needs it, so that `--help` and a misspelt
setting don't wait for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from ..config import Config


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """One command. Calling it runs it and returns the exit code."""

    debug: FlagCreatePairsOff[bool] = False
    """Verbose, on two batches at most, in a throwaway run."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """TOML file with the settings that differ from the defaults."""
    settings: Annotated[Config, arg(name="")] = field(default_factory=Config)

    @abstractmethod
    def __call__(self) -> int:
        """Return 0 if it passed, 1 if it failed."""


def report_result(passed: bool, summary: str, *, output: Path | str, next_command: str) -> int:
    """Print what a command found, where the result is and what to run next.

    Returns:
        The exit code.
    """
    print(f"{'Passed' if passed else 'Failed'}: {summary}")
    print(f"Result: {output}")
    if passed:
        print(f"Next: {next_command}")
    return 0 if passed else 1
