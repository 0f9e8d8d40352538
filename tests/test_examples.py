"""The third-party projects in examples/ follow both contracts of docs/run-format.md.

Their command lines run in `.venv-project`, without the tool.
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

import forks
import pytest
from rendering import ROOT

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", ROOT / ".venv-project"))
EXAMPLES = ROOT / "examples"
STUDIES = ("scale", "tune", "ablate")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
]


@dataclass(frozen=True)
class Example:
    """A third-party project, and what the tests expect of it."""

    name: str
    script: str
    evaluate: tuple[str, ...]
    long_config: str
    """Settings of a run that trains for about two seconds."""
    invalid_config: str
    problems: tuple[str, ...]
    """The settings of `invalid_config` that the error message has to name."""
    columns: tuple[str, ...]
    """The columns of predictions.csv."""


SKLEARN = Example(
    name="sklearn_digits",
    script="digits.py",
    evaluate=("digits.py", "evaluate"),
    long_config="[training]\nepochs = 50\n",
    invalid_config='sed = 1\n[training]\nepochs = 0\nlearning_rate = "fast"\nrate = 1\n',
    problems=("sed", "training.epochs", "training.learning_rate", "training.rate"),
    columns=("id", "label", "predicted", "confidence", "loss", "mean_intensity"),
)
TORCH = Example(
    name="torch_regression",
    script="train.py",
    evaluate=("evaluate.py",),
    long_config="epochs = 250\n",
    invalid_config='sed = 1\nepochs = 0\nlearning_rate = "fast"\nhidden = nan\n',
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
        return forks.Popen(
            [forks.PYTHON, *arguments],
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
        """Print the resolved config."""
        return finish(self.start(self.example.script, "train", "--config", config, "--dry-run"))

    def files(self) -> dict[str, int]:
        """The modification time of every file."""
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
    (folder / "invalid.toml").write_text(example.invalid_config, encoding="utf-8")
    return Project(example, folder)


@pytest.fixture(scope="module")
def uninterrupted(project: Project) -> Path:
    """The folder of a run that wasn't interrupted."""
    result = finish(project.train("long.toml", "study/uninterrupted"))
    assert result.returncode == 0, result.stderr
    return project.folder / "runs/study/uninterrupted"


def assert_same_results(run: Path, uninterrupted: Path) -> None:
    """An interrupted run has the same results as one that wasn't."""
    for name in ("metrics.jsonl", "config.toml"):
        assert (run / name).read_bytes() == (uninterrupted / name).read_bytes()
    outcomes = [
        json.loads((folder / "outcome.json").read_bytes()) for folder in (run, uninterrupted)
    ]
    for outcome in outcomes:
        outcome.pop("seconds", None)
    assert outcomes[0] == outcomes[1]


def size(path: Path) -> int:
    """Size in bytes; 0 for a file that doesn't exist."""
    return path.stat().st_size if path.exists() else 0


def test_dry_run_prints_the_resolved_config_and_writes_nothing(project: Project) -> None:
    before = project.files()
    result = project.dry_run("configs/base.toml")
    assert (result.returncode, result.stderr) == (0, "")
    config = tomllib.loads(result.stdout)
    given = tomllib.loads((project.folder / "configs/base.toml").read_text(encoding="utf-8"))
    assert config["seed"] == 0
    assert merge(config, given) == config
    assert project.files() == before

    (project.folder / "resolved.toml").write_text(result.stdout, encoding="utf-8")
    assert project.dry_run("resolved.toml").stdout == result.stdout


def test_dry_run_imports_no_framework(project: Project) -> None:
    script, config = project.example.script, "configs/base.toml"
    command = [forks.PYTHON, "-X", "importtime", script, "train", "--config", config, "--dry-run"]
    imported = subprocess.run(command, cwd=project.folder, capture_output=True, text=True).stderr
    assert "tomli_w" in imported
    assert not re.search(r"\b(torch|sklearn|numpy)\b", imported)


def test_invalid_settings_are_all_reported(project: Project) -> None:
    before = project.files()
    trained = finish(project.train("invalid.toml", "invalid"))
    for result in (project.dry_run("invalid.toml"), trained):
        assert (result.returncode, result.stdout) == (2, "")
        lines = result.stderr.splitlines()
        assert {line.partition(":")[0] for line in lines} == set(project.example.problems)
    assert project.files() == before


@pytest.mark.parametrize("text", [None, "seed = ", "seed = true"])
def test_an_unreadable_config_is_a_usage_error(project: Project, text: str | None) -> None:
    path = project.folder / "unreadable.toml"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text, encoding="utf-8")
    result = project.dry_run("unreadable.toml")
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr


def merge(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge changes into settings, table by table."""
    merged = dict(settings)
    for name, value in changes.items():
        if isinstance(value, dict):
            value = merge(merged.get(name, {}), cast("dict[str, Any]", value))
        merged[name] = value
    return merged


def boundary_values(space: dict[str, Any]) -> list[dict[str, Any]]:
    """Every bound and option of a search space, one at a time."""
    if "low" in space or "options" in space:
        return space["options"] if "options" in space else [space["low"], space["high"]]
    return [{name: value} for name, nested in space.items() for value in boundary_values(nested)]


def test_studies_vary_settings_that_exist(project: Project) -> None:
    assert {path.stem for path in project.folder.glob("configs/*")} == {"base", *STUDIES}
    for kind in STUDIES:
        text = (project.folder / f"configs/{kind}.toml").read_text(encoding="utf-8")
        settings = tomllib.loads(text)
        study = settings.pop(kind)
        variants = [*study.get("changes", {}).values(), *study.get("sizes", {}).values()]
        variants += boundary_values(study.get("space", {}))
        assert variants
        for changes in variants:
            lines = [
                f"{name} = {json.dumps(value)}\n" for name, value in flatten(settings, changes)
            ]
            (project.folder / "variant.toml").write_text("".join(lines), encoding="utf-8")
            result = project.dry_run("variant.toml")
            assert result.returncode == 0, result.stderr
            config = tomllib.loads(result.stdout)
            assert merge(config, changes) == config


def flatten(settings: dict[str, Any], changes: dict[str, Any]) -> list[tuple[str, Any]]:
    """Merge the changes into the settings. Returns pairs of full name and value."""
    flat: list[tuple[str, Any]] = []
    for name, value in merge(settings, changes).items():
        if isinstance(value, dict):
            nested = flatten(cast("dict[str, Any]", value), {})
            flat += [(f"{name}.{inner_name}", inner) for inner_name, inner in nested]
        else:
            flat.append((name, value))
    return flat


def test_a_run_writes_the_documented_files(project: Project, uninterrupted: Path) -> None:
    config = tomllib.loads((uninterrupted / "config.toml").read_text(encoding="utf-8"))
    assert config == tomllib.loads(project.dry_run("long.toml").stdout)

    created = json.loads((uninterrupted / "run.json").read_bytes())
    assert created["format"] == 1
    assert re.match(r"\d{4}-\d\d-\d\dT.*[+]00:00$", created["started"])

    lines = (uninterrupted / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics: list[dict[str, float]] = [json.loads(line) for line in lines]
    steps = [line["step"] for line in metrics]
    assert steps == sorted(set(steps))
    assert all(math.isfinite(value) for line in metrics for value in line.values())
    assert {"step", "train/loss", "validation/loss"} <= metrics[0].keys()

    outcome = json.loads((uninterrupted / "outcome.json").read_bytes())
    best = min if outcome["mode"] == "min" else max
    assert outcome["best_value"] == best(line[outcome["metric"]] for line in metrics)
    assert outcome["step"] == steps[-1]
    assert outcome["best_step"] in steps
    assert outcome["parameters"] > 0
    assert outcome["train_examples"] > 0
    assert not list(uninterrupted.glob("*.tmp"))


def test_a_finished_run_is_not_changed(project: Project, uninterrupted: Path) -> None:
    before = project.files()
    assert finish(project.train("long.toml", "study/uninterrupted")).returncode == 0
    changed = finish(project.train("configs/base.toml", "study/uninterrupted"))
    assert changed.returncode == 2
    after = project.files()
    lock = str(uninterrupted / ".lock")
    assert before.pop(lock)
    assert after.pop(lock)
    assert after == before


def test_a_run_killed_at_random_times_has_the_results_of_an_uninterrupted_one(
    project: Project, uninterrupted: Path
) -> None:
    run = project.folder / "runs/killed"
    rng = random.Random()
    delays: list[float] = []  # seconds
    for kill in range(5):
        logged = size(run / "metrics.jsonl")
        process = project.train("long.toml", "killed")
        # The first process is killed before it trains, the others while they train.
        while kill and size(run / "metrics.jsonl") <= logged and process.poll() is None:
            time.sleep(0.002)
        delays.append(rng.uniform(0, 0.15 if kill else 1))
        time.sleep(delays[-1])
        process.kill()
        process.communicate()
    assert not (run / "outcome.json").exists(), "it ended before it was killed"
    result = finish(project.train("long.toml", "killed"))
    assert result.returncode == 0, (result.stderr, delays)
    assert_same_results(run, uninterrupted)


def test_a_stopped_run_is_saved_and_resumed(project: Project, uninterrupted: Path) -> None:
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
        result = finish(process)
        assert result.returncode == 75, (number, result.stderr)
        assert "Traceback" not in result.stderr
        assert size(run / "metrics.jsonl") > logged
        assert not (run / "outcome.json").exists()
    assert finish(project.train("long.toml", "stopped")).returncode == 0
    assert_same_results(run, uninterrupted)


def test_a_run_in_use_is_not_changed(project: Project) -> None:
    lock = project.folder / "runs/in-use/.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = finish(project.train("long.toml", "in-use"))
    assert result.returncode == 3, result.stderr
    assert "in use" in result.stderr
    assert list(lock.parent.iterdir()) == [lock]


def test_evaluate_writes_the_predictions(project: Project, uninterrupted: Path) -> None:
    run = str(uninterrupted.relative_to(project.folder))
    result = finish(project.start(*project.example.evaluate, run))
    assert result.returncode == 0, result.stderr
    with (uninterrupted / "predictions.csv").open(newline="", encoding="utf-8") as file:
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


def test_the_page_quotes_the_example() -> None:
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
