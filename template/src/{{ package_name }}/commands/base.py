# The template's: updates improve this file and keep your edits.
"""What every command takes, and how a step of the work ends.

Whatever needs torch is imported inside the command that needs it, so that `--help` and a misspelt
setting don't wait for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import FlagCreatePairsOff, arg

from ..config import Config
from ..errors import NAME
from .ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """One command. Calling it runs it and gives the exit code."""

    number: ClassVar[int] = 0
    """Of the step of the work; 0 for what only looks."""
    usual: ClassVar[str] = ""
    """The step as it is usually run: what follows the project's name on the command line."""
    code: ClassVar[tuple[str, ...]] = ()
    """Files and folders of the package that decide whether the step passes."""
    table: ClassVar[str] = ""
    """The table of a config file that is the command's own, and no setting of a run."""

    debug: FlagCreatePairsOff[bool] = False
    """Everything said, and two batches at most, trained and evaluated, in a run that is scratch."""

    @abstractmethod
    def __call__(self) -> int:
        """Gives 0 if the step passed, 1 if it failed."""


@dataclass(frozen=True, kw_only=True)
class Step(Command):
    """A command that goes by the settings."""

    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """TOML file with the settings that differ from the defaults."""
    settings: Annotated[Config, arg(name="")] = field(default_factory=Config)

    def conclude(
        self,
        passed: bool,
        said: str,
        *,
        where: Path | str,
        data: str,
        then: str = "",
        noted: bool = True,
    ) -> int:
        """End a step: say what it found and where that lies, note it, say what is next.

        Args:
            passed: whether the step counts as done.
            said: what was found, in a line.
            where: the result lies.
            data: the digest of the records.
            then: the command to run next, where it isn't the usual one.
            noted: whether it counts for `status`.

        Returns:
            The exit code.
        """
        print(f"{'Passed' if passed else 'Failed'}: {said}")
        print(f"The result: {where}")
        if noted and not self.debug:  # which proves that it runs, and nothing else
            Ledger().note(self, passed=passed, said=said, where=str(where), data=data)
        if passed:
            print(f"Next: {NAME} {then or following(self)}")
        return 0 if passed else 1


def following(command: Command) -> str:
    """What comes after a step; after the last one, a look at all of them."""
    from . import COMMANDS

    steps = [kind for kind in COMMANDS.values() if kind.number]
    later = steps[steps.index(type(command)) + 1 :]
    return later[0].usual if later else "status"
