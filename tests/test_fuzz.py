"""Random answers, config files, run folders and tables. `Worker.run` checks what holds for each.

CI tries the same cases each time, for 30 seconds; `make fuzz` tries new ones for ten minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from living import replace
from rendering import ROOT, render
from studies import PYTHON
from test_projects import pytestmark
from test_starters import HEADERS, PETS

__all__ = ["pytestmark"]

SECONDS = float(os.environ.get("FUZZ_SECONDS", "30"))  # for all tests
OUTSIDE = '{"step": 1}\n'  # what is in a file beside the project, to which links point

# Runs commands in one process, since importing torch takes seconds. Answers have a pipe of their
# own. The limit of memory protects the machine that the tests run on.
WORKER = """
import contextlib, importlib, io, json, os, resource, sys, traceback
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
main = importlib.import_module(sys.argv[1]).main
with contextlib.suppress(ImportError):  # the tool has no torch
    import torch
print("ready", file=answers, flush=True)
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        try:
            code = main(json.loads(line))
        except SystemExit as error:
            code = error.code
        except BaseException:
            code = traceback.print_exc()
    print(json.dumps([code, out.getvalue()]), file=answers, flush=True)
"""


class Worker:
    """A process for the commands of a project, or for those of the tool in its folder."""

    def __init__(self, folder: Path, python: Path | str, module: str) -> None:
        self.folder, self.outside = folder, folder.parent / "outside.txt"
        self._command = [str(python), "-c", WORKER, module]
        self._start()

    def _start(self) -> None:
        variables = {"PYTHONPATH": f"src:{ROOT / 'src'}", "HOME": str(self.folder)}
        environment, pipe = {**os.environ, "OMP_NUM_THREADS": "1", **variables}, subprocess.PIPE
        self.process: Any = subprocess.Popen(
            self._command, cwd=self.folder, env=environment, stdin=pipe, stdout=pipe, text=True
        )
        assert self._answer(100) == "ready\n"

    def _answer(self, limit: int) -> str:
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        return self.process.stdout.readline() if ready else ""

    def run(self, *arguments: str, limit: int = 20) -> str:
        """Run a command, check what holds for each, and return what it has printed."""
        self.outside.write_text(OUTSIDE, encoding="utf-8")
        print(json.dumps(arguments), file=self.process.stdin, flush=True)
        if not (answer := self._answer(limit)):
            self.process.kill()
            self._start()
            raise AssertionError(f"crashed, or took more than {limit} seconds: {arguments}")
        code, output = json.loads(answer)
        command = f"{arguments}\n{output[-3000:]}"
        assert code in (0, 1, 2, 3, 75), f"{code}: {command}"
        assert "Traceback (most recent call last)" not in output, command
        assert {*self.folder.parent.iterdir()} == {self.folder, self.outside}, command
        assert self.outside.read_text(encoding="utf-8") == OUTSIDE, command
        return output


@pytest.fixture
def workers(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Iterator[Any]:
    """Of a project with the starter and the kind of config that a test names, and of the tool."""
    starter, config = request.param.split()
    folder = tmp_path.resolve() / "mine"
    render(template, folder, package_name="mine", starter=starter, config=config)
    if starter == "tabular":
        replace(folder / "src/mine/settings.py", '"progression"', '"age"')
        replace(folder / "src/mine/settings.py", "COLUMNS: dict[str, Any] = {}", PETS)
    both = Worker(folder, PYTHON, "mine.cli"), Worker(folder, sys.executable, "ml_architect.cli")
    yield both
    for worker in both:
        worker.process.kill()
        worker.process.wait()


def fuzz(check: Callable[[Any], None], *cases: st.SearchStrategy[Any], share: float = 0.25) -> None:
    """Check random cases for this share of the time, in rounds, since Hypothesis has no limit."""
    end, number = time.monotonic() + share * SECONDS, 0
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    options = settings(database=None, deadline=None, max_examples=5, suppress_health_check=health)
    while time.monotonic() < end:
        number = random.getrandbits(32) if "FUZZ_SECONDS" in os.environ else number + 1
        seed(number)(options(given(st.tuples(*cases))(check)))()


ODD = ["", "..", "~", "$X", "*", "\0", "\x1b[2J", "a\nb", "a" * 5000, "/dev/zero", "cpu", "step"]
TEXTS = st.sampled_from(ODD) | st.text(st.characters(codec="utf-8", exclude_characters="/"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.integers() | st.floats() | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=3,
).map(json.dumps)
RAW = ["9" * 5000, "[" * 5000 + "]" * 5000, "9999-12-31", "nan", "1e999", "'", "\r"]
TOKENS = VALUES | VALUES | TEXTS | st.sampled_from(RAW)
PLACES = st.integers(0, 250) | st.integers(0, 10**6)  # modulo the number of places
KINDS = st.sampled_from([*["replace"] * 6, "insert", "cut", "bytes", "folder", "link", "pipe", ""])
CHANGES = st.lists(st.tuples(KINDS, PLACES, TOKENS), min_size=1, max_size=3)


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def damage(path: Path, kind: str, place: int, token: str) -> None:
    """Change what is in a file, or what is in its place. Nothing is there with an empty kind."""
    if path.parent.resolve() != path.parent or not path.parent.is_dir():
        return  # an earlier change has replaced the folder
    content = path.read_bytes() if path.is_file() else b""
    start = 8 if path.suffix == ".safetensors" else 0  # a header's length, then the header
    end = start + int.from_bytes(content[:start], "little") if start else len(content)
    clear(path)
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(next(p for p in path.parents if p.name == "mine").with_name("outside.txt"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("replace", "insert"):
        parts = re.split(rb"([][{},:=\n])", content[start:end])
        at = place % len(parts)
        parts[at : at + (kind == "replace")] = [token.encode()]
        header = b"".join(parts)
        path.write_bytes(len(header).to_bytes(8, "little")[:start] + header + content[end:])
    elif kind in ("bytes", "cut"):
        at, new = place % (len(content) + 1), token.encode()
        rest = content[at + len(new) :] if kind == "bytes" else b""
        path.write_bytes(content[:at] + new + rest)


STEPS = ["--training.max-steps=20", "--training.warmup-steps=0", "--training.evaluate-every=5"]
MORE = ["--allow-changes", "--training.max-steps=25", "--training.max-minutes=0.1"]


@pytest.mark.parametrize("workers", ["blank dataclass"], indirect=True)
def test_answers(workers: Any, template: Path) -> None:
    project, tool = workers
    file = project.folder / "answers.yml"

    def check(case: Any) -> None:
        answers, (name, text) = case
        lines = [f"{name}: {token}\n" for name, token in answers.items()]
        file.write_text("".join(lines), encoding="utf-8")
        data = f"--data={name}={text}".replace("\0", "")  # no argument can have it
        tool.run("new", "made", f"--template={template}", f"--answers={file}", data)
        clear(project.folder / "made")

    names = st.sampled_from([*yaml.safe_load((ROOT / "copier.yml").read_bytes())])
    fuzz(check, st.dictionaries(names, TOKENS, max_size=2), st.tuples(names, TEXTS))


@pytest.mark.parametrize("workers", ["tabular dataclass", "image pydantic"], indirect=True)
def test_config_files(workers: Any) -> None:
    project, _ = workers
    file, defaults = project.folder / "random.toml", project.run("train", "--dry-run")

    def check(case: Any) -> None:
        command, changes = case
        clear(file)
        file.write_text(defaults, encoding="utf-8")
        for change in changes:
            if change[0] != "pipe":  # a config may come from one: --config <(command)
                damage(file, *change)
        project.run(*command, f"--config={file}")

    commands = st.sampled_from([("train", "--dry-run"), ("validate", "--cache-dir=data/cache")])
    fuzz(check, commands, CHANGES, share=1 / 8)


@pytest.mark.parametrize("workers", ["image dataclass"], indirect=True)
def test_run_folders(workers: Any) -> None:
    project, tool = workers
    run, intact = project.folder / "runs/a", project.folder / "intact"
    project.run("train", "--run-name=a", *STEPS, limit=100)
    assert "Passed" in project.run("evaluate", "runs/a", limit=100)
    run.rename(intact)
    names = sorted(str(path.relative_to(intact)) for path in intact.rglob("*.*[!g]"))
    names += ["train.log", "report.html", ".run.json", "checkpoints", "checkpoints/step_00000025"]

    def check(case: Any) -> None:
        command, damaged, changes, has_checksums = case
        clear(run)
        shutil.copytree(intact, run)
        for name, change in zip(damaged, changes, strict=False):
            damage(run / name, *change)
        for manifest in run.glob("checkpoints/*/manifest.json") if has_checksums else ():
            files = [file for file in manifest.parent.iterdir() if file.is_file()]
            sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
            sums.pop(manifest.name, None)
            clear(manifest)
            manifest.write_text(json.dumps(sums), encoding="utf-8")
        (tool if command[0] == "runs" else project).run(*command)

    commands = [("evaluate", "runs/a"), ("train", "--resume=runs/a"), ("runs",), ("runs", "runs/a")]
    commands += [("train", "--resume=runs/a", *MORE)]
    damaged = st.lists(st.sampled_from(names), min_size=3, max_size=3)
    fuzz(check, st.sampled_from(commands), damaged, CHANGES, st.booleans())


@pytest.mark.parametrize("workers", ["tabular pydantic"], indirect=True)
def test_tables(workers: Any) -> None:
    project, _ = workers
    rows = [f"{n},{n * 2.5},{n},{('cat', 'dog')[n % 2]},{'abc'[n % 3]},{n % 40}" for n in range(99)]
    table = "\n".join([HEADERS["tabular"], *rows])
    (project.folder / "intact.csv").write_text(table, encoding="utf-8")
    options = ["--run-name=a", "--data.path=intact.csv", *STEPS]
    assert "Passed" in project.run("train", *options, limit=100)

    def check(case: Any) -> None:
        suffix, length, changes, command = case
        file = project.folder / f"random{suffix}"
        clear(file)
        file.write_text(table[:length], encoding="utf-8")
        for change in changes:
            damage(file, *change)
        project.run(*command, f"{'--data.path=' * (command[0] == 'validate')}{file}")

    suffixes = st.sampled_from([".csv", ".csv", ".csv", ".parquet", ".xlsx"])
    commands = st.sampled_from([("validate",), ("predict", "runs/a")])
    fuzz(check, suffixes, st.sampled_from([100, len(table)]), CHANGES, commands)
