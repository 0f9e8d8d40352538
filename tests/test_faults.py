"""Faults of the machine in each phase: one line and an exit code, and then the same result.

Full disks, too little memory, stopped processes, clocks, and two processes at once. How training
survives kills and full disks is in `test_abuse.py`, hostile files in `test_machines.py`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import pytest
from mounts import mounted, needs_mounts
from rendering import render
from repository import tree
from studies import ENVIRONMENT, PYTHON
from test_abuse import result_of
from test_machines import SHORT, START, WORKERS, Patch, Project, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts as Linux has them"),
]

TRAIN = ["train", "--run-name", "faulty", *SHORT]
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
PHASES = {
    "validate": ["validate"],
    "train": TRAIN,
    "evaluate": ["evaluate", "runs/whole"],
    "predict": ["predict", "runs/whole", "data/records.csv", "--output", "out/new.csv"],
}


@pytest.fixture(scope="module")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With a run that was evaluated and its predictions of new data."""
    folder = tmp_path_factory.mktemp("faults") / "digits"
    render(template, folder, package_name="digits", starter="blank")
    (folder / "out").mkdir()
    project = Project(folder)
    project.trained("whole")
    for phase in ("evaluate", "predict"):
        project.run(*PHASES[phase])
    return project


@pytest.fixture
def project(rendered: Project) -> Iterator[Project]:
    yield rendered
    for name in ("runs/faulty", "later", "saved"):
        shutil.rmtree(rendered.folder / name, ignore_errors=True)


def command(project: Project, *arguments: str, patch: Patch = "") -> dict[str, Any]:
    """What `subprocess` needs to run a command of the project."""
    words = [str(PYTHON), "-c", f"{patch}\n{START}", *arguments]
    env = {**os.environ, "PYTHONPATH": str(project.folder / "src"), "OMP_NUM_THREADS": "1"}
    return {"args": words, "cwd": project.folder, "env": env, "text": True}


def faulty(project: Project, limits: str, *arguments: str, patch: Patch = "") -> tuple[int, str]:
    """Run a command, after a shell script and Python that break something for it alone.

    Returns:
        The exit code, and what was printed on standard error: one line, or nothing.
    """
    options = command(project, *arguments, patch=patch)
    words = options.pop("args")
    options |= {"capture_output": True, "timeout": 60}
    if limits:  # a fork has everything imported
        script = f'{limits}\nexec "$@"'
        result = subprocess.run(["sh", "-euc", script, "sh", *words], **options)
    else:
        result = forks.run(words, **options)
    check(result.returncode, result.stderr)
    return result.returncode, result.stderr


def check(code: int, errors: str) -> None:
    assert code in {0, 1, 2, 3, 75}, errors
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= (code != 0), errors


def assert_whole(project: Project, phase: str) -> None:
    """Continued, or started if nothing is there, it ends like one without any fault."""
    runs = project.folder / "runs"
    if phase == "train":
        project.run(*TRAIN, "--or-resume")
        assert result_of(runs / "faulty") == result_of(runs / "whole")


# --- the disk ------------------------------------------------------------------------------------

FULL = """
mkdir saved
cp -a {0}/. saved
mount -t tmpfs -o size=1m tmpfs {0}
cp -a saved/. {0}
free=$(df --output=avail {0} | tail -n 1)
dd if=/dev/zero of={0}/filler bs=1k count=$((free - {1})) 2> /dev/null
"""
COLD = """
mkdir -p {0}
mount -t tmpfs -o size={1}k tmpfs {0}
"""


@needs_mounts
@pytest.mark.parametrize(
    ("phase", "folder", "free"),
    [
        *(("validate", "data/cache", free) for free in (8, 24)),
        ("train", "data/cache", 32),
        ("evaluate", "runs", 0),
        ("predict", "out", 4),
    ],
)
def test_a_full_disk_is_one_line_and_with_space_the_result_is_the_same(
    phase: str, folder: str, free: int, project: Project
) -> None:
    expected = tree(project.folder / folder)
    script = (FULL if folder == "runs" else COLD).format(folder, free)
    with mounted(project.folder, script) as mounts:
        errors = project.refused(*PHASES[phase], code=1, env=mounts.variables)
        assert "No space left on device" in errors
        assert errors.startswith((f"{folder}/", "couldn't write runs/faulty/"))
        mounts.shell(f"mount -o remount,size=1m {folder}; rm -f {folder}/filler")
        project.run(*PHASES[phase], env=mounts.variables)
        mounts.shell(f"cp -a {folder} later")
    if phase in ("evaluate", "predict"):
        assert tree(project.folder / "later") == expected
    assert_whole(project, phase)


# --- limits ---------------------------------------------------------------------------------------

MEMORY = """
import resource
import numpy, torch
import digits.{module} as module
calls, original = [], module.{function}
def allocate(*arguments):
    calls.append(arguments)
    if len(calls) == {after}:
        resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
        {library}.empty(2**34)
    return original(*arguments)
module.{function} = allocate
"""


@pytest.mark.parametrize(
    ("phase", "module", "function", "after", "library"),
    [
        ("validate", "data.source", "read", 1, "numpy"),
        ("train", "training.loop", "train_step", 7, "torch"),
        ("train", "training.loop", "validation_metrics", 2, "numpy"),
        ("train", "training.checkpoint", "save_files", 3, "numpy"),  # in the thread that writes
        ("evaluate", "eval.evaluate", "plot_mistakes", 1, "numpy"),
        ("predict", "eval.evaluate", "predicted_columns", 3, "torch"),
    ],
)
def test_a_lack_of_memory_is_one_line(
    phase: str, module: str, function: str, after: int, library: str, project: Project
) -> None:
    patch = MEMORY.format(module=module, function=function, after=after, library=library)
    code, errors = faulty(project, "", *PHASES[phase], patch=patch)
    assert code == 1
    assert errors.startswith("out of memory; ")
    assert_whole(project, phase)


@pytest.mark.parametrize("limit", [300_000, 450_000, 500_000, 700_000, 1_050_000])
def test_too_little_memory_for_the_imports_is_one_line(limit: int, project: Project) -> None:
    # Otherwise torch aborts with 450 MB, NumPy prints 64 lines with 500, SciPy hangs with 700.
    code, errors = faulty(project, f"ulimit -v {limit}", *PHASES["evaluate"])
    assert code == 1
    assert errors.startswith("out of memory; ")


def test_64_files_are_enough_to_train_with_workers(project: Project) -> None:
    assert faulty(project, "ulimit -n 64", *TRAIN, WORKERS) == (0, "")
    assert_whole(project, "train")


READ_ONLY = """
mount --bind {0} {0}
mount -o remount,bind,ro {0}
"""


@needs_mounts
@pytest.mark.parametrize(
    ("phase", "folder", "expected"),
    [("validate", "data/cache", 1), ("train", "data/cache", 0), ("train", "runs", 1)],
)
def test_a_folder_that_is_read_only_is_named_if_it_has_to_be_written(
    phase: str, folder: str, expected: int, project: Project
) -> None:
    with mounted(project.folder, READ_ONLY.format(folder)) as mounts:
        if expected:
            errors = project.refused(*PHASES[phase], code=expected, env=mounts.variables)
            assert errors.startswith(f"{folder}/"), errors
            assert errors.endswith(": Read-only file system\n")
        else:
            project.run(*PHASES[phase], env=mounts.variables)
    if not expected:
        assert_whole(project, phase)


# --- time ----------------------------------------------------------------------------------------

SLOW = """
import time
from digits.data import loader
from digits.training import loop
loader.TIMEOUT, original = 2, loop.train_step
def train_step(*arguments):
    time.sleep(0.1)
    return original(*arguments)
loop.train_step = train_step
"""


def test_a_run_that_was_suspended_goes_on(project: Project) -> None:
    process = project.start(*TRAIN, WORKERS, patch=SLOW, start_new_session=True)
    metrics = project.folder / "runs/faulty/metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size, process)
    os.killpg(process.pid, signal.SIGSTOP)  # its workers too
    time.sleep(4)
    os.killpg(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert_whole(project, "train")


CLOCK = """
import time
now, calls = time.time, []
def back():
    calls.append(None)
    return now() - 86400 * len(calls)
time.time, time.time_ns = back, lambda: int(back() * 1e9)
"""


@pytest.mark.parametrize("phase", ["validate", "evaluate"])
def test_a_clock_that_jumps_back_changes_nothing(phase: str, project: Project) -> None:
    shutil.rmtree(project.folder / "data/cache")
    assert faulty(project, "", *PHASES[phase], patch=CLOCK) == (0, "")


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
JUMPS = """
from digits.training import loop
original, days = loop.train_step, []
def train_step(*arguments):
    days.append(1)
    open("saved/clock", "w").write(f"-{len(days)}d")
    return original(*arguments)
loop.train_step = train_step
"""


@pytest.mark.skipif(
    FAKETIME is None and "CI" not in os.environ,
    reason="no libfaketime: apt-get install faketime",
)
def test_a_clock_that_jumps_back_in_each_step_changes_no_bit_of_a_run(project: Project) -> None:
    fault = f"""
    mkdir saved
    echo +0 > saved/clock
    export FAKETIME_TIMESTAMP_FILE=saved/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
    export LD_PRELOAD={FAKETIME}
    """
    assert faulty(project, fault, *TRAIN, patch=JUMPS) == (0, "")
    assert_whole(project, "train")


# --- folders that vanish --------------------------------------------------------------------------

VANISHING = """
import contextlib, io, json, shutil
from digits.cli import main
from digits.data.validation import Validator
from digits.eval import evaluate
from digits.training import checkpoint, loop
def call(*words):
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = main(words)
    return [code, errors.getvalue()]
def vanish(folder, module, name, after, *words):
    original, calls = getattr(module, name), []
    def patched(*arguments, **named):
        calls.append(name)
        if len(calls) == after:
            shutil.rmtree(folder)
        return original(*arguments, **named)
    setattr(module, name, patched)
    try:
        return call(*words)
    finally:
        setattr(module, name, original)
train = json.loads({train!r})
evaluation = ["evaluate", "runs/faulty"]
results = [
    vanish("data/cache", Validator, "check", 7, "validate"),
    call("validate"),
    vanish("data/cache", loop, "train_step", 7, *train),
    call(*train, "--or-resume"),
    vanish("runs/faulty", evaluate, "plot_mistakes", 1, *evaluation),
    call(*train),
    vanish("data/cache", evaluate, "predict", 1, *evaluation),
    call(*evaluation),
    shutil.rmtree("runs/faulty"),
    vanish("runs/faulty", loop, "train_step", 7, *train),
    vanish("runs/faulty", checkpoint, "save_files", 2, *train),
    vanish("runs/faulty", loop, "stop_reason", 21, *train),
    call(*train),
]
print(json.dumps(results))
sys.exit()
"""


def test_a_folder_that_vanishes_is_named_and_the_next_start_is_a_clean_one(
    project: Project,
) -> None:
    patch = "import sys\n" + VANISHING.replace("{train!r}", repr(json.dumps(TRAIN)))
    results = [result for result in json.loads(project.run(patch=patch)) if result]
    failed = [errors for code, errors in results if code]
    assert [code for code, _ in results] == [1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0]
    for number, errors in enumerate(failed):
        assert errors.count("\n") == 1, errors
        assert errors.startswith(("data/cache/", "runs/faulty")), errors
        assert "moved or deleted? Restore it, or start again" in errors, number
    assert [errors for code, errors in results if not code] == [""] * 5
    assert_whole(project, "train")


# --- other processes -----------------------------------------------------------------------------

TOGETHER = """
import time
from pathlib import Path
from uuid import uuid4
from digits.data import cache
original = cache._digest
def digest(folder):
    saved = Path("saved")
    saved.mkdir(exist_ok=True)
    (saved / uuid4().hex).touch()
    until = time.monotonic() + 30
    while len(list(saved.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.001)
    return original(folder)
cache._digest = digest
"""


@pytest.mark.parametrize("phase", ["validate", "train"])
@pytest.mark.parametrize("corrupt", [False, True])
def test_two_processes_share_a_cache_and_a_run(phase: str, corrupt: bool, project: Project) -> None:
    project.run("validate")
    (cache,) = project.folder.glob("data/cache/[!.]*")
    (cache / "train.inputs.npy").write_bytes(b"")
    if not corrupt:
        shutil.rmtree(cache)
    options = command(project, *PHASES[phase], patch=TOGETHER)
    processes = [forks.Popen(**options, **PIPES) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    errors = [output[1] for output in outputs]
    codes = [process.returncode for process in processes]
    if phase == "train":  # the slower one is told that the run exists
        assert sorted(codes) == [0, 2], errors
        assert "runs/faulty exists" in "".join(errors)
        assert sum(len(text.splitlines()) for text in errors) == 1
    else:
        assert codes == [0, 0], outputs
        assert "Traceback" not in "".join(errors)
    assert {path.name for path in cache.parent.iterdir()} - {".lock"} == {cache.name}
    assert_whole(project, phase)
