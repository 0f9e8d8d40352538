"""`ml-architect review --run`: trains a generated project, and compares what the runs leave behind.

Only the command line and the files of docs/run-format.md are used. The runs are removed afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import tomli_w

from ..errors import CommandError
from ..runs.run import RUNS, Run, flatten, read_bytes
from ..studies.project import Project, find_script
from .findings import Finding, Place, Rule, count
from .rules import RULES
from .settings import read_answers

CONFIG = "configs/small.toml"
STEPS = 200
SETTINGS = {
    # A checkpoint has to be there before the kill, and metrics to compare after it.
    "training.max_steps": STEPS,
    "training.evaluate_every": STEPS // 4,
    "checkpoint.every": STEPS // 8,
}
MAX_GROWTH = 10 << 20  # bytes over the second half; allocators alone stay below
MAX_FILES = 10  # more open files in the second half than in the first
POLL_SECONDS = 0.005
MAX_SECONDS = 1800.0  # of one run


def require_generated(root: Path) -> None:
    """Raise CommandError unless a project was made from our template."""
    answers = read_answers(root)
    names = ("_src_path", "starter", "stage")
    if not all(isinstance(answers.get(name), str) for name in names):
        raise CommandError(
            f"{root}: expected a project made by ml-architect, since --run trains it; without "
            "--run, any project is reviewed by reading its code"
        )


@dataclass
class Trainer:
    """Starts runs of one config."""

    project: Project
    config: Path
    study: str
    open_files: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Step and number of open files, of the last run."""

    def run(self, name: str, kill_at: int | None = None) -> Run:
        """Train a run to its end, or kill it at a step.

        Raises:
            CommandError: it fails.
        """
        run = Run(self.project.root / RUNS / self.study / name, self.project.root)
        arguments = ["train", "--config", str(self.config)]
        arguments += ["--run-name", f"{self.study}/{name}", "--or-resume"]
        self.open_files = []
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [*self.project.command, *arguments],
                cwd=self.project.root,
                env=self.project.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                was_killed = self._watch(process, run.folder, kill_at)
            finally:
                _kill(process)
            if process.returncode != 0 and not was_killed:
                log.seek(0)
                lines = log.read().decode(errors="replace").strip().splitlines() or ["no message"]
                raise CommandError(f"--run: training exited with {process.returncode}: {lines[-1]}")
        return run

    def _watch(self, process: subprocess.Popen[bytes], folder: Path, kill_at: int | None) -> bool:
        """Wait for the end; True if it was killed."""
        until = time.monotonic() + MAX_SECONDS
        while process.poll() is None:
            step = _last_step(folder)
            with suppress(OSError):  # only Linux lists them
                files = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
                self.open_files.append((step, files))
            if kill_at is not None and step >= kill_at:
                _kill(process)
                return True
            if time.monotonic() > until:
                raise CommandError(f"--run: training took more than {MAX_SECONDS / 60:.0f} minutes")
            time.sleep(POLL_SECONDS)
        return False


def run_checks(root: Path, rules: Sequence[Rule]) -> tuple[list[Finding], list[str]]:
    """Train, and compare.

    Returns:
        What failed, and one line about each check.

    Raises:
        CommandError: the project isn't installed, or can't be trained.
    """
    project = find_script(root)
    findings: list[Finding] = []
    remarks: list[str] = []

    def report(id: str, failure: str, evidence: str) -> None:  # noqa: A002 - of the rule
        rule = RULES[id]
        if failure and rule in rules:
            findings.append(Finding(rule, (Place(CONFIG, 1),), failure, evidence))
        verdict = (
            "" if evidence.startswith("not checked") else "found: " if failure else "not found: "
        )
        remarks.append(f"--run: {id} {rule.title}: {verdict}{evidence}")

    study = f"review-{uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
        config = Path(folder) / "config.toml"
        config.write_text(tomli_w.dumps(_settings(project)), encoding="utf-8")
        trainer = Trainer(project, config, study)
        try:
            first = trainer.run("first")
            grown, evidence = _growth(first, trainer.open_files)
            report("ML503", grown, evidence)

            second = trainer.run("second")
            difference = _difference(first, second)
            evidence = f"{len(first.metrics)} lines of metrics.jsonl of two runs with {CONFIG}"
            report("ML501", difference and f"two runs with one seed differ: {difference}", evidence)

            killed = trainer.run("killed", kill_at=STEPS // 2)
            was_killed = killed.outcome is None
            step = _last_step(killed.folder)
            difference = _difference(first, trainer.run("killed"))
            evidence = f"killed by SIGKILL after step {step}, then resumed with the same command"
            if not was_killed:
                evidence = "not checked: the run ended before it could be killed"
            elif difference and not _difference(first, second):
                difference = f"a run that was killed and resumed differs: {difference}"
            else:
                difference = ""  # a run that doesn't repeat can't be compared
            report("ML502", difference if was_killed else "", evidence)
        finally:
            shutil.rmtree(project.root / RUNS / study, ignore_errors=True)
    report("ML504", *_types(project))
    return findings, remarks


def _settings(project: Project) -> dict[str, Any]:
    """The small config, with as many steps as the checks need."""
    file = project.root / CONFIG
    try:
        settings = tomllib.loads(read_bytes(file).decode())
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from None
    known = flatten(project.resolve(settings))
    for name, value in SETTINGS.items():
        if isinstance(known.get(name), int):
            table, _, key = name.rpartition(".")
            settings.setdefault(table, {})[key] = value
    return settings


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a run with its workers, as a machine that fails would."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _last_step(folder: Path) -> int:
    """The last step in metrics.jsonl, which may be half written; 0 if there is none."""
    try:
        lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        return int(json.loads(whole[-1])["step"]) if whole else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _difference(first: Run, second: Run) -> str:
    """The first metric that differs; empty if none does."""
    if len(first.metrics) != len(second.metrics):
        return f"{len(first.metrics)} and {len(second.metrics)} lines of metrics"
    for (step, one), (other_step, other) in zip(first.metrics, second.metrics, strict=True):
        if step != other_step:
            return f"step {step} and step {other_step}"
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                return f"{name} at step {step} is {one.get(name)} and {other.get(name)}"
    return ""


def _growth(run: Run, open_files: list[tuple[int, int]]) -> tuple[str, str]:
    """What grew in the second half of a run, and what was measured."""
    memory = [(int(line["step"]), line.get("memory_bytes", 0)) for line in run.timings]
    last = run.metrics[-1][0] if run.metrics else 0
    problems: list[str] = []
    measured: list[str] = []
    for values, limit, unit, scale in (
        (memory, MAX_GROWTH, "MB of peak memory", 1e6),
        (open_files, MAX_FILES, "open files", 1),
    ):
        early = [value for step, value in values if last / 4 <= step <= last / 2]
        late = [value for step, value in values if step > last / 2]
        if early and late:
            text = f"{max(early) / scale:.0f} and {max(late) / scale:.0f} {unit}"
            measured.append(f"{text} in the first and second half of {last} steps")
            if max(late) - max(early) > limit:
                problems.append(text)
        else:
            measured.append(f"{unit}: not measured")
    return "; ".join(problems) and f"growing: {'; '.join(problems)}", "; ".join(measured)


def _types(project: Project) -> tuple[str, str]:
    """What pyright says; an empty failure if it isn't installed."""
    beside = Path(project.command[0]).parent
    executable = shutil.which("pyright", path=str(beside)) or shutil.which("pyright")
    if executable is None:
        return "", "not checked: pyright isn't installed"
    done = subprocess.run(
        [executable, "--outputjson"],
        cwd=project.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    try:
        errors = int(json.loads(done.stdout)["summary"]["errorCount"])
    except (ValueError, KeyError, TypeError):
        return "", "not checked: pyright failed"
    evidence = f"pyright in {project.root.name}: {count(errors, 'error')}"
    return (count(errors, "type error") if errors else ""), evidence
