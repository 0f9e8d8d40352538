"""All answers together: validated across questions, and what follows from them.

Nothing is rendered before every answer has been looked at beside the others; what doesn't fit is
said in one message that lists every problem and its way out. Self-contained for the reason given in
`catalogue.py`; the catalogue of this version is handed over by the Jinja environment.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import yaml
from copier.errors import UserMessageError
from copier_template_extensions import ContextHook
from jinja2 import Environment
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

PYTHON_VERSIONS = ("3.11", "3.12", "3.13", "3.14")

RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "src", "tests", "data", "runs", "scripts", "docs"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)
"""Names of devices on Windows, and of folders beside the package."""


def title(folder: str) -> str:
    """A folder's name as the name of a project: always legal, whatever the folder is called."""
    words = "".join(" " if _is_control(letter) or letter in "-_" else letter for letter in folder)
    return " ".join(words.title().split())[:60].strip() or "Project"


def slug(name: str, modules: frozenset[str] = frozenset()) -> str:
    """A project's name as the name of its package: always legal, whatever the name."""
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not words:
        return "project"
    if words[0].isdigit():
        words = f"project_{words}"
    words = words[:40].rstrip("_")
    return f"{words}_project" if _shadowed(words, modules) else words


def _shadowed(name: str, modules: frozenset[str]) -> str | None:
    """Why a package can't have this name, if it can't."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a keyword of Python"
    if name in sys.stdlib_module_names or name == "test":
        return "would be shadowed by Python's own module of that name"
    if name in modules:
        return "would be shadowed by a package that the project uses"
    if name in RESERVED:
        return "is the name of a folder or of a device"
    return None


def _is_control(letter: str) -> bool:
    """Whether a character breaks lines or steers a terminal; joiners and emoji don't."""
    return unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"}


def _one_line(text: str) -> str:
    if any(_is_control(letter) for letter in text):
        raise ValueError("has a line break or a control character: write it on one line")
    if text != text.strip():
        raise ValueError("begins or ends with a space: remove it")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty: give it at least one letter")
    return text


def _no_longer_than(most: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > most:
            raise ValueError(f"has {len(text)} characters: at most {most} fit")
        return text

    return AfterValidator(check)


def _package(name: str) -> str:
    if not re.match(r"^[a-z][a-z0-9_]*\Z", name):
        raise ValueError(
            f"isn't a legal package: lower-case letters, digits and _, a letter first, "
            f"such as {slug(name)!r}"
        )
    return name


def _email(address: str) -> str:
    if address and not re.match(r"^[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\"]+\Z", address):
        raise ValueError("isn't an e-mail address: write name@host.example, or leave it empty")
    return address


def _python(version: str) -> str:
    if version not in PYTHON_VERSIONS:
        raise ValueError(f"isn't supported: choose {', '.join(PYTHON_VERSIONS)}")
    return version


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError("isn't a day: write it as 2026-11-24")


def _path(path: str) -> str:
    parts = path.split("/")
    if not path or path != path.strip() or any(_is_control(letter) for letter in path):
        raise ValueError("isn't a path: write it as git does, such as src/digits/cli.py")
    if any(letter in path for letter in "*?[!"):
        raise ValueError("has a wildcard: name a file or a folder")
    if "\\" in path or ":" in path or any(part in {"", ".", "..", ".git"} for part in parts):
        raise ValueError("isn't inside the project: write it from the project's root, with /")
    return path


def _list(paths: Any) -> Any:
    if not isinstance(paths, (list, tuple)):
        raise ValueError("isn't a list: write it as [src/digits/cli.py]")
    return paths  # pyright: ignore[reportUnknownVariableType] - what is in it is looked at next


Text = Annotated[str, AfterValidator(_one_line), _no_longer_than(200)]
Name = Annotated[str, AfterValidator(_not_empty), AfterValidator(_one_line), _no_longer_than(60)]
Package = Annotated[str, AfterValidator(_package), _no_longer_than(40)]
ProjectPath = Annotated[str, AfterValidator(_path)]
Email = Annotated[str, AfterValidator(_email), _no_longer_than(200)]


class Blueprint(BaseModel):
    """A project's answers, none of which contradicts another.

    Validation needs the catalogue: `Blueprint.model_validate(answers, context={"catalogue": …})`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    project_name: Name
    package_name: Package
    description: Text
    author_name: Text
    author_email: Email
    stage: str
    starter: str
    config: str
    tracker: str
    checkpoint: str
    checkpoint_writer: str
    python_version: Annotated[str, AfterValidator(_python)]
    license: str
    started: Annotated[str, AfterValidator(_day)]
    yours: Annotated[tuple[ProjectPath, ...], BeforeValidator(_list)] = ()

    @field_validator("package_name")
    @classmethod
    def _shadows_nothing(cls, name: str, info: ValidationInfo) -> str:
        if reason := _shadowed(name, _catalogue(info).modules):
            raise ValueError(f"{reason}: choose another, such as '{name}_project'")
        return name

    @field_validator(
        "stage", "starter", "config", "tracker", "checkpoint", "checkpoint_writer", "license"
    )
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        """An option of its question that goes with every earlier answer."""
        assert info.field_name is not None
        catalogue = _catalogue(info)
        question = catalogue.question(info.field_name)
        if value not in question.values:
            raise ValueError(f"is no option: choose {', '.join(question.values)}")
        for other, reason in _conflicts(catalogue, question.name, value, info.data):
            raise ValueError(f"doesn't go with {other}: {reason}")
        return value


def _catalogue(info: ValidationInfo) -> Any:
    assert info.context is not None, "see Blueprint"
    return info.context["catalogue"]


def _conflicts(
    catalogue: Any, question: str, value: str, earlier: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Earlier answers that this one can't stand beside, whichever of the two states it."""
    found: list[tuple[str, str]] = []
    mine = catalogue.question(question).option(value).conflicts
    for other in catalogue.questions:
        if other.name not in earlier:
            continue
        answer = earlier[other.name]
        theirs = other.option(answer).conflicts
        reason = mine.get(other.name, {}).get(answer) or theirs.get(question, {}).get(value)
        if reason:
            found.append((f"{other.name} {answer!r}", reason))
    return found


def validate(answers: Mapping[str, Any], catalogue: Any) -> Blueprint:
    """All answers as one blueprint.

    Raises UserMessageError, listing every problem, where they don't fit together.
    """
    try:
        return Blueprint.model_validate(dict(answers), context={"catalogue": catalogue})
    except ValidationError as error:
        raise UserMessageError(_message(error.errors(include_url=False))) from None


def require_room(conf: Mapping[str, Any]) -> None:
    """Refuse a destination with files in it, which Copier would write half over before it asks.

    Raises UserMessageError. A repository without a commit is room enough.
    """
    folder = Path(conf["dst_path"])
    if conf["overwrite"] or not folder.is_dir():
        return
    present = sorted(path.name for path in folder.iterdir() if path.name != ".git")
    if present:
        more = f" and {len(present) - 3} more" if len(present) > 3 else ""
        raise UserMessageError(
            f"Nothing was written, because {folder} isn't empty: {', '.join(present[:3])}{more}. "
            "Name another folder, or insist with --overwrite"
        )


def require_same_start(conf: Mapping[str, Any], answers: Mapping[str, Any], catalogue: Any) -> None:
    """Refuse to change in a living project what its owner's files were written for.

    Raises UserMessageError. An update never touches those files, so that they would no longer fit.
    """
    recorded = Path(conf["dst_path"]) / conf["answers_file"]
    if not recorded.is_file():
        return  # a folder in which Copier compares two versions
    before: Any = yaml.safe_load(recorded.read_text(encoding="utf-8"))
    fixed = ["package_name", *(each.name for each in catalogue.questions if not each.can_change)]
    for name in fixed:
        if name in before and (old := before[name]) != answers.get(name, old):
            raise UserMessageError(
                f"Nothing was changed, because {name} stays {old!r} in a living project: your own "
                f"files were written for it. For {answers[name]!r} start another project"
            )


def require_given_fits(conf: Mapping[str, Any], catalogue: Any) -> None:
    """Refuse what was given on the command line before a migration rewrites recorded answers.

    Raises UserMessageError. What is answered at a prompt is looked at later, by the hook.
    """
    typed = {name: value for name, value in conf["data"].items() if name != "yours"}  # no text
    given = {name: str(value) for name, value in typed.items()}
    recorded = Path(conf["dst_path"]) / conf["answers_file"]
    answers: dict[str, Any] = yaml.safe_load(recorded.read_text(encoding="utf-8")) | given
    require_same_start(conf, answers, catalogue)
    try:
        Blueprint.model_validate(answers, context={"catalogue": catalogue})
    except ValidationError as error:  # of recorded answers too, which a migration may yet mend
        problems = [each for each in error.errors(include_url=False) if each["loc"][0] in given]
        if problems:
            raise UserMessageError(_message(problems)) from None


def _message(problems: Sequence[Any]) -> str:
    said: list[str] = []
    for problem in problems:
        name = ".".join(str(part) for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        given = "" if problem["type"] == "missing" else f" {problem['input']!r}"
        said.append(f"{name}{given} {text}")
    if len(said) == 1:
        return f"Nothing was written, because {said[0]}"
    return "\n  - ".join(["Nothing was written, because these answers don't fit:", *said])


def complaint(question: str, value: Any, conf: Mapping[str, Any], catalogue: Any) -> str:
    """What is wrong with one typed answer; empty if nothing is.

    Says nothing about answers that weren't typed: Copier would show those as a traceback, and
    `validate` refuses them in one message.
    """
    if conf["defaults"] or question in conf["data"]:
        return ""
    field = Blueprint.model_fields[question]
    checks: Sequence[Any] = field.metadata
    adapter = TypeAdapter(Annotated[(str, *checks)])  # pyright: ignore[reportInvalidTypeForm]
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return f"{value!r} {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    if question == "package_name" and (reason := _shadowed(value, catalogue.modules)):
        return f"{value!r} {reason}: choose another, such as '{value}_project'"
    return ""


class Project:
    """What the templates ask of a blueprint: the chosen options and all that they bring along."""

    def __init__(self, blueprint: Blueprint, catalogue: Any) -> None:
        self._catalogue = catalogue
        self._options = catalogue.chosen(blueprint.model_dump())
        self.blueprint = blueprint

    @property
    def decisions(self) -> list[tuple[Any, Any]]:
        """Each question with the option that was chosen."""
        return list(zip(self._catalogue.questions, self._options, strict=True))

    @property
    def requirements(self) -> list[Any]:
        """What the project depends on, by name."""
        stated = {each.name: each for each in self._catalogue.requirements}
        for option in self._options:
            stated.update({each.name: each for each in option.requirements})
        return [stated[name] for name in sorted(stated)]

    @property
    def development(self) -> list[Any]:
        """What the project's own checks need; rules for imports come after exploration."""
        exploring = self.blueprint.stage == "exploration"
        return [
            each
            for each in self._catalogue.development
            if not (exploring and each.name == "import-linter")
        ]

    @property
    def sections(self) -> list[Any]:
        """The sections of the config."""
        return list(self._catalogue.sections)

    @property
    def parts(self) -> dict[str, str]:
        """Which variant of each part the chosen options have."""
        return {part: name for option in self._options for part, name in option.parts.items()}

    def settings(self, section: str) -> list[Any]:
        """The settings of one section: every project's, then those of the chosen options.

        An option may state one of every project's anew, which then keeps its place.
        """
        stated = {each.path: each for each in self._catalogue.settings}
        for option in self._options:
            stated.update({each.path: each for each in option.settings})
        return [each for each in stated.values() if each.section == section]

    def checks(self, section: str) -> list[Any]:
        """The contradictions to look for in one section; an option may state one anew."""
        stated = {(each.section, each.name): each for each in self._catalogue.checks}
        for option in self._options:
            stated.update({(each.section, each.name): each for each in option.checks})
        return [each for each in stated.values() if each.section == section]


class BlueprintExtension(ContextHook):
    """Refuses answers that don't fit, and gives the templates `project`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        named: dict[str, Any] = environment.globals  # pyright: ignore[reportAssignmentType]
        filters: dict[str, Any] = environment.filters
        self._globals = named
        self._known: dict[str, Project] = {}
        self._given_fits = False
        self._same_start = False
        filters["title_of_folder"] = title
        filters["slug"] = self._slug
        named["complaint"] = self._complaint
        named["python_versions"] = PYTHON_VERSIONS

    def _slug(self, name: str) -> str:
        return slug(name, self._globals["catalogue"].modules)

    def _complaint(self, question: str, value: Any, conf: Mapping[str, Any]) -> str:
        return complaint(question, value, conf, self._globals["catalogue"])

    def hook(self, context: dict[str, Any]) -> None:
        """Called for every context that Copier makes, several hundred a project."""
        if context["_copier_phase"] == "prompt":
            return  # answers are still incomplete
        if context["_copier_phase"] == "migrate":
            if context.get("_copier_operation") == "update" and not self._given_fits:
                require_given_fits(context["_copier_conf"], self._globals["catalogue"])
                self._given_fits = True
            return
        answers = {name: context.get(name) for name in Blueprint.model_fields}
        if context.get("_copier_operation") == "update" and not self._same_start:
            require_same_start(context["_copier_conf"], answers, self._globals["catalogue"])
            self._same_start = True  # what is left out is decided first, before anything is written
        key = repr(answers)  # an answer from a file may be anything, a list of lists too
        if key not in self._known:
            if not self._known:  # before the first file is written
                require_room(context["_copier_conf"])
            catalogue = self._globals["catalogue"]
            self._known[key] = Project(validate(answers, catalogue), catalogue)
        context["project"] = self._known[key]
        context["command"] = self._known[key].blueprint.package_name.replace("_", "-")
