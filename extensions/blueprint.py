"""Validates all answers together, and gives the templates what follows from them.

Nothing is written before the answers are valid; one message lists every problem and how to fix it.
Imports nothing from its own folder, for the reason given in `catalogue.py`; the catalogue comes
from the Jinja environment.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

ANSWERS = ".copier-answers.yml"
"""As in copier.yml, whose setting Copier renders, for which it would ask this extension again."""

RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "src", "tests", "data", "runs", "configs", "scripts", "docs"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)
"""Names of Windows devices, and of folders next to the package."""


# --- default names ------------------------------------------------------------------------------


def project_title(folder: str) -> str:
    """Turn a folder's name into a valid project name, whatever the folder is called."""
    words = "".join(" " if _is_control(char) or char in "-_" else char for char in folder)
    return " ".join(words.title().split())[:60].strip() or "Project"


def slug(name: str, modules: frozenset[str] = frozenset()) -> str:
    """Turn a project's name into a valid package name, whatever the name."""
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not words:
        return "project"
    if words[0].isdigit():
        words = f"project_{words}"
    words = words[:40].rstrip("_")
    return f"{words}_project" if _why_reserved(words, modules) else words


def _why_reserved(name: str, modules: frozenset[str]) -> str | None:
    """Why a package can't have this name, or None if it can."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a Python keyword"
    if name in sys.stdlib_module_names or name == "test":
        return "would be shadowed by a module of Python's standard library"
    if name in modules:
        return "would be shadowed by a package that the project uses"
    if name in RESERVED:
        return "is the name of a folder or of a device"
    return None


# --- single answers -----------------------------------------------------------------------------


def _is_control(char: str) -> bool:
    """Whether a character breaks lines or controls a terminal; joiners and emoji don't."""
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


def _single_line(text: str) -> str:
    if any(_is_control(char) for char in text):
        raise ValueError("has a line break or a control character: write it on one line")
    if text != text.strip():
        raise ValueError("begins or ends with a space: remove it")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty: enter at least one letter")
    return text


def _max_length(limit: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > limit:
            raise ValueError(f"has {len(text)} characters: at most {limit} are allowed")
        return text

    return AfterValidator(check)


def _package_name(name: str) -> str:
    if not re.match(r"^[a-z][a-z0-9_]*\Z", name):
        raise ValueError(
            "isn't a valid package name: use lower-case letters, digits and _, a letter first, "
            f"such as {slug(name)!r}"
        )
    return name


def _email(address: str) -> str:
    if address and not re.match(r"^[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\"]+\Z", address):
        raise ValueError("isn't an e-mail address: write name@host.example, or leave it empty")
    return address


def _python_version(version: str) -> str:
    if version not in PYTHON_VERSIONS:
        raise ValueError(f"isn't supported: choose {', '.join(PYTHON_VERSIONS)}")
    return version


def _iso_date(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text or day.year == date.max.year:  # scripts last longer
        raise ValueError("isn't a date that a project can start at: write it like 2026-11-24")
    return text


def _project_path(path: str) -> str:
    parts = path.split("/")
    if not path or path != path.strip() or any(_is_control(char) for char in path):
        raise ValueError("isn't a path: write it as git does, such as src/digits/cli.py")
    if any(char in path for char in "*?[!"):
        raise ValueError("has a wildcard: name a file or a folder")
    if "\\" in path or ":" in path or any(part in {"", ".", "..", ".git"} for part in parts):
        raise ValueError("isn't inside the project: write it relative to the project, with /")
    return path


def _list(paths: Any) -> Any:
    if not isinstance(paths, (list, tuple)):
        raise ValueError("isn't a list: write it like [src/digits/cli.py]")
    return paths  # pyright: ignore[reportUnknownVariableType] - the items are validated next


Text = Annotated[str, AfterValidator(_single_line), _max_length(200)]
Name = Annotated[str, AfterValidator(_not_empty), AfterValidator(_single_line), _max_length(60)]
PackageName = Annotated[str, AfterValidator(_package_name), _max_length(40)]
Email = Annotated[str, AfterValidator(_email), _max_length(200)]
ProjectPath = Annotated[str, AfterValidator(_project_path)]


# --- all answers --------------------------------------------------------------------------------


class Blueprint(BaseModel):
    """A project's answers, which fit together.

    Validation needs the catalogue: `Blueprint.model_validate(answers, context={"catalogue": …})`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    project_name: Name
    package_name: PackageName
    description: Text
    author_name: Text
    author_email: Email
    stage: str
    starter: str
    config: str
    tracker: str
    checkpoint: str
    checkpoint_writer: str
    devices: str
    python_version: Annotated[str, AfterValidator(_python_version)]
    license: str
    started: Annotated[str, AfterValidator(_iso_date)]
    yours: Annotated[tuple[ProjectPath, ...], BeforeValidator(_list)] = ()

    @field_validator("package_name")
    @classmethod
    def _is_not_reserved(cls, name: str, info: ValidationInfo) -> str:
        assert info.context is not None, "see Blueprint"
        if info.context.get("is_recorded"):  # it can't change, even if it is reserved now
            return name
        if reason := _why_reserved(name, _catalogue(info).modules):
            raise ValueError(f"{reason}: choose another, such as '{name}_project'")
        return name

    @field_validator(
        "stage",
        "starter",
        "config",
        "tracker",
        "checkpoint",
        "checkpoint_writer",
        "devices",
        "license",
    )
    @classmethod
    def _is_option(cls, value: str, info: ValidationInfo) -> str:
        """An option of its question, without a conflict with an earlier answer."""
        assert info.field_name is not None
        catalogue = _catalogue(info)
        question = catalogue.question(info.field_name)
        if value not in question.values:
            raise ValueError(f"isn't an option: choose {', '.join(question.values)}")
        for other, reason in _conflicts(catalogue, question.name, value, info.data):
            raise ValueError(f"can't be combined with {other}: {reason}")
        return value


def _catalogue(info: ValidationInfo) -> Any:
    assert info.context is not None, "see Blueprint"
    return info.context["catalogue"]


def _conflicts(
    catalogue: Any, name: str, value: str, earlier: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Earlier answers that conflict with this one, whichever of the two declares it."""
    conflicts: list[tuple[str, str]] = []
    own = catalogue.question(name).option(value).conflicts
    for question in catalogue.questions:
        if question.name not in earlier:
            continue
        answer = earlier[question.name]
        declared = question.option(answer).conflicts
        reason = own.get(question.name, {}).get(answer) or declared.get(name, {}).get(value)
        if reason:
            conflicts.append((f"{question.name} {answer!r}", reason))
    return conflicts


def validate(answers: Mapping[str, Any], catalogue: Any, *, is_recorded: bool = False) -> Blueprint:
    """Return all answers as one blueprint.

    Raises UserMessageError, listing every problem, if they are invalid.
    """
    try:
        context = {"catalogue": catalogue, "is_recorded": is_recorded}
        return Blueprint.model_validate(dict(answers), context=context)
    except ValidationError as error:
        raise UserMessageError(_message(error.errors(include_url=False))) from None


def _message(problems: Sequence[Any]) -> str:
    lines: list[str] = []
    for problem in problems:
        name = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        value = "" if problem["type"] == "missing" else f" {_quoted(problem['input'])}"
        lines.append(f"{name}{value} {reason}")
    if len(lines) == 1:
        return f"Nothing was written, because {lines[0]}"
    return "\n  - ".join(["Nothing was written, because these answers are invalid:", *lines])


def _quoted(value: Any) -> str:
    """An invalid answer of any length, as a message shows it."""
    shown = repr(value)
    return shown if len(shown) <= 400 else f"{shown[:100]} … {shown[-50:]}"


def answer_error(question: str, value: Any, conf: Mapping[str, Any], catalogue: Any) -> str:
    """Return what is wrong with an answer that was just typed, or an empty string.

    Empty for answers that weren't typed: Copier would show a traceback, while `validate` lists all
    problems in one message.
    """
    if conf["defaults"] or question in conf["data"]:
        return ""
    validators: Sequence[Any] = Blueprint.model_fields[question].metadata
    adapter = TypeAdapter(Annotated[(str, *validators)])  # pyright: ignore[reportInvalidTypeForm]
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return f"{_quoted(value)} {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    if question == "package_name" and (reason := _why_reserved(value, catalogue.modules)):
        return f"{value!r} {reason}: choose another, such as '{value}_project'"
    return ""


def python_versions(data: Mapping[str, Any]) -> str:
    """Return the supported versions as Copier reads them; as for `options`, see the catalogue."""
    versions: list[Any] = list(PYTHON_VERSIONS)
    if "python_version" in data and data["python_version"] not in versions:
        versions.append(str(data["python_version"]))
    return json.dumps(versions)


# --- the destination, and the answers it has recorded -------------------------------------------


def require_empty_destination(conf: Mapping[str, Any]) -> None:
    """Reject a destination with files in it; Copier would overwrite half of them before it asks.

    Raises UserMessageError. A repository without files counts as empty.
    """
    folder = Path(conf["dst_path"])
    if conf["overwrite"] or not folder.is_dir():
        return
    present = sorted(path.name for path in folder.iterdir() if path.name != ".git")
    if present:
        more = f" and {len(present) - 3} more" if len(present) > 3 else ""
        raise UserMessageError(
            f"Nothing was written, because {folder} isn't empty: {', '.join(present[:3])}{more}. "
            "Choose another folder, or overwrite the files with --overwrite"
        )


def require_fixed_answers(
    conf: Mapping[str, Any], answers: Mapping[str, Any], catalogue: Any
) -> None:
    """Reject a new answer to a question that the owner's files depend on.

    Raises UserMessageError. An update never touches those files, so they would no longer fit.
    """
    recorded = Path(conf["dst_path"]) / conf["answers_file"]
    if not recorded.is_file():
        return  # a temporary folder in which Copier compares two versions
    before: Any = yaml.safe_load(recorded.read_text(encoding="utf-8"))
    names = [question.name for question in catalogue.questions if not question.can_change]
    for name in ("package_name", *names):
        if name in before and (old := before[name]) != answers.get(name, old):
            raise UserMessageError(
                f"Nothing was changed, because {name} stays {old!r} in an existing project: your "
                f"own files were written for it. For {answers[name]!r}, create another project"
            )


def require_valid_data(conf: Mapping[str, Any], catalogue: Any) -> None:
    """Reject invalid answers from `--data` before a migration rewrites the recorded answers.

    Raises UserMessageError. Answers from a prompt are validated later, by the hook; so is `yours`,
    which may still be the text of a list here.
    """
    data = {name: str(value) for name, value in conf["data"].items() if name != "yours"}
    recorded = Path(conf["dst_path"]) / conf["answers_file"]
    answers: dict[str, Any] = yaml.safe_load(recorded.read_text(encoding="utf-8")) | data
    require_fixed_answers(conf, answers, catalogue)
    try:
        context = {"catalogue": catalogue, "is_recorded": True}
        Blueprint.model_validate(answers, context=context)
    except ValidationError as error:  # a migration may still fix recorded answers
        problems = [item for item in error.errors(include_url=False) if item["loc"][0] in data]
        if problems:
            raise UserMessageError(_message(problems)) from None


def is_recorded(conf: Mapping[str, Any]) -> bool:
    """Whether a project has these answers already: an update renders them several times.

    In its temporary folders, they come with the date of the start, which nobody is asked for.
    """
    return "started" in conf["data"] or (Path(conf["dst_path"]) / ANSWERS).is_file()


# --- what the templates get ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Project:
    """The variable `project` in the templates."""

    requirements: list[Any]  # of the project, by name
    development: list[Any]  # for its tests and checks
    constraints: list[str]  # the files in choices/constraints with the versions of all of these

    @staticmethod
    def of(blueprint: Blueprint, catalogue: Any) -> Project:
        """Collect the requirements of every project and of the chosen options."""
        by_name = {package.name: package for package in catalogue.requirements}
        constraints = ["project", "development"]
        answers = blueprint.model_dump()
        for question in catalogue.questions:
            option = question.option(answers[question.name])
            by_name.update({package.name: package for package in option.requirements})
            if option.requirements:
                constraints.append(f"{question.name}-{option.value}")
        requirements = [by_name[name] for name in sorted(by_name)]
        return Project(requirements, list(catalogue.development), constraints)


class BlueprintExtension(ContextHook):
    """Rejects invalid answers, and gives the templates `project` and `command`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        variables: dict[str, Any] = environment.globals  # pyright: ignore[reportAssignmentType]
        filters: dict[str, Any] = environment.filters
        self._variables = variables
        self._projects: dict[str, Project] = {}  # by their answers
        self._data_is_valid = False
        self._fixed_answers_are_kept = False
        filters["project_title"] = project_title
        filters["slug"] = self._slug
        variables["answer_error"] = self._answer_error
        variables["python_versions"] = python_versions

    @property
    def _catalogue(self) -> Any:
        return self._variables["catalogue"]

    def _slug(self, name: str) -> str:
        return slug(name, self._catalogue.modules)

    def _answer_error(self, question: str, value: Any, conf: Mapping[str, Any]) -> str:
        return answer_error(question, value, conf, self._catalogue)

    def hook(self, context: dict[str, Any]) -> None:
        """Called for every context that Copier makes, several hundred times per project."""
        phase, conf = context["_copier_phase"], context.get("_copier_conf", {})
        updating = context.get("_copier_operation") == "update"
        if phase == "prompt":
            return  # the answers are still incomplete
        if phase == "migrate":
            if updating and not self._data_is_valid:
                require_valid_data(conf, self._catalogue)
                self._data_is_valid = True
            return
        answers = {name: context.get(name) for name in Blueprint.model_fields}
        # Copier asks first what to exclude, so this comes before anything is written.
        if updating and not self._fixed_answers_are_kept:
            require_fixed_answers(conf, answers, self._catalogue)
            self._fixed_answers_are_kept = True
        key = repr(answers)  # answers from a file can be anything, such as unhashable lists
        if key not in self._projects:
            if not self._projects:  # before the first file is written
                require_empty_destination(conf)
            blueprint = validate(answers, self._catalogue, is_recorded=is_recorded(conf))
            self._projects[key] = Project.of(blueprint, self._catalogue)
        context["project"] = self._projects[key]
        context["command"] = str(answers["package_name"]).replace("_", "-")
