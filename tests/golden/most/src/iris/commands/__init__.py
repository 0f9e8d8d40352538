# The template's: updates improve this file and keep your edits.
"""The commands, in the order of the work."""

from .base import Command
from .data import Explore, Validate
from .features import Features
from .runs import Plot, Runs, Status
from .studies import Ablate, Scale, Tune
from .training import Evaluate, Overfit, Train

COMMANDS: dict[str, type[Command]] = {
    "explore": Explore,
    "validate": Validate,
    "features": Features,
    "overfit": Overfit,
    "scale": Scale,
    "tune": Tune,
    "ablate": Ablate,
    "train": Train,
    "evaluate": Evaluate,
    "status": Status,
    "runs": Runs,
    "plot": Plot,
}
