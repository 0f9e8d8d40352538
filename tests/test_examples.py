"""The third-party projects in examples/ keep both contracts of docs/run-format.md by themselves.

They run in `.venv-project`, through their command lines, without the tool.
"""

from __future__ import annotations

import ast
import csv
import fcntl
import io
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import textwrap
import time
import tokenize
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from rendering import ROOT

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", ROOT / ".venv-project"))
EXAMPLES = ROOT / "examples"
STUDIES = ("scale", "tune", "ablate")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} isn't there: make test creates it",
    ),
]


@dataclass(frozen=True)
class Example:
    """A third-party project, and what a test has to know about it."""

    name: str
    script: str
    evaluate: tuple[str, ...]
    long_config: str
    """Settings of a run that trains for about two seconds."""
    wrong_config: str
    problems: tuple[str, ...]
    """What has to be mentioned about it."""
    columns: tuple[str, ...]
    """Of predictions.csv."""


SKLEARN = Example(
    name="sklearn_digits",
    script="digits.py",
    evaluate=("digits.py", "evaluate"),
    long_config="[training]\nepochs = 50\n",
    wrong_config='sed = 1\n[training]\nepochs = 0\nlearning_rate = "fast"\nrate = 1\n',
    problems=("sed", "training.epochs", "training.learning_rate", "training.rate"),
    columns=("id", "label", "predicted", "confidence", "loss", "mean_intensity"),
)
TORCH = Example(
    name="torch_regression",
    script="train.py",
    evaluate=("evaluate.py",),
    long_config="epochs = 250\n",
    wrong_config='sed = 1\nepochs = 0\nlearning_rate = "fast"\nhidden = nan\n',
    problems=("sed", "epochs", "learning_rate", "hidden"),
    columns=("id", "label", "predicted", "loss", "age", "sex", "bmi"),
)


@dataclass(frozen=True)
class Project:
    """A copy of an example."""

    example: Example
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python with a script and arguments."""
        return subprocess.Popen(
            [ENVIRONMENT / "bin" / "python", *arguments],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(self, config: str, name: str) -> subprocess.Popen[str]:
        """Train a run, as a study does."""
        arguments = ["train", "--config", config, "--run-name", name, "--or-resume"]
        return self.start(self.example.script, *arguments)

    def dry_run(self, config: str) -> subprocess.CompletedProcess[str]:
        """Ask for the resolved config."""
        return finish(self.start(self.example.script, "train", "--config", config, "--dry-run"))

    def files(self) -> dict[str, int]:
        """Every file with the time of its last change."""
        paths = [path for path in self.folder.rglob("*") if "__pycache__" not in path.parts]
        return {str(path): path.stat().st_mtime_ns for path in paths if path.is_file()}


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait until a process has ended."""
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture(scope="module", params=[SKLEARN, TORCH], ids=lambda example: example.name)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of an example."""
    example: Example = request.param
    folder = tmp_path_factory.mktemp("example") / example.name
    ignored = shutil.ignore_patterns("runs", "data", "__pycache__")
    shutil.copytree(EXAMPLES / example.name, folder, ignore=ignored)
    (folder / "long.toml").write_text(example.long_config, encoding="utf-8")
    (folder / "wrong.toml").write_text(example.wrong_config, encoding="utf-8")
    return Project(example, folder)


@pytest.fixture(scope="module")
def unbroken(project: Project) -> Path:
    """The folder of a run that nothing interrupted."""
    done = finish(project.train("long.toml", "study/unbroken"))
    assert done.returncode == 0, done.stderr
    return project.folder / "runs/study/unbroken"


def assert_same_results(run: Path, unbroken: Path) -> None:
    """An interrupted run ends as one that nothing interrupted."""
    for name in ("metrics.jsonl", "config.toml"):
        assert (run / name).read_bytes() == (unbroken / name).read_bytes()
    outcomes = [json.loads((folder / "outcome.json").read_bytes()) for folder in (run, unbroken)]
    for outcome in outcomes:
        outcome.pop("seconds", None)
    assert outcomes[0] == outcomes[1]


def size(path: Path) -> int:
    """Size in bytes; 0 for a file that doesn't exist."""
    return path.stat().st_size if path.exists() else 0


def test_dry_run_prints_the_resolved_config_and_writes_nothing(project: Project) -> None:
    before = project.files()
    done = project.dry_run("configs/base.toml")
    assert (done.returncode, done.stderr) == (0, "")
    config = tomllib.loads(done.stdout)
    given = tomllib.loads((project.folder / "configs/base.toml").read_text(encoding="utf-8"))
    assert config["seed"] == 0
    assert merge(config, given) == config
    assert project.files() == before

    (project.folder / "resolved.toml").write_text(done.stdout, encoding="utf-8")
    assert project.dry_run("resolved.toml").stdout == done.stdout


def test_dry_run_imports_no_framework(project: Project) -> None:
    script, config = project.example.script, "configs/base.toml"
    arguments = ("-X", "importtime", script, "train", "--config", config, "--dry-run")
    imported = finish(project.start(*arguments)).stderr
    assert "tomli_w" in imported
    assert not re.search(r"\b(torch|sklearn|numpy)\b", imported)


def test_wrong_settings_are_all_reported(project: Project) -> None:
    before = project.files()
    trained = finish(project.train("wrong.toml", "wrong"))
    for done in (project.dry_run("wrong.toml"), trained):
        assert (done.returncode, done.stdout) == (2, "")
        lines = done.stderr.splitlines()
        assert {line.partition(":")[0] for line in lines} == set(project.example.problems)
    assert project.files() == before


@pytest.mark.parametrize("text", [None, "seed = ", "seed = true"])
def test_an_unreadable_config_is_wrong_input(project: Project, text: str | None) -> None:
    path = project.folder / "unreadable.toml"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text, encoding="utf-8")
    done = project.dry_run("unreadable.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def merge(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Replace some settings, table by table."""
    merged = dict(settings)
    for name, value in changes.items():
        if isinstance(value, dict):
            value = merge(merged.get(name, {}), cast("dict[str, Any]", value))
        merged[name] = value
    return merged


def corners(space: dict[str, Any]) -> list[dict[str, Any]]:
    """Every bound and option of a search space, one at a time."""
    if "low" in space or "options" in space:
        return space["options"] if "options" in space else [space["low"], space["high"]]
    return [{name: value} for name, below in space.items() for value in corners(below)]


def test_studies_vary_settings_that_exist(project: Project) -> None:
    assert {path.stem for path in project.folder.glob("configs/*")} == {"base", *STUDIES}
    for kind in STUDIES:
        text = (project.folder / f"configs/{kind}.toml").read_text(encoding="utf-8")
        settings = tomllib.loads(text)
        study = settings.pop(kind)
        variants = [*study.get("changes", {}).values(), *study.get("sizes", {}).values()]
        variants += corners(study.get("space", {}))
        assert variants
        for changes in variants:
            lines = [
                f"{name} = {json.dumps(value)}\n" for name, value in flatten(settings, changes)
            ]
            (project.folder / "variant.toml").write_text("".join(lines), encoding="utf-8")
            done = project.dry_run("variant.toml")
            assert done.returncode == 0, done.stderr
            config = tomllib.loads(done.stdout)
            assert merge(config, changes) == config


def flatten(settings: dict[str, Any], changes: dict[str, Any]) -> list[tuple[str, Any]]:
    """Settings with some replaced, by their full names."""
    flat: list[tuple[str, Any]] = []
    for name, value in merge(settings, changes).items():
        if isinstance(value, dict):
            below = flatten(cast("dict[str, Any]", value), {})
            flat += [(f"{name}.{inner_name}", inner) for inner_name, inner in below]
        else:
            flat.append((name, value))
    return flat


def test_a_run_leaves_the_documented_files(project: Project, unbroken: Path) -> None:
    config = tomllib.loads((unbroken / "config.toml").read_text(encoding="utf-8"))
    assert config == tomllib.loads(project.dry_run("long.toml").stdout)

    created = json.loads((unbroken / "run.json").read_bytes())
    assert created["format"] == 1
    assert re.match(r"\d{4}-\d\d-\d\dT.*[+]00:00$", created["started"])

    lines = (unbroken / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics: list[dict[str, float]] = [json.loads(line) for line in lines]
    steps = [line["step"] for line in metrics]
    assert steps == sorted(set(steps))
    assert all(math.isfinite(value) for line in metrics for value in line.values())
    assert {"step", "train/loss", "validation/loss"} <= metrics[0].keys()

    outcome = json.loads((unbroken / "outcome.json").read_bytes())
    best = min if outcome["mode"] == "min" else max
    assert outcome["best_value"] == best(line[outcome["metric"]] for line in metrics)
    assert outcome["step"] == steps[-1]
    assert outcome["best_step"] in steps
    assert outcome["parameters"] > 0
    assert outcome["train_examples"] > 0
    assert not list(unbroken.glob("*.tmp"))


def test_a_run_that_has_ended_stays_as_it_is(project: Project, unbroken: Path) -> None:
    before = project.files()
    assert finish(project.train("long.toml", "study/unbroken")).returncode == 0
    changed = finish(project.train("configs/base.toml", "study/unbroken"))
    assert changed.returncode == 2
    after = project.files()
    lock = str(unbroken / ".lock")
    assert before.pop(lock)
    assert after.pop(lock)
    assert after == before


def test_a_run_killed_at_random_moments_ends_as_an_unbroken_one(
    project: Project, unbroken: Path
) -> None:
    run = project.folder / "runs/killed"
    rng = random.Random()
    moments: list[float] = []  # seconds
    for kill in range(5):
        logged = size(run / "metrics.jsonl")
        process = project.train("long.toml", "killed")
        # The first is killed before it trains, the others while they do.
        while kill and size(run / "metrics.jsonl") <= logged and process.poll() is None:
            time.sleep(0.002)
        moments.append(rng.uniform(0, 0.15 if kill else 1))
        time.sleep(moments[-1])
        process.kill()
        process.communicate()
    assert not (run / "outcome.json").exists(), "it ended too early for a test of kills"
    done = finish(project.train("long.toml", "killed"))
    assert done.returncode == 0, (done.stderr, moments)
    assert_same_results(run, unbroken)


def test_a_run_that_is_stopped_saves_and_continues(project: Project, unbroken: Path) -> None:
    run = project.folder / "runs/stopped"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        # The first signal comes while the framework is imported, the others while it trains.
        awaited = ".lock" if number == signal.SIGTERM else "metrics.jsonl"
        logged = size(run / "metrics.jsonl")
        process = project.train("long.toml", "stopped")
        while process.poll() is None:
            if awaited == ".lock" and (run / awaited).exists():
                break
            if size(run / awaited) > logged:
                break
            time.sleep(0.002)
        process.send_signal(number)
        done = finish(process)
        assert done.returncode == 75, (number, done.stderr)
        assert "Traceback" not in done.stderr
        assert size(run / "metrics.jsonl") > logged
        assert not (run / "outcome.json").exists()
    assert finish(project.train("long.toml", "stopped")).returncode == 0
    assert_same_results(run, unbroken)


def test_a_run_in_use_is_left_alone(project: Project) -> None:
    lock = project.folder / "runs/in-use/.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = finish(project.train("long.toml", "in-use"))
    assert done.returncode == 3, done.stderr
    assert "in use" in done.stderr
    assert list(lock.parent.iterdir()) == [lock]


def test_evaluate_writes_the_predictions(project: Project, unbroken: Path) -> None:
    run = str(unbroken.relative_to(project.folder))
    done = finish(project.start(*project.example.evaluate, run))
    assert done.returncode == 0, done.stderr
    with (unbroken / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == project.example.columns
    assert len({row["id"] for row in rows}) == len(rows) > 80
    assert all(float(row["loss"]) >= 0 for row in rows)
    if "confidence" in rows[0]:
        correct = [row["label"] == row["predicted"] for row in rows]
        assert sum(correct) / len(correct) > 0.9
        assert all(0.1 <= float(row["confidence"]) <= 1 for row in rows)
    else:
        labels = [float(row["label"]) for row in rows]
        mean = sum(labels) / len(labels)
        errors = [float(row["label"]) - float(row["predicted"]) for row in rows]
        assert sum(error**2 for error in errors) < sum((label - mean) ** 2 for label in labels)


@pytest.mark.parametrize("project", [SKLEARN], indirect=True)
def test_validate_writes_the_examples_and_their_inputs(project: Project) -> None:
    assert finish(project.start("digits.py", "validate")).returncode == 0
    (path,) = project.folder.glob("data/cache/*/examples.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "split", "label", "group", "mean_intensity"]
    assert len({row["id"] for row in rows}) == len(rows) == 1797
    for split in ("train", "validation", "test"):
        intensities = [float(row["mean_intensity"]) for row in rows if row["split"] == split]
        code = (
            "import json, sys, numpy as np; inputs = np.load(sys.argv[1]); "
            "print(json.dumps(inputs.mean(axis=1).tolist()))"
        )
        means = finish(project.start("-c", code, str(path.parent / f"{split}.inputs.npy"))).stdout
        assert json.loads(means) == pytest.approx(intensities, abs=1e-5)  # in the same order


def code_lines(source: str) -> int:
    """Count the lines with a token that is neither a comment nor in a docstring."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in ignored | {tokenize.ENDMARKER}:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_the_script_stays_as_short_as_the_page_says() -> None:
    script = EXAMPLES / "torch_regression/train.py"
    assert code_lines(script.read_text(encoding="utf-8")) <= 100


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs/own-training-script.md").read_text(encoding="utf-8")
    script = (EXAMPLES / "torch_regression/train.py").read_text(encoding="utf-8")
    fragments: list[str] = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(fragments) >= 8
    for fragment in fragments:
        indented = [textwrap.indent(fragment, 4 * level * " ") for level in range(4)]
        assert any(text in script for text in indented), fragment
    (config,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert config in (EXAMPLES / "torch_regression/configs/tune.toml").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        assert (ROOT / "docs" / link).exists(), link


def test_the_examples_share_nothing_with_the_template() -> None:
    for path in EXAMPLES.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.match(r"\s*(from|import) ml_architect", line), path
