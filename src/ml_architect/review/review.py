"""`ml-architect review`: reads a project, and shows what to change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from ..errors import CommandError
from ..runs.run import write_file
from . import baseline, checks, html, ignores, machine, markdown, ruff, terminal
from .checklist import answers
from .findings import Category, Finding, Rule, Stage, count, listed
from .project import Project, read_project
from .report import Report, answered, one_line, order, severity
from .rules import RULES
from .settings import Selection, Settings, choose_rules, find_stage, is_excluded, read_settings
from .sources import Sources

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
class Options(Selection):
    """What the command line says."""

    path: Path = Path()
    stage: str | None = None
    top: int | None = None
    format: str = "terminal"
    output: Path | None = None
    baseline: Path | None = None
    writes_baseline: bool = False
    runs: bool = False


def review(options: Options, console: Console) -> int:
    """Review a project and print or write the result.

    Returns:
        0: nothing to change at this stage; 1: findings.

    Raises:
        CommandError: wrong use, or nothing to read.
    """
    report = make_report(options)
    if options.writes_baseline:
        _print(console, report.remarks[-1])
        return 0
    show(report, options, console)
    return 1 if report.findings else 0


def make_report(options: Options) -> Report:
    """Read a project, look for every fault, and choose what counts at its stage.

    Raises:
        CommandError: wrong use, or nothing to read.
    """
    if options.top is not None and options.top < 1:
        raise CommandError(f"--top {options.top}: expected at least 1")
    root, only = find_project(options.path)
    settings = read_settings(root)
    rules = choose_rules(options, settings, root / "pyproject.toml")
    stage, origin = find_stage(root, options.stage, settings)
    if options.runs:
        from .dynamic import require_generated

        require_generated(root)
    project = read(root, settings)
    for one in project.unread:
        if one.path == only:
            raise CommandError(f"{only}: {one.reason}; nothing was reviewed")

    sources = texts(project)
    findings, gaps = find(project, rules)
    if not (options.select or settings.select):
        number = sum(not rule.is_default for rule in RULES.values())
        gaps.append(f"{number} rules are off by default; to turn all on: --select ML")
    remarks: list[str] = []
    if options.runs:
        from .dynamic import run_checks

        failed, remarks = run_checks(root, rules)
        findings += failed
    findings = order(findings)

    given = root / settings.baseline if settings.baseline else None
    file = options.baseline or given
    if options.writes_baseline:
        file = file or root / baseline.DEFAULT_NAME
        accepted = [one for one in findings if is_shown(one, stage)]
        number = count(baseline.write(file, accepted, sources), "place")
        remarks.append(f"{file}: accepts {number}. From now on: --baseline {file}")
    elif file is not None:
        ids = {rule.id for rule in rules}
        findings, more = baseline.compare(file, findings, sources, ids)
        remarks += more

    listed_answers = answers(project, findings)
    if only:
        findings = [one for one in findings if any(place.path == only for place in one.places)]
    shown = [one for one in findings if is_shown(one, stage)]
    notes = [one for one in findings if severity(one, stage) == "note" and is_visible(one, stage)]
    return Report(
        name=only or root.name,
        stage=stage,
        stage_origin=origin,
        findings=shown[: options.top],
        notes=[] if options.top else notes,
        hidden=len(findings) - len(shown) - len(notes),
        left_out=len(shown) - len(shown[: options.top]),
        read=describe(project),
        answers=listed_answers,
        gaps=[*unread(project), *gaps],
        remarks=remarks,
        sources=sources,
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
    for folder in path.parents:  # whether a file is right depends on what the others do
        if any((folder / name).exists() for name in ROOT_FILES):
            return folder, path.relative_to(folder).as_posix()
    return path.parent, path.name


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
    """What frames and baselines show."""
    found: dict[tuple[str, int], str] = {}
    for module in project.all_modules:
        found[module.path, 0] = module.text
        found |= {(module.path, number): source for number, source in module.cells.items()}
    return Sources(found)


def find(project: Project, rules: Sequence[Rule]) -> tuple[list[Finding], list[str]]:
    """Everything that is found, whatever the stage, and what wasn't checked."""
    files = {module.path: module for module in project.modules if not module.is_notebook}
    general, gaps = ruff.check(project.root, files, rules)
    if len(files) < len(project.modules) and any(rule.ruff for rule in rules):
        gaps.append("notebooks: the rules ML3… aren't looked for in them")
    findings = [*checks.find(project, rules), *general]
    commented = {path: module.text for path, module in files.items()}
    found = ignores.apply(findings, commented, {rule.id for rule in rules})
    return [replace(one, is_note=explores(one)) for one in found], gaps


def explores(finding: Finding) -> bool:
    """Whether all of its places are in notebooks or examples, and no result is wrong.

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
    if stage > Stage.EXPLORATION or finding.rule.id.startswith("ML5"):
        return True
    return finding.rule.category is Category.WRONG_RESULT


def is_shown(finding: Finding, stage: Stage) -> bool:
    """Whether it counts at this stage."""
    return severity(finding, stage) != "note" and is_visible(finding, stage)


def describe(project: Project) -> str:
    """What was read and where the project starts, in one line."""
    text = f"{count(len(project.modules), 'file')}, {count(project.lines, 'line')} read"
    if not project.training_entries:
        return f"{text}; no entry point found that trains"
    trains = [entry.place for entry in project.training_entries]
    return f"{text}; trains from {listed(trains, MAX_NAMES)}"


def unread(project: Project) -> list[str]:
    """What was not looked at, one line each."""
    lines = [f"{one.path}: {one.reason}" for one in project.unread]
    if not project.training_entries:
        lines.append(
            "entry points: 0 found that train, so nothing is said about seeds and checkpoints"
        )
    for training in project.unreached[:MAX_NAMES]:
        place = training.function.module.place(training.call)
        lines.append(f"{place} trains, but no entry point reaches it")
    places = {place for entry in project.entries for place in entry.unfollowed}
    for place in sorted(places)[:MAX_NAMES]:
        lines.append(f"{place} imports by a computed name, not followed")
    if project.skipped:
        names = listed(project.skipped, MAX_NAMES)
        lines.append(f"tests, benchmarks, others' code and what is excluded: {names}")
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
        for line in report.gaps:
            _print(errors, f"not looked at: {line}")
        for line in (*report.remarks, report.summary):
            _print(errors, line)


def _print(console: Console, line: str) -> None:
    console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
