"""What `ml-architect review --run` finds by training; only generated projects can be asked to."""

from __future__ import annotations

from .findings import Category, Rule, Stage

REPEATS = Rule(
    id="ML501",
    title="The same seed gives another loss",
    category=Category.NOT_REPEATABLE,
    stage=Stage.EXPLORATION,
    why="A result that can't be repeated can't be compared with the next one.",
    source="https://docs.pytorch.org/docs/stable/notes/randomness.html",
    fix="Draw from a generator that is seeded from the settings: shuffling, weights, transforms.",
    verify="ml-architect review --run",
    bad="",
    good="",
    lines_to_fix=5,
)
RESUMES = Rule(
    id="ML502",
    title="A run that is killed and resumed ends with other metrics",
    category=Category.LOST_WORK,
    stage=Stage.EXPLORATION,
    why="Part of the state isn't saved or isn't restored, so each kill changes the experiment.",
    source="https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html",
    fix="Save and restore the optimizer, the schedule, all generators and the position in the "
    "data, together with the model.",
    verify="ml-architect review --run",
    bad="",
    good="",
    lines_to_fix=10,
)
LEAKS = Rule(
    id="ML503",
    title="Memory or open files grow with each step",
    category=Category.MEMORY_AND_SPEED,
    stage=Stage.EXPLORATION,
    why="A long run then ends when the memory or the number of files is exhausted.",
    source="https://docs.pytorch.org/docs/stable/notes/faq.html",
    fix="Keep numbers instead of tensors, for example loss.item(), and open files in `with`.",
    verify="ml-architect review --run",
    bad="",
    good="",
    lines_to_fix=3,
)
TYPES = Rule(
    id="ML504",
    title="Types contradict the code",
    category=Category.HYGIENE,
    stage=Stage.PRODUCTION,
    why="A type hint that is wrong misleads its readers, people and editors alike.",
    source="https://microsoft.github.io/pyright/",
    fix="Correct the hint, or the code.",
    verify="pyright",
    bad="",
    good="",
    lines_to_fix=5,
)
RULES = (REPEATS, RESUMES, LEAKS, TYPES)
