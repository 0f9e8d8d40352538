"""What happens to a run on other people's machines: each ends, with one line and an exit code.

Workers that die or hang, terminals that go away, file systems that can do less, and run folders and
config files that somebody has tampered with.
"""

import hashlib
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import pytest
from combinations import CHOICES
from living import replace
from rendering import render
from repository import commit, git
from studies import ENVIRONMENT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

SECONDS = 60  # a command that takes longer hangs
SHORT = [
    "--training.max-steps=20",
    "--training.warmup-steps=5",
    "--training.batch-size=16",
    "--training.log-every=5",
    "--training.evaluate-every=10",
    "--checkpoint.every=5",
]
LONG = [*SHORT, "--training.max-steps=1000000", "--training.evaluate-every=1000000"]
START = "import sys; from digits.cli import main; sys.exit(main())"

Patch = str  # Python that is run before the command, such as one that breaks a function


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *arguments: str, patch: Patch = "", **options: Any) -> subprocess.Popen[str]:
        environment = {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}
        environment |= options.pop("env", {})
        defaults: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        defaults |= {"cwd": self.folder, "text": True, "errors": "replace"}
        command = [forks.PYTHON, "-c", f"{patch}\n{START}", *arguments]
        # Python reads this variable when it starts.
        popen = subprocess.Popen if "LC_ALL" in environment else forks.Popen
        return popen(
            command,
            env={**os.environ, **environment},
            **{**defaults, **options},
        )

    def run(self, *arguments: str, code: int = 0, **options: Any) -> str:
        """Run a command to its end, which has to come. Returns what it printed."""
        process = self.start(*arguments, **options)
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == code, output + errors
        assert "Traceback" not in errors or code == 1, errors
        return output + errors

    def refused(self, *arguments: str, code: int = 2, **options: Any) -> str:
        """Run a command that has to end with one short line."""
        process = self.start(*arguments, **options)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == code, errors
        assert len(errors.splitlines()) == 1, errors
        assert len(errors) < 1500
        assert errors.removesuffix("\n").isprintable()
        assert "delete" not in errors
        return errors

    def trained(self, name: str, *arguments: str, **options: Any) -> Path:
        self.run("train", "--run-name", name, *SHORT, *arguments, **options)
        return self.folder / "runs" / name

    def copy(self, run: Path, name: str) -> Path:
        copied = self.folder / "runs" / name
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(run, copied)
        return copied


Make = Callable[..., Project]


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("machines") / "digits"
    render(template, folder, package_name="digits", starter="blank")
    return Project(folder)


@pytest.fixture(scope="session", params=CHOICES["config"])
def styled(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """One project per style of config."""
    folder = tmp_path_factory.mktemp(request.param) / "digits"
    render(template, folder, package_name="digits", starter="blank", config=request.param)
    (folder / "runs").mkdir()
    return Project(folder)


@pytest.fixture(scope="session")
def run(project: Project) -> Path:
    return project.trained("whole")


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8")
    return [int(child) for child in text.split()]


def ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


# --- workers -------------------------------------------------------------------------------------

AUGMENT = """
import os, signal, sys, time
from digits.data import dataset, loader
loader.TIMEOUT, loader.STOP_TIMEOUT = 3, 2
main_process, calls, original = os.getpid(), [], dataset.Dataset.__getitem__
def load(self, key):
    calls.append(os.getpid())
    if os.getpid() != main_process and calls.count(os.getpid()) > {after}:
        {action}
    return original(self, key)
dataset.Dataset.__getitem__ = load
"""
HANG = AUGMENT.format(after=3, action="time.sleep(1000)")
RAISE = AUGMENT.format(after=3, action="raise ValueError('no such augmentation')")
KILLED = AUGMENT.format(after=3, action="os.kill(os.getpid(), signal.SIGKILL)")
FAIL = """
from digits.training import loop
def fail(*_):
    raise ValueError("a bug in the main process")
loop.validation_metrics = fail
"""
WORKERS = "--training.workers=2"


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (FAIL, "a bug in the main process"),
        (HANG + FAIL.replace("validation_metrics", "train_step"), "a bug in the main process"),
        (RAISE, "no such augmentation"),
        (KILLED, "training.workers: "),
        (HANG, "training.workers: no batch for 3 s"),
    ],
    ids=["exception", "exception while workers hang", "worker raises", "worker killed", "hang"],
)
def test_a_run_with_workers_that_fails_ends(
    patch: Patch, expected: str, project: Project, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id.replace(" ", "-").replace("[", "-")
    output = project.run(
        "train", "--run-name", name, *SHORT, WORKERS, patch=patch, code=1, start_new_session=True
    )
    assert expected in output
    assert "disk" not in output
    project.run("train", "--resume", f"runs/{name}")


def test_one_sigterm_ends_a_run_whose_workers_hang(project: Project) -> None:
    name = "hanging"
    patch = HANG.replace("= 3, 2", "= 1000, 2")
    process = project.start("train", "--run-name", name, *LONG, WORKERS, patch=patch)
    metrics = project.folder / f"runs/{name}/metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size, process)
    time.sleep(1)
    workers = children(process.pid)
    process.terminate()
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 75, errors
    assert "stopped while no batch arrived; resume the run" in errors
    assert workers
    assert all(map(ended, workers))
    shutil.rmtree(metrics.parent)


def test_a_run_that_is_stopped_before_its_first_batch_can_be_resumed(project: Project) -> None:
    patch = HANG.replace("> 3", "> -1").replace("= 3, 2", "= 1000, 2")
    process = project.start("train", "--run-name", "early", *SHORT, WORKERS, patch=patch)
    wait_for(lambda: len(children(process.pid)) >= 2, process)
    time.sleep(1)
    process.terminate()
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 75, errors
    project.run("train", "--resume", "runs/early")
    expected = (project.trained("not-early") / "metrics.jsonl").read_bytes()
    assert (project.folder / "runs/early/metrics.jsonl").read_bytes() == expected
    shutil.rmtree(project.folder / "runs/early")
    shutil.rmtree(project.folder / "runs/not-early")


@pytest.mark.parametrize(
    "patch", ["", HANG.replace("= 3, 2", "= 1000, 2")], ids=["busy", "hanging"]
)
def test_workers_end_with_a_parent_that_was_killed(patch: Patch, project: Project) -> None:
    process = project.start("train", "--run-name", "orphans", *LONG, WORKERS, patch=patch)
    metrics = project.folder / "runs/orphans/metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size, process)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.communicate(timeout=SECONDS)
    until = time.monotonic() + 5
    while not all(map(ended, workers)):
        assert time.monotonic() < until
        time.sleep(0.01)
    shutil.rmtree(metrics.parent)


# --- terminals -----------------------------------------------------------------------------------


def test_a_run_whose_reader_goes_away_goes_on(project: Project) -> None:
    process = project.start("train", "--run-name", "head", *SHORT, "--training.log-every=1")
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert (project.folder / "runs/head/outcome.json").exists()
    shutil.rmtree(project.folder / "runs/head")


@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_is_closed_stops_a_run_which_is_saved(
    nohup: bool, project: Project
) -> None:
    controller, terminal = pty.openpty()
    patch = (
        "import fcntl, os, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        f"if {nohup}: signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    )
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    arguments = [*(SHORT if nohup else LONG), "--training.log-every=1"]
    process = project.start(
        "train", "--run-name", "hup", *arguments, patch=patch, start_new_session=True, **streams
    )
    os.close(terminal)
    assert os.read(controller, 100)
    os.close(controller)
    process.wait(timeout=SECONDS)
    assert process.returncode == (0 if nohup else 75)
    assert any((project.folder / "runs/hup/checkpoints").glob("step_*"))
    shutil.rmtree(project.folder / "runs/hup")


@pytest.mark.parametrize(
    "env",
    [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"}],
    ids=str,
)
def test_names_print_in_any_encoding(env: dict[str, str], project: Project) -> None:
    path = project.trained("数字-é", env=env)
    project.run("evaluate", "runs/数字-é", env=env)
    shutil.rmtree(path)


def test_a_run_trains_without_standard_streams_and_in_a_thread(project: Project) -> None:
    patch = "import sys; sys.stdout = sys.stderr = None"
    shutil.rmtree(project.trained("silent", patch=patch))
    start = (
        "import sys\nfrom threading import Thread\nfrom digits.cli import main\ncodes = []\n"
        "thread = Thread(target=lambda: codes.append(main(sys.argv[1:])))\n"
        "thread.start()\nthread.join()\nsys.exit(codes[0])"
    )
    shutil.rmtree(project.trained("thread", WORKERS, patch=start))


# --- file systems --------------------------------------------------------------------------------

NO_LOCK = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.{}, "not here")
fcntl.flock = flock
"""
NO_FSYNC = """
import errno, os, stat
flush = os.fsync
def fsync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "Invalid argument")
    flush(descriptor)
os.fsync = fsync
"""


@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks_trains_with_a_warning(name: str, project: Project) -> None:
    patch = NO_LOCK.format(name)
    process = project.start("train", "--run-name", "unlocked", *LONG, patch=patch)
    metrics = project.folder / "runs/unlocked/metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size, process)
    process.kill()
    process.communicate()
    options = ["--allow-changes", "--training.max-steps=20000", "--training.max-minutes=0.01"]
    output = project.run("train", "--resume", "runs/unlocked", *options, patch=patch)
    assert output.lower().count("warning: ") == 1, output
    shutil.rmtree(metrics.parent)


def test_a_file_system_that_cannot_flush_folders_trains_with_one_warning(project: Project) -> None:
    output = project.run("train", "--run-name", "unflushed", *SHORT, patch=NO_FSYNC)
    assert output.count("Warning: ") == 1
    shutil.rmtree(project.folder / "runs/unflushed")


# --- hostile run folders and settings ------------------------------------------------------------


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file of a checkpoint, with its checksum."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest[name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def name_in_manifest(name: str) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        text = json.dumps({**manifest, name: "0" * 64})
        (folder / "manifest.json").write_text(text, encoding="utf-8")

    return tamper


def make_fifo(name: str) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return tamper


def change_state(**changes: Any) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        rewrite(folder, "state.json", json.dumps(state | changes).encode())

    return tamper


def write_tensors(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Change the header of a file of tensors."""

    def tamper(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        change(header)
        text = json.dumps(header).encode()
        rewrite(folder, name, struct.pack("<Q", len(text)) + text + data)

    return tamper


def add_many(header: dict[str, Any]) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header |= {f"some-tensor-{number}": empty for number in range(300_000)}


def cast(header: dict[str, Any]) -> None:
    """The bytes of float32 as int32."""
    for entry in header.values():
        if entry.get("dtype") == "F32":
            entry["dtype"] = "I32"


def reshape(header: dict[str, Any]) -> None:
    for name, entry in header.items():
        if name.endswith("exp_avg"):
            entry["shape"] = [1, *entry["shape"]]


def rename_average(header: dict[str, Any]) -> None:
    header["0.other"] = header.pop("0.exp_avg")


def not_a_number(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-4:] = struct.pack("<f", float("nan"))
    rewrite(folder, "model.safetensors", bytes(content))


DEEP = b"[" * 200_000
TAMPERED: dict[str, Callable[[Path], object]] = {
    "fifo in the manifest": lambda folder: (
        os.mkfifo(folder / "x.safetensors"),
        name_in_manifest("x.safetensors")(folder),
    ),
    "device": name_in_manifest("/dev/zero"),
    "elsewhere": name_in_manifest("../step_00000020/state.json"),
    "absolute": name_in_manifest("/etc/passwd"),
    "fifo as weights": make_fifo("model.safetensors"),
    "fifo as manifest": make_fifo("manifest.json"),
    "fifo as state": make_fifo("state.json"),
    "large header": write_tensors("model.safetensors", add_many),
    "deep state": lambda folder: rewrite(folder, "state.json", DEEP),
    "deep manifest": lambda folder: (folder / "manifest.json").write_bytes(DEEP),
    "large manifest": lambda folder: os.truncate(folder / "manifest.json", 2**31),
    "best_step": change_state(best_step="ten"),
    "best_value": change_state(best_value={}),
    "step": change_state(step=10**30),
    "other type": write_tensors("model.safetensors", cast),
    "other names": write_tensors("optimizer.safetensors", rename_average),
    "other shape": write_tensors("optimizer.safetensors", reshape),
    "not a number": not_a_number,
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_checkpoint_that_was_tampered_with_is_refused_in_one_line(
    tamper: Callable[[Path], object], project: Project, run: Path
) -> None:
    copied = project.copy(run, "tampered")
    for older in sorted((copied / "checkpoints").glob("step_*"))[:-1]:
        shutil.rmtree(older)
    (folder,) = (copied / "checkpoints").iterdir()
    tamper(folder)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (3 * 10**9,) * 2)"
    before = sorted(path.name for path in copied.rglob("*"))
    errors = project.start("train", "--resume", "runs/tampered", patch=limit)
    _, text = errors.communicate(timeout=SECONDS)
    assert errors.returncode == 1, text
    assert len(text.splitlines()) <= 2, text
    assert len(text) < 2000
    assert "delete" not in text
    assert "step_00000020" in text
    assert sorted(path.name for path in copied.rglob("*")) == before + [".lock"] * (
        ".lock" not in before
    )
    if "exp" not in text and "optimizer" not in text:
        _, text = project.start("evaluate", "runs/tampered").communicate(timeout=SECONDS)
        assert "Traceback" not in text
        assert "step_00000020" in text


def test_links_in_a_run_folder_are_not_written_through(
    project: Project, run: Path, tmp_path: Path
) -> None:
    copied = project.copy(run, "linked")
    names = ["run.json", "metrics.jsonl", "timings.jsonl", "metrics.json", "config.toml"]
    links = [f".{name}" for name in names]
    links += ["predictions.csv", "mistakes.png", "metrics.json", "outcome.json", "nan_batch.json"]
    for name in links:
        (copied / name).unlink(missing_ok=True)
        (copied / name).symlink_to(tmp_path / name)
    project.run("train", "--resume", "runs/linked")
    project.run("evaluate", "runs/linked")
    assert list(tmp_path.iterdir()) == []
    (copied / ".lock").unlink()
    (copied / ".lock").symlink_to(tmp_path / "lock")
    project.refused("train", "--resume", "runs/linked", code=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("metrics.jsonl", b"\n"),
        ("metrics.jsonl", b"\0" * 100 + b"\n"),
        ("timings.jsonl", b'{"step": "one"}\n'),
        ("timings.jsonl", DEEP + b"\n"),
    ],
)
def test_damaged_lines_are_cut_off_and_named(
    damage: bytes, name: str, project: Project, run: Path
) -> None:
    copied = project.copy(run, "damaged")
    shutil.rmtree(copied / "checkpoints/step_00000020")
    lines = (copied / name).read_bytes().splitlines(keepends=True)
    (copied / name).write_bytes(b"".join([lines[0], damage, *lines[1:]]))
    output = project.run("train", "--resume", "runs/damaged")
    assert f"{name}: the lines from 2 on are damaged" in output
    (copied / name).unlink()
    os.mkfifo(copied / name)
    project.run("train", "--resume", "runs/damaged")


def test_a_run_json_that_is_not_one_is_refused(project: Project, run: Path) -> None:
    copied = project.copy(run, "hostile")
    for content in (DEEP, b"[]", b"{}", b'{"id": 1, "config": 2, "data": 3, "scratch": 4}'):
        (copied / "run.json").write_bytes(content)
        project.refused("train", "--resume", "runs/hostile")
    (copied / "run.json").unlink()
    os.mkfifo(copied / "run.json")
    project.refused("train", "--resume", "runs/hostile")
    (copied / "config.toml").write_text("[seed]\na = 1\n[training.seed]\nb = 2", encoding="utf-8")
    project.refused("evaluate", "runs/hostile")


SETTINGS: dict[str, str] = {
    "steps": f"[training]\nmax_steps = {10**24}",
    "workers": "[training]\nworkers = 100000",
    "digits": f"seed = {'9' * 5000}",
    "hexadecimal": f"seed = 0x{'f' * 5000}",
    "deep array": f"seed = {'[' * 20_000}{']' * 20_000}",
    "deep table": f"[{'.'.join('a' * 20_000)}]\nb = 1",
    "deep keys": f"{'.'.join('a' * 5_000)} = 1",
    "nul": 'cache_dir = "a\\u0000b"',
    "escapes": '"\\u001b[31m" = 1',
    "long name": f"{'a' * 100_000} = 1",
    "large": "a = 1\n" * 2_000_000,
    "section": "checkpoint = 5",
}


@pytest.mark.parametrize("text", SETTINGS.values(), ids=SETTINGS)
def test_impossible_settings_are_refused_in_one_line(
    text: str, styled: Project, tmp_path: Path
) -> None:
    (tmp_path / "hostile.toml").write_text(text, encoding="utf-8")
    styled.refused("train", "--config", str(tmp_path / "hostile.toml"))
    assert list((styled.folder / "runs").iterdir()) == []


def test_options_are_as_safe_as_files(styled: Project) -> None:
    for value in ("9" * 5000, "[" * 20_000, "1" * 25):
        styled.refused("train", f"--training.max-steps={value}")
    styled.refused("train", "--config=configs/small.toml", "--config", "configs/full.toml")


def test_many_unknown_settings_are_counted(styled: Project, tmp_path: Path) -> None:
    path = tmp_path / "many.toml"
    path.write_text("".join(f"a{n} = 1\n" for n in range(50_000)), encoding="utf-8")
    output = styled.run("train", "--config", str(path), code=2)
    assert len(output) < 5000
    assert "50000 in all" in output


@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[31mb", b"a\xffb"])
def test_a_run_with_a_name_that_cannot_be_printed_is_refused_and_intact(
    name: bytes, project: Project, run: Path
) -> None:
    project.refused("train", "--run-name", os.fsdecode(name), *SHORT)
    folder = project.folder / "runs" / os.fsdecode(name)
    run_copy = project.copy(run, os.fsdecode(name))
    for command in (["train", "--resume"], ["evaluate"]):
        project.refused(*command, str(folder))
    assert (run_copy / "outcome.json").exists()
    shutil.rmtree(run_copy)


def test_a_run_whose_time_is_up_before_its_first_evaluation_is_evaluated(project: Project) -> None:
    settings = [*LONG, "--training.max-minutes=0.02"]
    process = project.start("train", "--run-name", "up", *settings)
    metrics = project.folder / "runs/up/metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size, process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    process.terminate()
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 75
    timings = metrics.with_name("timings.jsonl")
    *lines, last = map(json.loads, timings.read_text(encoding="utf-8").splitlines())
    changed = [*lines, last | {"seconds": 100.0}]
    timings.write_text("".join(f"{json.dumps(line)}\n" for line in changed), encoding="utf-8")
    assert "at step" in project.run("train", "--resume", "runs/up")
    outcome = json.loads((metrics.parent / "outcome.json").read_text(encoding="utf-8"))
    assert outcome["ended_by"] == "training.max_minutes"
    assert outcome["best_value"] is not None
    project.run("evaluate", "runs/up")
    shutil.rmtree(metrics.parent)


# --- provenance ----------------------------------------------------------------------------------


@pytest.fixture
def versioned(project: Project, tmp_path: Path) -> Project:
    """In a subfolder of a larger repository."""
    folder = tmp_path / "large/digits"
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("runs"))
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "crlf.txt").write_bytes(b"one\r\ntwo\r\n" * 9)
    (folder / "secret.env").write_text("PASSWORD=before", encoding="utf-8")
    (folder.parent / "outside.txt").write_text("before", encoding="utf-8")
    commit(folder.parent, "Start")
    with (folder / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("*.env\n")
    commit(folder.parent, "Ignore")
    return Project(folder)


def provenance(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def test_the_recorded_diff_is_that_of_the_project_and_applies_in_a_clean_clone(
    versioned: Project, tmp_path: Path
) -> None:
    repository, folder = versioned.folder.parent, versioned.folder
    for name, value in {
        "color.ui": "always",
        "diff.external": "false",
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.context": "0",
        "diff.relative": "true",
        "core.quotePath": "false",
    }.items():
        git(repository, "config", name, value)
    (folder / "binary").write_bytes(bytes(range(255, -1, -1)))
    (folder / "crlf.txt").write_bytes(b"one\r\n2\r\n" * 9)
    (folder / "README.md").rename(folder / "LIES MICH.md")
    (folder / "secret.env").write_text("PASSWORD=after", encoding="utf-8")
    (folder / "new é.py").write_text("", encoding="utf-8")
    (repository / "outside.txt").write_text("after", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    commit_of(elsewhere)
    url = "postgresql+psycopg://me@srv:PA SS/W?RD@host/db?pwd=PWD1&sslpassword=PWD2&token=PWD3"
    versioned.run(
        *("train", "--run-name", "x", *SHORT, f"--cache-dir={folder}/data/cache"),
        f"--data.path={folder}/data/records.csv",
        patch="from types import SimpleNamespace; from digits.training import provenance\n"
        f"provenance.sys = SimpleNamespace(argv=['train', '--storage={url}'])",
        cwd=elsewhere,
    )
    recorded = provenance(elsewhere / "runs/x")
    state = recorded["git"]
    assert recorded["command"][1].startswith("--storage=postgresql+psycopg://***@host/db?pwd=***")
    assert not any(secret in json.dumps(recorded) for secret in ("PA SS", "PWD", "me@srv"))
    assert state["commit"] == git(repository, "rev-parse", "HEAD").strip()
    assert state["untracked"] == ["LIES MICH.md", "new é.py"]
    assert "PASSWORD" not in state["diff"]
    assert "outside.txt" not in state["diff"]
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", repository, clone], check=True)
    (tmp_path / "x.diff").write_text(state["diff"], encoding="utf-8", newline="")
    subprocess.run(["git", "apply", str(tmp_path / "x.diff")], cwd=clone, check=True)
    for name in ("binary", "crlf.txt"):
        assert (clone / "digits" / name).read_bytes() == (folder / name).read_bytes()
    assert not (clone / "digits/README.md").exists()


def commit_of(folder: Path) -> None:
    (folder / "file").write_text("x", encoding="utf-8")
    commit(folder, "Another repository")


def test_what_git_cannot_record_is_said(versioned: Project) -> None:
    (versioned.folder / "binary").write_bytes(os.urandom(3 * 2**20))
    output = versioned.run("train", "--run-name", "x", *SHORT)
    state = provenance(versioned.folder / "runs/x")["git"]
    assert state["diff"] == ""
    assert "SHA-256" in state["problem"]
    assert f"Warning: run.json: {state['problem']}" in output
    git(versioned.folder, "checkout", "--", "binary")
    if os.geteuid() == 0:
        os.chown(versioned.folder.parent, 12345, 12345)
        versioned.run("train", "--run-name", "y", *SHORT)
        assert "dubious ownership" in provenance(versioned.folder / "runs/y")["git"]["problem"]


URLS = {
    "postgresql+psycopg://me@srv:PW@host/db": "postgresql+psycopg://***@host/db",
    "--storage=mysql://a:P W@h/x": "--storage=mysql://***@h/x",
    "https://h/x?pwd=PW&token=PW": "https://h/x?pwd=***&token=***",
    "https://u:P/W?P#W@h/x": "https://***@h/x",
    "https://h/#access_token=PW": "https://h/#access_token=***",
    "https://h/x?mail=a@b&token=PW": "https://***@b&token=***",
    "--name=a=b@c": "--name=a=b@c",
    "https://h/x": "https://h/x",
}


def test_no_secret_of_a_url_is_recorded(project: Project) -> None:
    code = (
        "import json, sys; from digits.errors import redact_passwords\n"
        "print(json.dumps([redact_passwords(url) for url in sys.argv[1:]])); sys.exit()"
    )
    assert json.loads(project.run(*URLS, patch=code)) == list(URLS.values())


def test_leftovers_of_pip_are_passed_over(project: Project, tmp_path: Path) -> None:
    (tmp_path / "~orch-2.1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info/METADATA").write_text("Version: 1.0\n", encoding="utf-8")
    patch = f"import sys; sys.path.append({str(tmp_path)!r})"
    packages = provenance(project.trained("leftovers", patch=patch))["packages"]
    assert "torch" in packages
    assert all(packages)
    assert "null" not in packages
    shutil.rmtree(project.folder / "runs/leftovers")


NOWHERE = "http://me:PASSWORD@127.0.0.1:9"


@pytest.mark.parametrize(
    ("tracker", "env"),
    [
        ("mlflow", {"MLFLOW_TRACKING_URI": NOWHERE}),
        ("mlflow", {"MLFLOW_TRACKING_URI": "sqlite:////proc/x.db"}),
        ("wandb", {"WANDB_MODE": "online", "WANDB_BASE_URL": NOWHERE, "WANDB_API_KEY": "a" * 40}),
    ],
)
def test_a_tracker_that_cannot_be_reached_costs_seconds_and_is_said_once(
    tracker: str, env: dict[str, str], template: Path, tmp_path: Path
) -> None:
    render(template, tmp_path / "p", package_name="digits", starter="blank", tracker=tracker)
    if tracker == "wandb":
        replace(tmp_path / "p/src/digits/training/tracker.py", "init_timeout=10", "init_timeout=1")
    start = time.monotonic()
    output = Project(tmp_path / "p").run("train", "--run-name", "x", *SHORT, env=env)
    assert output.count("The tracker failed") == 1
    assert "PASSWORD" not in output
    assert time.monotonic() - start < 95  # with its imports; MLflow itself tries for 100
