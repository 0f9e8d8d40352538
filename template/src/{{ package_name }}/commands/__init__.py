# The template's: updates improve this file and keep your edits.
"""The commands, in the order in which they are used."""

from .base import Command
from .data import Validate
from .features import Features
from .training import Evaluate, Overfit, Train

COMMANDS: dict[str, type[Command]] = {
    "validate": Validate,
    "features": Features,
    "overfit": Overfit,
    "train": Train,
    "evaluate": Evaluate,
}
