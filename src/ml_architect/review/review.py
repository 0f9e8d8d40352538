"""`ml-architect review`: reads a project, and shows what to change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from ..errors import CommandError
from ..runs.run import write_file
from . import baseline, checks, dynamic_rules, html, ignores, machine, markdown, ruff, terminal
from .checklist import answers
from .findings import Category, Finding, Rule, Stage
from .project import Project, read_project
from .report import Report, answered, one_line, order, severity
from .rules import all_rules
from .settings import TABLE, Settings, choose_rules, find_stage, is_excluded, read_settings
from .sources import Sources

FORMATS = ("terminal", "markdown", "json", "sarif", "html")
ROOT_FILES = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".git")
MAX_LINE = 100  # of prose; longer lines are hard to read
MAX_NAMES = 5  # of files or entry points in one line
# Folders of code that teaches or tries something out, such as `examples`, `chapter-05` and `hw1`.
EXPLORES = re.compile(
    r"(^|[-_ ])(example|tutorial|demo|course|chapter|lesson|lecture|homework|assignment|exercise"
    r"|book|notebook)s?([-_ \d]|$)|^(ch|hw)[-_]?\d",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    path: Path
    stage: str | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    top: int | None = None
    format: str = "terminal"
    output: Path | None = None
    baseline: Path | None = None
    writes_baseline: bool = False
    runs: bool = False


@dataclass
class Gathered:
    """Everything that was found, before a baseline, a stage or `--top` leaves some of it out."""

    root: Path
    only: str
    settings: Settings
    rules: list[Rule]
    project: Project
    sources: Sources
    findings: list[Finding]
    gaps: list[str]
    remarks: list[str]


def review(options: Options, console: Console) -> int:
    """Review a project and print or write the result.

    Returns:
        0: nothing to change at this stage; 1: findings.

    Raises:
        CommandError: wrong use, or nothing to read.
    """
    gathered = gather(options)
    if options.writes_baseline:
        write_baseline(gathered, options, console)
        return 0
    report = make_report(gathered, options)
    show(report, options, console)
    return 1 if report.findings else 0


def gather(options: Options) -> Gathered:
    """Read a project, and look for every fault.

    Raises:
        CommandError: wrong use, or nothing to read.
    """
    if options.top is not None and options.top < 1:
        raise CommandError(f"--top {options.top}: expected at least 1")
    root, only = find_project(options.path)
    settings = read_settings(root)
    rules = chosen_rules(root, options, settings)
    find_stage(root, options.stage, settings)  # a wrong one is reported before anything slow
    if options.runs:
        from .dynamic import require_generated

        require_generated(root)
    project = read(root, settings)
    if only:
        for one in project.unread:
            if one.path == only:
                raise CommandError(f"{only}: {one.reason}; nothing was reviewed")
    sources = texts(project)
    findings, gaps = find(project, rules, sources)
    if not (options.select or settings.select):
        number = sum(not rule.is_default for rule in all_rules())
        gaps.append(f"{number} rules are off by default: --select ML looks for them too")
    remarks: list[str] = []
    if options.runs:
        from .dynamic import run_checks

        failed, remarks = run_checks(root, rules)
        findings += failed
    return Gathered(root, only, settings, rules, project, sources, findings, gaps, remarks)


def baseline_file(gathered: Gathered, options: Options) -> Path | None:
    """The option's file, relative to the current folder, or the project's."""
    given = gathered.settings.baseline
    return options.baseline or (gathered.root / given if given else None)


def write_baseline(gathered: Gathered, options: Options, console: Console) -> None:
    """Accept what counts at this stage."""
    file = baseline_file(gathered, options) or gathered.root / baseline.DEFAULT_NAME
    stage, _ = find_stage(gathered.root, options.stage, gathered.settings)
    accepted = [finding for finding in gathered.findings if is_shown(finding, stage)]
    number = baseline.write(file, accepted, gathered.sources)
    text = f"{file}: accepts {number} place{'s' * (number != 1)}. From now on: --baseline {file}"
    _print(console, text)


def make_report(gathered: Gathered, options: Options) -> Report:
    """What counts at this stage, in order, without what a baseline accepts.

    Raises:
        CommandError: the baseline can't be read.
    """
    findings, remarks = gathered.findings, gathered.remarks
    file = baseline_file(gathered, options)
    if file is not None:
        active = {rule.id for rule in gathered.rules}
        entries = baseline.read(file)
        findings, vanished = baseline.subtract(findings, entries, gathered.sources, active)
        remarks += [
            f"{entry.id} in {entry.path} is in {file.name} and no longer in the code: {entry.text}"
            for entry in vanished
        ]
        if vanished:
            remarks.append(f"to remove what has vanished from {file.name}: --write-baseline")
    listed = answers(gathered.project, findings)
    if only := gathered.only:
        findings = [one for one in findings if any(place.path == only for place in one.places)]

    stage, origin = find_stage(gathered.root, options.stage, gathered.settings)
    shown = order(one for one in findings if is_shown(one, stage))
    notes = [one for one in findings if severity(one, stage) == "note" and is_visible(one, stage)]
    return Report(
        name=only or gathered.root.name,
        stage=stage,
        stage_origin=origin,
        findings=shown[: options.top],
        notes=[] if options.top else order(notes),
        hidden=len(findings) - len(shown) - len(notes),
        left_out=len(shown) - len(shown[: options.top]),
        read=describe(gathered.project),
        answers=listed,
        gaps=[*unread(gathered.project), *gathered.gaps],
        remarks=remarks,
        sources=gathered.sources,
    )


def find_project(path: Path) -> tuple[Path, str]:
    """The project's folder, and the path in it if only one file is reviewed.

    Raises:
        CommandError: there is no such file or folder.
    """
    if not path.exists():
        raise CommandError(
            f"{path}: no such file or folder; expected a project or one of its files"
        )
    path = path.resolve()
    if path.is_dir():
        return path, ""
    if path.suffix not in (".py", ".ipynb"):
        raise CommandError(f"{path}: expected a folder, a .py file or a notebook")
    for folder in path.parents:  # a file is judged by what the others do
        if any((folder / name).exists() for name in ROOT_FILES):
            return folder, path.relative_to(folder).as_posix()
    return path.parent, path.name


def chosen_rules(root: Path, options: Options, settings: Settings) -> list[Rule]:
    """The rules to look for; an option replaces the setting of its name."""
    rules = all_rules()
    file = f"{root / 'pyproject.toml'}: {TABLE}"
    for words, source in (
        (options.select, "--select"),
        (options.ignore, "--ignore"),
        (settings.select, f"{file}.select"),
        (settings.ignore, f"{file}.ignore"),
    ):
        choose_rules(rules, words, (), source)
    select, ignore = options.select or settings.select, options.ignore or settings.ignore
    return choose_rules(rules, select, ignore, "--select")


def read(root: Path, settings: Settings) -> Project:
    """The project without what is excluded.

    Raises:
        CommandError: there is nothing to read.
    """
    project = read_project(root)
    for module in project.all_modules:
        if is_excluded(module.path, settings.exclude):
            module.is_reviewed = False
    project.unread[:] = [
        one for one in project.unread if not is_excluded(one.path, settings.exclude)
    ]
    if not project.all_modules and not project.unread:
        raise CommandError(f"{root}: nothing to review: no Python file and no notebook")
    if not project.modules:
        why = unread(project) or ["every file is excluded, or is a test or another project's copy"]
        raise CommandError(f"{root}: nothing to review: {'; '.join(why[:MAX_NAMES])}")
    return project


def texts(project: Project) -> Sources:
    """What frames and baselines show; a notebook's places are lines of its file."""
    found: dict[str, str] = {}
    for module in project.all_modules:
        found[module.path] = module.text
        if module.is_notebook:
            file = project.root / module.path
            found[module.path] = file.read_text(encoding="utf-8", errors="replace")
    return Sources(found)


def find(
    project: Project, rules: Sequence[Rule], sources: Sources
) -> tuple[list[Finding], list[str]]:
    """Everything that is found, whatever the stage, and what wasn't checked."""
    active = {rule.id for rule in rules}
    findings = checks.find(project, rules)
    files = [module for module in project.modules if not module.is_notebook]
    general, gaps = ruff.check(project.root, {module.path: module for module in files}, rules)
    if len(files) < len(project.modules) and any(rule.id.startswith("ML3") for rule in rules):
        gaps.append("notebooks: the rules ML3… aren't looked for in them")
    known = {rule.id for rule in all_rules()}
    commented = {module.path: sources.texts[module.path] for module in files}
    found = ignores.apply([*findings, *general], commented, known, active)
    return [replace(one, is_note=explores(one)) for one in found], gaps


def explores(finding: Finding) -> bool:
    """Whether all of its places lie in notebooks or examples, and no result is wrong.

    On 70 repositories nearly all findings there were right, and their authors had left the seed or
    the checkpoint out on purpose.
    """
    if finding.rule.category is Category.WRONG_RESULT:
        return False
    paths = [place.path for place in finding.places]
    return all(
        path.endswith(".ipynb") or any(map(EXPLORES.search, path.split("/")[:-1])) for path in paths
    )


def is_visible(finding: Finding, stage: Stage) -> bool:
    """Exploration shows wrong results only, and what `--run` was asked for."""
    if stage > Stage.EXPLORATION or finding.rule in dynamic_rules.RULES:
        return True
    return finding.rule.category is Category.WRONG_RESULT


def is_shown(finding: Finding, stage: Stage) -> bool:
    """Whether it counts at this stage."""
    return severity(finding, stage) != "note" and is_visible(finding, stage)


def describe(project: Project) -> str:
    """What was read and where the project starts, in one line."""
    trains = [f"{entry.place.path}:{entry.place.line}" for entry in project.training_entries]
    text = f"{len(project.modules)} files, {project.lines} lines read"
    if not trains:
        return f"{text}; no entry point found that trains"
    more = f" and {len(trains) - MAX_NAMES} more" if len(trains) > MAX_NAMES else ""
    return f"{text}; trains from {', '.join(trains[:MAX_NAMES])}{more}"


def unread(project: Project) -> list[str]:
    """What the engine did not look at, one line each."""
    lines = [f"{one.path}: {one.reason}" for one in project.unread]
    if not project.training_entries:
        lines.append(
            "entry points: 0 found that train, so nothing is said about seeds and checkpoints"
        )
    for training in project.unreached[:MAX_NAMES]:
        place = training.function.module.place(training.call)
        lines.append(f"{place.path}:{place.line} trains, but no entry point reaches it")
    places = {place for entry in project.entries for place in entry.unfollowed}
    for place in sorted(places)[:MAX_NAMES]:
        lines.append(f"{place.path}:{place.line} imports by a computed name, not followed")
    if project.skipped:
        names = ", ".join(project.skipped[:MAX_NAMES])
        more = f" and {len(project.skipped) - MAX_NAMES} more" * (len(project.skipped) > MAX_NAMES)
        lines.append(f"tests, benchmarks, others' code and what is excluded: {names}{more}")
    return lines


def show(report: Report, options: Options, console: Console) -> None:
    """Print the report, or write it."""
    if options.format == "terminal":
        width = min(console.width, MAX_LINE) if console.is_terminal else MAX_LINE
        text = terminal.render(report, width)
        if options.output is None:
            console.print(text, soft_wrap=True, highlight=False, end="")
            return
        content = text.plain
    else:
        renderers = {
            "markdown": markdown.render,
            "json": machine.as_json,
            "sarif": machine.as_sarif,
            "html": html.render,
        }
        content = renderers[options.format](report)
    if options.output is not None:
        write_file(options.output, content.encode("utf-8", "backslashreplace"))
        _print(console, f"{report.summary} Report: {options.output}")
    else:
        console.out(content, end="", highlight=False)
    if options.format == "json":  # a list of findings has no place for the rest
        errors = Console(stderr=True)
        for one in report.answers:
            _print(errors, f"checklist: {one.item}: {answered(one)}")
        for line in (*report.gaps, *report.remarks):
            _print(errors, f"not looked at: {line}")
        _print(errors, report.summary)


def _print(console: Console, line: str) -> None:
    console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
