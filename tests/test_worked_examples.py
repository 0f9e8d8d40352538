"""The examples of docs/worked-examples.md: their blocks are applied to a fresh project and run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forks
import pytest
from rendering import ROOT, render
from studies import ENVIRONMENT, PYTHON

DOCUMENT = ROOT / "docs/worked-examples.md"

needs_environment = pytest.mark.skipif(
    not ENVIRONMENT.exists() and "CI" not in os.environ,
    reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
)

STEPS = 120
KILL_AT = 45
"""A logged step, after the checkpoint of step 40 and before the end."""
SMALL = f"""
[training]
batch_size = 16
max_steps = {STEPS}
warmup_steps = 5
evaluate_every = 40
log_every = 5

[checkpoint]
every = 10
"""


@dataclass(frozen=True)
class Example:
    """A section of the document."""

    blocks: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Language and content."""

    def apply(self, project: Path) -> list[Path]:
        """Write the files, apply the diffs. Returns the files."""
        written: list[Path] = []
        for language, content in self.blocks:
            if language == "diff":
                git_apply(project, content)
            elif first := re.match(r"# (\S+\.(?:py|toml))\n", content):
                path = project / first[1]
                path.write_text(content, encoding="utf-8")
                written.append(path)
        return written

    @property
    def commands(self) -> list[str]:
        text = "".join(content for language, content in self.blocks if language == "console")
        return re.findall(r"(?m)^\$ (.+)$", text)


def read_examples() -> dict[str, Example]:
    """The examples by heading; a subsection is an example that continues the one before."""
    examples: dict[str, Example] = {}
    heading = ""
    pattern = r"(?ms)^#{2,3} (?P<heading>[^\n]+)$|^```(?P<language>\w+)\n(?P<content>.*?)^```$"
    for match in re.finditer(pattern, DOCUMENT.read_text(encoding="utf-8")):
        if match["heading"]:
            heading = match["heading"]
            examples[heading] = Example()
        else:
            examples[heading].blocks.append((match["language"], match["content"]))
    return examples


EXAMPLES = read_examples()
EMA, SEEDS, FOLDS, TRACKER, GAN, FINE_TUNING, TRANSFORMERS = EXAMPLES


def git_apply(project: Path, diff: str) -> None:
    """Apply a diff as it is in the document, also where the project is inside a repository."""
    done = subprocess.run(
        ["git", "apply", "-"],
        cwd=project,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(project.parent)},
        input=diff,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stderr}\n{diff}"


@pytest.fixture(scope="module")
def fresh(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the document is for."""
    return render(template, tmp_path_factory.mktemp("fresh") / "digits")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands `digits` and `ml-architect`, as if both were installed."""
    folder = tmp_path_factory.mktemp("bin")
    started = {
        "digits": f"{PYTHON} -m digits.cli",
        "ml-architect": f"{sys.executable} -m ml_architect",
    }
    for name, command in started.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


@dataclass(frozen=True)
class Project:
    folder: Path
    commands: Path

    def start(self, command: str) -> subprocess.Popen[str]:
        """A command of the document."""
        path = [str(self.commands), str(ENVIRONMENT / "bin"), os.environ["PATH"]]
        packages = [str(self.folder / "src"), os.environ.get("PYTHONPATH", "")]
        first, *words = shlex.split(command)
        arguments = {"digits": ["-m", "digits.cli"], "python": []}.get(first)
        is_python = arguments is not None and not {"&&", "|", ";"} & {*words}
        start = forks.Popen if is_python else subprocess.Popen
        return start(
            [PYTHON, *(arguments or []), *words] if is_python else ["bash", "-c", command],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": os.pathsep.join(path),
                "PYTHONPATH": os.pathsep.join(filter(None, packages)),
                "OMP_NUM_THREADS": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """Returns the output."""
        process = self.start(command)
        output, _ = process.communicate()
        assert process.returncode == 0, f"{command}\n{output}"
        return output

    def python(self, code: str) -> Any:
        """What the last line of the code's output is in JSON."""
        (self.folder / "check.py").write_text(code, encoding="utf-8")
        return json.loads(self.run("python check.py").splitlines()[-1])

    def kill(self, command: str, run: str) -> None:
        """Start training, and kill it with SIGKILL after the step KILL_AT."""
        process = self.start(command)
        metrics = self.folder / "runs" / run / "metrics.jsonl"
        while process.poll() is None:
            if metrics.exists() and f'"step": {KILL_AT},' in metrics.read_text(encoding="utf-8"):
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        output, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"it ended before it was killed\n{output}"
        assert self.checkpoint(run, 40).is_dir()

    def shorten(self, config: str, **settings: int) -> None:
        """Change settings in a config of the document."""
        path = self.folder / "configs" / config
        text = path.read_text(encoding="utf-8")
        for name, value in settings.items():
            text, count = re.subn(rf"(?m)^{name} = \d+", f"{name} = {value}", text)
            assert count == 1, f"{config}: {name}"
        path.write_text(f"{text}log_every = 5\n\n[checkpoint]\nevery = 10\n", encoding="utf-8")

    def edit(self, config: str, replacements: dict[str, str]) -> None:
        """Change a config of the document, so that a study has fewer and shorter runs."""
        path = self.folder / "configs" / config
        text = path.read_text(encoding="utf-8")
        for old, new in replacements.items():
            assert text.count(old) == 1, f"{config}: {old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def metrics(self, run: str) -> list[dict[str, float]]:
        path = self.folder / "runs" / run / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def json(self, path: str) -> dict[str, Any]:
        return json.loads((self.folder / "runs" / path).read_text(encoding="utf-8"))

    def checkpoint(self, run: str, step: int) -> Path:
        return self.folder / "runs" / run / "checkpoints" / f"step_{step:08d}"

    def result(self, run: str) -> dict[str, str]:
        """Digests of everything that has to be the same in a resumed run."""
        files = [path for path in self.checkpoint(run, STEPS).iterdir() if path.is_file()]
        files.append(self.folder / "runs" / run / "metrics.jsonl")
        return {path.name: digest(path.read_bytes()) for path in files}


@pytest.fixture
def project(request: pytest.FixtureRequest, fresh: Path, commands: Path, tmp_path: Path) -> Project:
    """A fresh project with fast settings, to which the examples in `request.param` are applied."""
    folder = tmp_path / "digits"
    shutil.copytree(fresh, folder)
    (folder / "configs/small.toml").write_text(SMALL, encoding="utf-8")
    for heading in request.param:
        EXAMPLES[heading].apply(folder)
    (folder / "data").mkdir()
    if FOLDS not in request.param:  # it reads the newest cache
        cache = fresh.parent / "cache"
        cache.mkdir(exist_ok=True)
        (folder / "data/cache").symlink_to(cache)
    return Project(folder, commands)


def of(*headings: str) -> pytest.MarkDecorator:
    """For the test of an example, and those before it that it needs."""
    return pytest.mark.parametrize("project", [headings], indirect=True, ids=[headings[-1]])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tensors(path: Path) -> dict[str, str]:
    """Digests of the tensors in a safetensors file, by name."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    offsets = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: digest(content[start + a : start + b]) for name, (a, b) in offsets.items()}


# --- without the projects' environment -----------------------------------------------------------


@pytest.mark.parametrize("heading", [name for name in EXAMPLES if name != TRANSFORMERS])
def test_an_example_applies_to_a_fresh_project(heading: str, fresh: Path, tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    shutil.copytree(fresh, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    EXAMPLES[heading].apply(folder)
    changed = [path for path in folder.rglob("*.*") if path.is_file()]
    changed = [path for path in changed if path.read_bytes() != before.get(path)]
    assert changed != []
    for path in changed:
        if path.suffix == ".py":
            compile(path.read_text(encoding="utf-8"), path, "exec")


# --- slow ----------------------------------------------------------------------------------------

CHECK_AVERAGE = """
import json
from pathlib import Path

import torch
from safetensors.torch import load_model

from digits.cli import main
from digits.config import from_dict
from digits.data.cache import load_split
from digits.eval.evaluate import predict
from digits.training.average import DECAY, update_average
from digits.training.loop import load_best
from digits.training.run import Run

model, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
values = []
for step in range(1, 1000):
    values.append(step ** 0.5)
    torch.nn.init.constant_(model.weight, values[-1])
    update_average(average, model, step)
expected = sum(values[:100]) / 100
for value in values[100:]:
    expected = DECAY * expected + (1 - DECAY) * value
assert abs(average.weight.item() / expected - 1) < 1e-4, (average.weight, expected)

assert main(["evaluate", "runs/ema"]) == 0
run = Run.open(Path("runs/ema"))
config = from_dict(run.read_config())
validation_set = load_split(config, "validation")
model, step = load_best(config, run)
losses = [predict(model, validation_set, 16).metrics()["loss"]]
load_model(model, run.folder / f"checkpoints/step_{step:08d}/trained.safetensors")
losses.append(predict(model, validation_set, 16).metrics()["loss"])
print(json.dumps([step, *losses]))
"""


@pytest.mark.slow
@needs_environment
@of(EMA)
def test_the_average_is_what_is_evaluated_and_resumed_exactly(
    project: Project, fresh: Path, commands: Path
) -> None:
    train, evaluate = EXAMPLES[EMA].commands
    project.run(train)
    assert evaluate == "digits evaluate runs/ema"  # in CHECK_AVERAGE, which is faster
    step, average_loss, trained_loss = project.python(CHECK_AVERAGE)
    (line,) = [line for line in project.metrics("ema") if line["step"] == step]
    assert line["validation/loss"] == pytest.approx(average_loss, rel=1e-6)
    assert abs(trained_loss - average_loss) > 1e-3
    assert project.json("ema/metrics.json")["step"] == step

    # The training itself is that of a project without the average.
    shutil.copytree(fresh / "src", project.folder / "plain/src")
    plain = Project(project.folder / "plain", commands)
    config = "../configs/small.toml --cache-dir ../data/cache"
    plain.run(f"digits train --config {config} --run-name ema")
    losses, plain_losses = (
        [line["train/loss"] for line in each.metrics("ema")] for each in (project, plain)
    )
    assert losses == plain_losses

    project.kill("digits train --config configs/small.toml --run-name killed", "killed")
    project.run("digits train --resume runs/killed")
    assert project.result("killed") == project.result("ema")


@pytest.mark.slow
@needs_environment
@of(SEEDS)
def test_several_seeds_are_trained_once(project: Project) -> None:
    (ablate,) = EXAMPLES[SEEDS].commands
    project.edit("wider.toml", {"[0, 1, 2, 3, 4]": "[0, 1]", "= 200": "= 60", "= 25": "= 30"})
    project.run(f"{ablate} --jobs 2")
    runs = ("baseline-seed-0", "baseline-seed-1")
    values = [project.json(f"wider/{run}/outcome.json")["best_value"] for run in runs]
    assert values[0] != values[1]
    result = (project.folder / "runs/wider/table.md").read_text(encoding="utf-8")
    assert f"| baseline | {sum(values) / 2:.4g} (" in result
    assert "| twice the channels | " in result
    assert "4 of 4 runs have already finished" in project.run(ablate)


MAKE_IMAGES = """
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

scans, labels = load_digits(return_X_y=True)
for number, (scan, label) in enumerate(zip(scans[:300], labels[:300])):
    path = Path(f"data/images/{label}/{number}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((scan.reshape(8, 8) * 15.9).astype("uint8")).save(path)
print("null")
"""


@pytest.mark.slow
@needs_environment
@of(FOLDS)
def test_each_example_is_validated_in_one_fold(project: Project) -> None:
    project.python(MAKE_IMAGES)
    validate, write_folds, ablate = EXAMPLES[FOLDS].commands
    project.run(validate)
    project.run(write_folds)
    splits: dict[str, list[str]] = {}
    for number in range(5):
        lines = (project.folder / f"data/fold-{number}.csv").read_text(encoding="utf-8").split()
        assert lines[0] == "id,split"
        for line in lines[1:]:
            id_, split = line.split(",")
            splits.setdefault(id_, []).append(split)
    assert len(splits) == 300
    assert {tuple(sorted(names)) for names in splits.values()} == {
        ("test",) * 5,
        ("train",) * 4 + ("validation",),
    }

    left_out = {
        f'fold-{fold} = {{ data.split = "data/fold-{fold}.csv" }}\n': "" for fold in (2, 3, 4)
    }
    project.edit("folds.toml", {**left_out, "= 200": "= 60", "= 25": "= 30"})
    project.run(f"{ablate} --jobs 2")
    runs = ("folds/baseline-fold-0-seed-0", "folds/baseline-fold-1-seed-0")
    outcomes = [project.json(f"{run}/outcome.json") for run in runs]
    for fold, outcome in enumerate(outcomes):
        learned = sum(names[fold] == "train" for names in splits.values())
        assert outcome["train_examples"] == learned
    assert len({project.json(f"{run}/run.json")["data"] for run in runs}) == 2
    mean = sum(outcome["best_value"] for outcome in outcomes) / 2
    result = (project.folder / "runs/folds/table.md").read_text(encoding="utf-8")
    assert result.startswith("folds: 2, seeds: 1\n")
    assert f"| baseline | {mean:.4g} (" in result


@pytest.mark.slow
@needs_environment
@of(TRACKER)
def test_the_database_has_each_step_once_and_never_stops_a_run(project: Project) -> None:
    train, query = EXAMPLES[TRACKER].commands
    project.kill(train, "tracked")
    project.run("digits train --resume runs/tracked")
    tracker_id = project.json("tracked/run.json")["tracker"]
    expected = {
        (tracker_id, int(line["step"]), name, value)
        for line in project.metrics("tracked")
        for name, value in line.items()
        if name != "step"
    }
    database = project.folder / "runs/metrics.db"
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT run, step, name, value FROM metrics").fetchall()
    connection.close()
    assert len(rows) == len(expected)
    assert set(rows) == expected
    assert tracker_id in project.run(query)

    database.unlink()
    database.mkdir()  # nobody can write to it
    output = project.run("digits train --config configs/small.toml --run-name untracked")
    assert "The tracker failed" in output
    assert project.metrics("untracked") == project.metrics("tracked")


@pytest.mark.slow
@needs_environment
@of(GAN)
def test_both_networks_of_the_gan_are_trained_and_resumed_exactly(project: Project) -> None:
    train, evaluate = EXAMPLES[GAN].commands
    project.shorten("gan.toml", max_steps=STEPS, batch_size=32, evaluate_every=40)
    project.run(train)
    project.run(evaluate)
    loss = project.json("gan/metrics.json")["metrics"]["loss"]["value"]
    first, *_, last = [line["validation/loss"] for line in project.metrics("gan")[7::8]]
    assert last < first
    assert 0 < loss < first
    samples = sorted((project.folder / "runs/gan").glob("samples-*.png"))
    assert [path.name[8:14] for path in samples] == ["000040", "000080", "000120"]
    assert len({path.read_bytes() for path in samples}) == 3

    command = "digits train --config configs/gan.toml"
    project.kill(f"{command} --run-name early", "early")
    early = tensors(project.checkpoint("early", 40) / "model.safetensors")
    final = tensors(project.checkpoint("gan", STEPS) / "model.safetensors")
    assert {name.partition(".")[0] for name in final} == {"generator", "discriminator"}
    assert [name for name in final if final[name] == early[name]] == []
    project.run("digits train --resume runs/early")
    assert project.result("early") == project.result("gan")


def fine_tune(project: Project) -> None:
    """Pretrain, fine-tune, kill and resume after the file with the weights was deleted."""
    pretrain, copy, train, evaluate = EXAMPLES[FINE_TUNING].commands
    project.shorten("finetune.toml", max_steps=STEPS, frozen_steps=60, evaluate_every=40)
    for command in (pretrain, copy, train):
        project.run(command)
    weights = project.folder / "data/backbone.safetensors"
    pretrained = backbone(weights)

    project.kill("digits train --config configs/finetune.toml --run-name killed", "killed")
    step_40 = project.checkpoint("killed", 40) / "model.safetensors"
    assert backbone(step_40) == pretrained, "frozen"
    heads = [
        {name: value for name, value in tensors(path).items() if name.startswith("head.")}
        for path in (weights, step_40)
    ]
    assert heads[0] != heads[1], "the head is new"
    weights.unlink()
    project.run(evaluate)
    project.run("digits train --resume runs/killed")
    assert project.result("killed") == project.result("finetune")
    final = backbone(project.checkpoint("killed", STEPS) / "model.safetensors")
    assert final.keys() == pretrained.keys()
    assert [name for name in final if final[name] == pretrained[name]] == []


def backbone(path: Path) -> dict[str, str]:
    return {name: value for name, value in tensors(path).items() if name.startswith("backbone.")}


@pytest.mark.slow
@needs_environment
@of(FINE_TUNING)
def test_a_backbone_from_a_file_is_frozen_first_and_then_trained(project: Project) -> None:
    fine_tune(project)


@pytest.mark.slow
@needs_environment
@of(FINE_TUNING, TRANSFORMERS)
def test_a_transformers_model_is_fine_tuned_without_a_network(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fine_tune(project)
