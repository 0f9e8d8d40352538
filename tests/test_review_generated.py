"""`ml-architect review` of generated projects, also with `--run`, which trains them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest
from combinations import CHOICES
from rendering import render
from reviews import ANSWERS, Review
from studies import ENVIRONMENT

from ml_architect.review import checklist, dynamic
from ml_architect.review.project import read_project

PROJECTS = [
    *((starter, "production") for starter in CHOICES["starter"]),
    ("blank", "prototype"),  # of these stages, projects only have fewer files
    ("blank", "exploration"),
]


@pytest.mark.parametrize(("starter", "stage"), PROJECTS)
def test_a_generated_project_has_no_finding(
    starter: str, stage: str, review: Review, template: Path
) -> None:
    render(template, review.root, starter=starter, stage=stage, package_name="mine")
    assert review() == 0, review.out
    assert f"Stage: {stage} (.copier-answers.yml)" in " ".join(review.out.split())
    assert "trains from " in review.out
    assert "\nNotes\n" not in review.out
    if stage != "production":  # the strictest stage judges every project alike
        assert review("--stage=production") == 0, review.out


PLANTED = {
    "data isn't validated": (0, r"\bvalidate\(|\bvalidator\.check\(", "gather("),
    "nothing is seeded": (1, r"(?i)seed", "begin"),
    "nothing is saved": (2, r"(?i)save|CheckpointManager", "hold"),
    "it has no small scale": (3, r"(?i)max_steps|debug|dry.run|overfit", "whole"),
    "the gradient norm isn't logged": (4, r"gradient_norm", "other"),
    "a file stays open": (5, r"\Z", "\n\ndef leak():\n    return open('x').read()\n"),
    "a function has no types": (6, r"\Z", "\n\ndef add(a, b):\n    return a + b\n"),
    "a function has no docstring": (7, r"\Z", "\n\ndef add(a: int) -> int:\n    return a\n"),
}
"""An item of the checklist, and what is replaced in the whole project."""


@pytest.fixture(scope="module")
def blank(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated project."""
    folder = tmp_path_factory.mktemp("blank") / "project"
    render(template, folder, starter="blank", package_name="mine", stage="prototype")
    return folder


@pytest.mark.parametrize(("item", "old", "new"), PLANTED.values(), ids=PLANTED)
def test_a_fault_of_each_item_of_the_checklist_is_found_in_a_generated_project(
    item: int, old: str, new: str, blank: Path, tmp_path: Path
) -> None:
    kind, text = answer(blank, item)
    assert kind == ("coverage" if item > 5 else "question" if item == 5 else "seen"), text
    planted = tmp_path / "planted"
    shutil.copytree(blank, planted)
    files = [*planted.glob("src/**/*.py"), *planted.glob("configs/*.toml")]
    for path in files if item < 5 else files[:1]:
        path.write_text(re.sub(old, new, path.read_text("utf-8")), "utf-8")
    planted_kind, planted_text = answer(planted, item)
    assert planted_kind in ("question", "coverage")
    assert planted_text != text


@cache
def answer(folder: Path, item: int) -> tuple[str, str]:
    """Kind and text of an answer of the checklist."""
    answered = checklist.answers(read_project(folder), [])[item]
    return answered.kind, answered.text


# --- run ------------------------------------------------------------------------------------------

TRAINER = """
import json, os, sys, time, pathlib
name = sys.argv[sys.argv.index("--run-name") + 1] if "--run-name" in sys.argv else ""
if not name:
    print("[training]\\nmax_steps = 400")
    sys.exit()
folder = pathlib.Path("runs") / name
folder.mkdir(parents=True, exist_ok=True)
(folder / "metrics.jsonl").touch()
lines = (folder / "metrics.jsonl").read_text().splitlines()
(folder / "config.toml").touch()
(folder / "run.json").write_text('{"format": 1, "started": "2026-01-01T00:00:00Z"}')
offset, kept = {offset}, []
with open(folder / "metrics.jsonl", "a") as metrics, open(folder / "timings.jsonl", "a") as timings:
    for step in range(len(lines) * 10 + 10, 201, 10):
        {each}
        time.sleep(0.005)
        metrics.write(json.dumps({"step": step, "train/loss": 1 / step + offset}) + "\\n")
        memory = 500_000_000 + {memory}
        timings.write(json.dumps({"step": step, "seconds": 1, "memory_bytes": memory}) + "\\n")
        metrics.flush()
(folder / "outcome.json").write_text('{"metric": "a", "mode": "min", "best_value": 1}')
"""


@pytest.mark.skipif(sys.platform == "win32", reason="scripts have another form there")
@pytest.mark.parametrize(
    ("offset", "each", "memory", "expected"),
    [
        ("0", "", "0", []),
        ("os.getpid()", "", "0", ["ML501"]),
        ("len(lines)", "", "0", ["ML502"]),
        ("0", "", "step * 200_000", ["ML503"]),
        ("0", "kept += [open(os.devnull) for _ in range(4)]", "0", ["ML503"]),
    ],
    ids=["valid", "no seed", "not resumed", "memory", "files"],
)
def test_run_trains_a_generated_project(
    offset: str,
    each: str,
    memory: str,
    expected: list[str],
    review: Review,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "kept" in each and not Path("/proc/self/fd").exists():
        pytest.skip("only Linux lists open files")
    code = TRAINER.replace("{offset}", offset).replace("{each}", each or "pass")
    script = tmp_path / "digits"
    script.write_text(f"#!{sys.executable}\n{code.replace('{memory}', memory)}", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setattr(dynamic, "POLL_SECONDS", 0.001)
    (review.root / ".copier-answers.yml").write_text(ANSWERS.format(stage="exploration"), "utf-8")
    (review.root / "pyproject.toml").write_text("[project.scripts]\ndigits = 'a:b'\n", "utf-8")
    (review.root / "configs").mkdir()
    (review.root / "configs/small.toml").touch()
    review.write(one="x = 1\n")
    assert review.ids("--run") == expected
    assert review.err.count("--run: ") == 4
    assert os.listdir(review.root / "runs") == []  # noqa: PTH208


def test_run_is_refused_where_the_command_is_unknown(review: Review) -> None:
    review.write(one="x = 1\n")
    assert "expected a project made by ml-architect, since --run trains" in review.refused("--run")
    (review.root / ".copier-answers.yml").write_text(ANSWERS.format(stage="prototype"), "utf-8")
    (review.root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    message = review.refused("--run")  # which can't advise --command: that is an option of studies
    assert message.endswith("has no [project.scripts]; expected one, which trains\n")


@pytest.mark.slow
@pytest.mark.skipif(not ENVIRONMENT.exists(), reason=f"{ENVIRONMENT} isn't there: make test")
@pytest.mark.skipif(sys.platform == "win32", reason="scripts have another form there")
def test_run_finds_nothing_in_a_generated_project(
    review: Review, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render(template, review.root, starter="image", package_name="mine")
    python = ENVIRONMENT / "bin/python"
    script = tmp_path / "mine"
    script.write_text(f'#!/bin/sh\nexec "{python}" -m mine.cli "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    for name, value in {"PYTHONPATH": review.root / "src", "OMP_NUM_THREADS": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert review("--run") == 0, review.out
    text = " ".join(review.out.split())
    for part in (
        "Memory or the number of open files grows with every step: not found: ",
        "The same seed gives a different loss: not found: ",
        "A run that is killed and resumed ends with different metrics: not found: killed by",
    ):
        assert part in text
