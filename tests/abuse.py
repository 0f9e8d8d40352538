"""Scenarios that a training run of a rendered project has to survive, run in its environment.

`test_abuse.py` starts this file with the name of a scenario, and reads the result as JSON. Torch
and the package are imported once, and each run is a fork, so that hundreds of runs can be killed
within minutes. Each kill is a real SIGKILL of a process that does what `train` does.

No thread may be started here before a fork: the child would inherit its locks, but not the thread.
"""

# pyright: basic, reportMissingImports=false
# The package exists only where it is rendered.

import argparse
import contextlib
import copy
import hashlib
import io
import itertools
import json
import os
import pickle
import random
import re
import shutil
import signal
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from digits.config import from_dict, merge, to_dict
from digits.data.cache import load_split
from digits.data.loader import batch_keys, load_batches
from digits.errors import CheckpointError
from digits.models.network import per_example_loss
from digits.training import checks, loop, provenance
from digits.training.checkpoint import CheckpointManager, TrainState
from digits.training.optimizer import build_optimizer
from digits.training.run import RUNS, Run
from digits.training.writer import checkpoint_writer

FINAL = ("model.safetensors", "optimizer.safetensors", "state.json")


@dataclass(frozen=True)
class Trainer:
    """Starts runs of one config, each in a fork of this process."""

    config: Any

    @property
    def steps(self) -> int:
        return self.config.training.max_steps

    def fork(self, function: Callable[[], object]) -> int:
        """Call a function in a child process without output. Returns the process id."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def train(self, name: str) -> None:
        """Start or resume a run, as `train --or-resume` does."""
        train_set, validation_set = checks.load_splits(self.config)
        resumed = (RUNS / name).exists()
        if resumed:
            opened = Run.open(RUNS / name)
            opened.require_same(self.config, train_set.digest)
        else:
            opened = Run.create(name, self.config, train_set)
        with opened.locked():
            if resumed:
                opened.record_resume(self.config, train_set)
            loop.train(self.config, opened, train_set, validation_set)

    def resume(self, name: str) -> int:
        """Train a run to the end in a child process. Returns the step that it resumed from."""
        marker = Path(f"{name}.first-step")
        learning_rate = loop.learning_rate  # called with the number of each step

        def record_first_step(step: int, *others: Any) -> float:
            if not marker.exists():
                marker.write_text(str(step), encoding="utf-8")
            return learning_rate(step, *others)

        def train() -> None:
            loop.learning_rate = record_first_step
            self.train(name)

        assert wait(self.fork(train)) == 0, f"{name} couldn't be resumed"
        first_step = int(marker.read_text(encoding="utf-8")) if marker.exists() else self.steps
        marker.unlink(missing_ok=True)
        return first_step

    def digest(self, name: str) -> dict[str, str]:
        """Digests of what has to be equal at the end: weights, optimizer, metrics."""
        last = self.checkpoints(name).path(self.steps)
        files = [*(last / file for file in FINAL), RUNS / name / "metrics.jsonl"]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def checkpoints(self, name: str) -> CheckpointManager:
        return CheckpointManager(RUNS / name / "checkpoints", self.config.checkpoint)


def wait(child: int) -> int:
    """Returns the exit code, or the negated number of the signal that ended the child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def has_ended(child: int) -> bool:
    """Whether a child has ended; its exit code can still be read."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def file_names(folder: Path) -> list[str]:
    """The names in a folder, or none if it doesn't exist yet."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except FileNotFoundError:
        return []


def being_written(folder: Path) -> set[str]:
    """The checkpoints that are being written, but not those that are being removed."""
    return {name for name in file_names(folder) if re.fullmatch(r"\.tmp-\d+", name)}


def newest_name(folder: Path) -> int:
    """The newest step that has a checkpoint under its final name, or 0."""
    matches = (re.fullmatch(r"step_(\d{8,})", name) for name in file_names(folder))
    return max((int(match[1]) for match in matches if match), default=0)


def time_run(trainer: Trainer, name: str) -> tuple[float, list[float]]:
    """Train a whole run. Returns its duration in seconds, and that of each checkpoint write."""
    folder, writes, since, writing = RUNS / name / "checkpoints", [], 0.0, set[str]()
    child = trainer.fork(lambda: trainer.train(name))
    start = wait_for_folder(child, RUNS / name)
    while not has_ended(child):
        now = being_written(folder)
        if writing and now != writing:
            writes.append(time.perf_counter() - since)
        if now and now != writing:
            since = time.perf_counter()
        writing = now
    assert wait(child) == 0
    return time.perf_counter() - start, writes


def wait_for_folder(child: int, folder: Path) -> float:
    """Returns the time at which a child has created the folder."""
    while not folder.exists() and not has_ended(child):
        time.sleep(0.0005)
    return time.perf_counter()


def stop_during_write(
    child: int, folder: Path, number: int, write: float, rng: random.Random
) -> None:
    """Stop a child at a random time during its number-th checkpoint write, or a later one.

    A SIGKILL then hits it there, since nothing of it runs between the two signals.
    """
    seen: set[str] = set()
    while not has_ended(child):
        now = being_written(folder)
        seen |= now
        if not now or len(seen) < number:
            continue
        until = time.perf_counter() + rng.uniform(0, write)
        while time.perf_counter() < until:
            pass
        os.kill(child, signal.SIGSTOP)
        os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if being_written(folder):
            return
        os.kill(child, signal.SIGCONT)  # too late for this write


def kills(trainer: Trainer, seed: int, count: int) -> dict[str, Any]:
    """Kill `count` runs, half of them while a checkpoint is written, and resume each."""
    rng = random.Random(seed)
    duration, writes = time_run(trainer, "uninterrupted")
    expected, write = trainer.digest("uninterrupted"), statistics.median(writes)
    killed = during_write = during_removal = without_checkpoint = 0
    problems: list[str] = []
    for number in itertools.count():
        if killed >= count and during_write >= count / 2:
            break
        name = f"killed-{number}"
        folder = RUNS / name / "checkpoints"
        child = trainer.fork(lambda name=name: trainer.train(name))
        if killed - during_write < count / 2:
            before_creation = rng.random() < 0.1
            start = time.perf_counter() if before_creation else wait_for_folder(child, RUNS / name)
            until = start + rng.uniform(0, duration)
            while time.perf_counter() < until and not has_ended(child):
                time.sleep(0.0005)
        else:
            stop_during_write(child, folder, rng.randint(1, len(writes)), write, rng)
        committed = newest_name(folder)
        os.kill(child, signal.SIGKILL)
        if wait(child) != -signal.SIGKILL:
            continue  # it had already ended
        remaining = file_names(folder)
        killed += 1
        during_write += bool(being_written(folder))
        during_removal += any(file.startswith(".tmp-removed-") for file in remaining)
        checkpoints = trainer.checkpoints(name)
        try:
            latest = checkpoints.latest() or 0
        except CheckpointError as error:
            problems.append(f"{name}: {error}")
            continue
        without_checkpoint += latest == 0
        if latest < committed or checkpoints.corrupt:
            problems.append(
                f"{name}: {committed} was committed, {latest} is intact, of {remaining}"
            )
        if (first_step := trainer.resume(name)) != latest:
            problems.append(f"{name}: resumed from {first_step}, though {latest} was intact")
        if trainer.digest(name) != expected:
            problems.append(f"{name}: killed after {latest}, the result differs")
        if any(file.startswith(".tmp-") for file in file_names(folder)):
            problems.append(f"{name}: left {file_names(folder)}")
        shutil.rmtree(RUNS / name)
    return {
        "kills": killed,
        "during write": during_write,
        "during removal": during_removal,
        "without checkpoint": without_checkpoint,
        "problems": problems,
    }


def batches(trainer: Trainer) -> dict[str, Any]:
    """Digests of the batches of three epochs, and of a whole run, per number of workers."""
    train_set, training = load_split(trainer.config, "train"), trainer.config.training
    per_epoch = len(train_set) // training.batch_size

    def draw(workers: int) -> None:
        keys = batch_keys(
            len(train_set), training.batch_size, trainer.config.seed, 0, 3 * per_epoch
        )
        with Path(f"drawn-{workers}").open("w", encoding="utf-8") as file:
            for inputs, targets in load_batches(train_set, keys, workers):
                content = inputs.numpy().tobytes() + targets.numpy().tobytes()
                print(hashlib.sha256(content).hexdigest(), file=file)

    result: dict[str, Any] = {"per epoch": per_epoch, "drawn": {}, "trained": {}}
    for workers in (0, 1, 4):
        assert wait(trainer.fork(lambda workers=workers: draw(workers))) == 0
        drawn = Path(f"drawn-{workers}").read_text(encoding="utf-8").split()
        values = merge(to_dict(trainer.config), {"training": {"workers": workers}})
        other, name = Trainer(from_dict(values)), f"run-{workers}"
        assert wait(other.fork(lambda other=other, name=name: other.train(name))) == 0
        result["drawn"][workers], result["trained"][workers] = drawn, other.digest(name)
    return result


def kill_steps(trainer: Trainer) -> dict[str, Any]:
    """Runs that are killed at certain steps, and the step that they resume from."""
    train_set = load_split(trainer.config, "train")
    per_epoch = len(train_set) // trainer.config.training.batch_size
    assert wait(trainer.fork(lambda: trainer.train("uninterrupted"))) == 0
    expected = trainer.digest("uninterrupted")
    assert trainer.steps > 2 * per_epoch, "the steps have to differ"
    last_steps = {
        "in the first step": 0,
        "in an epoch": per_epoch + per_epoch // 2,
        "at the end of an epoch": 2 * per_epoch,
        "at the last step": trainer.steps,
    }
    result: dict[str, Any] = {}
    for number, (when, last_step) in enumerate(last_steps.items()):
        name = f"killed-{number}"
        child = trainer.fork(lambda name=name, step=last_step: kill_after(trainer, name, step))
        assert wait(child) == -signal.SIGKILL
        before = checkpointed(name)
        latest, first_step = trainer.checkpoints(name).latest() or 0, trainer.resume(name)
        result[when] = {
            "killed after": last_step,
            "latest": latest,
            "resumed from": first_step,
            "equal": trainer.digest(name) == expected,
            "unchanged": checkpointed(name) == before,
        }
    return result


def checkpointed(name: str) -> dict[str, str]:
    """Digests of the files of a run, without those that change at every start."""
    return {
        path.relative_to(RUNS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (RUNS / name).rglob("*")
        if path.is_file() and path.name not in ("outcome.json", "run.json")
    }


def kill_after(trainer: Trainer, name: str, last_step: int) -> None:
    """Train until the checkpoint of a step is on disk; with 0, only until the first step."""
    train_step, save = loop.train_step, CheckpointManager.save

    def step_or_kill(*arguments: Any) -> Any:
        result = train_step(*arguments)
        if last_step == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def save_and_kill(self: CheckpointManager, state: TrainState, write: Any) -> None:
        save(self, state, write)
        if state.step == last_step:
            join_writer()
            os.kill(os.getpid(), signal.SIGKILL)

    loop.train_step, CheckpointManager.save = step_or_kill, save_and_kill
    trainer.train(name)


def join_writer() -> None:
    """Wait for the thread of the background writer, if there is one."""
    for thread in threading.enumerate():
        if thread.name == "checkpoint-writer":
            thread.join()


class MaliciousPickle:
    """Creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (os.mkdir, ("unpickled",))


def corruption(trainer: Trainer) -> dict[str, list[object]]:
    """Corrupt the newest of two checkpoints in many ways. What is read, and what is saved then?"""

    def rewrite(folder: Path, file: str, content: bytes, *, checksum: bool = True) -> None:
        """Replace a file, and its checksum as well, as an attacker would."""
        (folder / file).write_bytes(content)
        if checksum:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            manifest[file] = hashlib.sha256(content).hexdigest()
            (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    def flip_a_bit(folder: Path) -> None:
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        rewrite(folder, "model.safetensors", bytes(content), checksum=False)

    def flip_a_bit_and_drop_entry(folder: Path) -> None:
        flip_a_bit(folder)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        del manifest["model.safetensors"]
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    def truncate(folder: Path) -> None:
        content = (folder / "optimizer.safetensors").read_bytes()
        rewrite(folder, "optimizer.safetensors", content[: len(content) // 2])

    def change_the_step(folder: Path) -> None:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        rewrite(folder, "state.json", json.dumps(state | {"step": 1}).encode())

    corruptions: dict[str, Callable[[Path], object]] = {
        "a flipped bit": flip_a_bit,
        "half a file": lambda folder: rewrite(folder, "state.json", b"{", checksum=False),
        "half a file with its checksum": truncate,
        "a file is missing": lambda folder: (folder / "optimizer.safetensors").unlink(),
        "no manifest": lambda folder: (folder / "manifest.json").unlink(),
        "an empty manifest": lambda folder: (folder / "manifest.json").write_text("{}"),
        "a manifest that is a list": lambda folder: (folder / "manifest.json").write_text("[1]"),
        "a manifest without the file that is corrupt": flip_a_bit_and_drop_entry,
        "the state of another step": change_the_step,
        "a state without keys": lambda folder: rewrite(folder, "state.json", b"{}"),
        "a pickle": lambda folder: rewrite(
            folder, "model.safetensors", pickle.dumps(MaliciousPickle())
        ),
        "a file longer than its header says": lambda folder: os.truncate(
            folder / "model.safetensors",
            2**40,  # takes no space, but an hour to read
        ),
        "a folder instead of a file": lambda folder: (
            (folder / "state.json").unlink(),
            (folder / "state.json").mkdir(),
        ),
    }
    result: dict[str, list[object]] = {}
    for name, corrupt in corruptions.items():
        state = small_state(trainer)
        folder = Path("corrupt", name.replace(" ", "-"))

        def save(step: int, folder: Path = folder, state: TrainState = state) -> None:
            state.step = step
            with checkpoint_writer() as write:
                manager_of(folder).save(state, write)

        def manager_of(folder: Path) -> CheckpointManager:
            return CheckpointManager(folder, trainer.config.checkpoint)

        manager_of(folder).remove_temporary_files()
        for step in (1, 2):
            save(step)
        corrupt(folder / "step_00000002")
        manager = manager_of(folder)
        result[name] = [manager.latest(), sorted(manager.corrupt)]
        save(2)
        result[name].append(manager_of(folder).latest())
    result["a pickle"].append(Path("unpickled").exists())
    return result


def background(trainer: Trainer) -> dict[str, bool]:
    """The guarantees of the background writer, each with a slow write."""
    weight = torch.arange(12.0).view(3, 4)
    tensors = {"model": {"weight": weight}, "optimizer": {"0.exp_avg": weight.t().contiguous()}}
    expected = weight.clone()
    proceed, committed = threading.Event(), list[dict[str, Any]]()
    running = [0]  # number of concurrent writes, after each change

    def commit(content: Any) -> None:
        running.append(running[-1] + 1)
        proceed.wait()
        committed.append(copy.deepcopy(content))
        running.append(running[-1] - 1)

    def fail(content: Any) -> None:
        raise CheckpointError("disk full")

    result: dict[str, bool] = {}
    with checkpoint_writer() as write:
        write(tensors, commit)
        result["training continues while it writes"] = not committed
        for tensor in (weight, tensors["optimizer"]["0.exp_avg"]):
            tensor.fill_(-1)
        threading.Timer(0.2, proceed.set).start()
        write(tensors, commit)
        result["a second write waits for the first"] = len(committed) >= 1
        proceed.clear()
        threading.Timer(0.2, proceed.set).start()
    result["the end waits for the last write"] = running[-1] == 0 and len(committed) == 2
    result["one write at a time"] = max(running) == 1
    first, second = committed
    result["a write has the values at the time of the call"] = (
        torch.equal(first["model"]["weight"], expected)
        and torch.equal(first["optimizer"]["0.exp_avg"], expected.t())
        and bool((second["model"]["weight"] == -1).all())
    )

    result["a failure is raised by the next write"] = False
    with checkpoint_writer() as write:
        write(tensors, fail)
        try:
            write(tensors, commit)
        except CheckpointError:
            result["a failure is raised by the next write"] = len(committed) == 2
    result["a failure is raised at the end"] = False
    try:
        with checkpoint_writer() as write:
            write(tensors, fail)
    except CheckpointError:
        result["a failure is raised at the end"] = True
    try:
        with checkpoint_writer() as write:
            write(tensors, fail)
            raise CheckpointError("another error")
    except CheckpointError as error:
        preserved = str(error) == "another error" and error.__notes__ == ["disk full"]
        result["a failure doesn't hide another error"] = preserved
    return result


def write_failure(trainer: Trainer) -> dict[str, Any]:
    """A run whose checkpoints can no longer be written: its last step, and its error."""
    learning_rate, steps = loop.learning_rate, list[int]()

    def break_checkpoints(step: int, *others: Any) -> float:
        steps.append(step)
        if step == 5:
            folder = RUNS / "failing" / "checkpoints"
            folder.rename(folder.with_name("gone"))
            folder.write_text("a file instead of the folder", encoding="utf-8")
        join_writer()
        return learning_rate(step, *others)

    loop.learning_rate = break_checkpoints
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train("failing")
    except CheckpointError as error:
        cause = type(error.__cause__).__name__
        return {"steps": steps[-1] + 1, "message": str(error), "cause": cause}
    return {"steps": steps[-1] + 1, "message": "", "cause": ""}


def orphans(trainer: Trainer) -> dict[str, Any]:
    """Kill a run whose workers are stopped. Can the run be locked, and when do the workers end?"""
    child = trainer.fork(lambda: trainer.train("workers"))
    metrics = RUNS / "workers" / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and not has_ended(child):
        time.sleep(0.001)
    workers = [pid for pid, parent, _ in processes() if parent == child]
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    assert wait(child) == -signal.SIGKILL, "it ended before it was killed"
    with Run(RUNS / "workers").locked():
        pass
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    start = time.perf_counter()
    while any(pid in workers and state not in "ZX" for pid, _, state in processes()):
        time.sleep(0.01)
    return {"workers": len(workers), "seconds": time.perf_counter() - start}


def processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent and state of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended in the meantime
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            yield int(folder.name), int(fields[1]), fields[0]


def small_state(trainer: Trainer) -> TrainState:
    """A model and an optimizer after one step."""
    train_set = load_split(trainer.config, "train")
    model = loop.build_model(trainer.config, train_set, torch.device("cpu"))
    optimizer = build_optimizer(model, trainer.config.training)
    inputs, targets = next(train_set.batches(trainer.config.training.batch_size))
    per_example_loss(model(inputs), targets).mean().backward()
    optimizer.step()
    return TrainState({"model": model}, optimizer)


def warm_up(config: Any) -> None:
    """Build the cache and do lazy imports, once instead of in every child."""
    provenance.distributions = tuple  # reading the metadata of all packages takes longer than a run
    trainer = Trainer(config)
    assert wait(trainer.fork(lambda: load_split(config, "train"))) == 0
    small_state(trainer)
    threads = [path.read_text(encoding="utf-8") for path in Path("/proc/self/task").glob("*/comm")]
    others = [name for name in threads if name != "jemalloc_bg_thd\n"]  # pyarrow's, harmless
    assert len(others) == 1, f"threads before a fork: {threads}"


SCENARIOS: dict[str, Callable[..., Any]] = {
    "kills": kills,
    "batches": batches,
    "kill_steps": kill_steps,
    "corruption": corruption,
    "background": background,
    "write_failure": write_failure,
    "orphans": orphans,
}


def main() -> None:
    """Run one scenario in the current folder, and write the result to a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--arguments", type=json.loads, default={})
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = from_dict(options.settings)
    warm_up(config)
    result = SCENARIOS[options.scenario](Trainer(config), **options.arguments)
    options.result.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
