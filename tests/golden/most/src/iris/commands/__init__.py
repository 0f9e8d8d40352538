# The template's: updates improve this file and keep your edits.
"""The commands, in the order of the work."""

from .base import Command
from .data import Explore, Validate
from .features import Features
from .runs import Plot, Runs, Status
from .training import Evaluate, Overfit, Train

COMMANDS: dict[str, type[Command]] = {
    "explore": Explore,
    "validate": Validate,
    "features": Features,
    "overfit": Overfit,
    "train": Train,
    "evaluate": Evaluate,
    "status": Status,
    "runs": Runs,
    "plot": Plot,
}
