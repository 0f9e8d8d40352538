"""What is done to the training core of a rendered project, inside the project's environment.

`tests/test_abuse.py` starts this with a scenario's name; it says as JSON what it saw. It imports
torch and the package once, and forks a child for each run, so that hundreds of runs can be killed
in minutes. The kill is a real SIGKILL of a real process that calls what `train` calls.

No thread may be started here before the forks: a child would inherit its locks without it.
"""

# pyright: basic, reportMissingImports=false
# The package is there only where it is rendered.

from __future__ import annotations

import argparse
import contextlib
import copy
import hashlib
import io
import itertools
import json
import mmap
import os
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
from digits.errors import CheckpointError
from digits.training import loop
from digits.training.checkpoint import CheckpointStore
from digits.training.optimizer import build_optimizer
from digits.training.retention import Strategy
from digits.training.run import RUNS, Run
from digits.training.writer import Writer
from rich.console import Console

FINAL = ("model.safetensors", "optimizer.safetensors", "state.json")


@dataclass(frozen=True)
class Trainer:
    """Starts runs of one config, each in a child that shares what is imported here."""

    config: Any

    @property
    def steps(self) -> int:
        """The last step of a run."""
        return self.config.training.max_steps

    def fork(self, act: Callable[[], object]) -> int:
        """Have a child do something, in silence; its process id."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def train(self, name: str) -> None:
        """Begin a run or continue it, as `train --or-resume` does."""
        training = loop.load_split(self.config, "train")
        validation = loop.load_split(self.config, "validation")
        loop.require_trainable(self.config, training)
        data = training.folder.name
        if (RUNS / name).exists():
            run = Run.open(RUNS / name)
            run.require_same(self.config, data)
        else:
            run = Run.create(name, self.config, data)
        with run.locked():
            loop.train(self.config, run, training, validation, Console(file=sys.stdout))

    def resume(self, name: str) -> int:
        """Continue a run to its end in a child. The steps that were behind it when it began."""
        note = Path(f"{name}.first")
        original = loop.step

        def noting(state: Any, *rest: Any) -> Any:
            if not note.exists():
                note.write_text(str(state.step), encoding="utf-8")
            return original(state, *rest)

        def act() -> None:
            loop.step = noting
            self.train(name)

        assert wait(self.fork(act)) == 0, f"{name} didn't go on to its end"
        first = int(note.read_text(encoding="utf-8")) if note.exists() else self.steps
        note.unlink(missing_ok=True)
        return first

    def digest(self, name: str) -> dict[str, str]:
        """All that has to be equal at the end: the weights, the moments, every metric."""
        run = Run(RUNS / name)
        last = self.store(name).path(self.steps)
        files = [*(last / file for file in FINAL), run.metrics]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def store(self, name: str) -> CheckpointStore:
        """The checkpoints of a run, to be read."""
        return CheckpointStore(Run(RUNS / name).checkpoints, Strategy(self.config.checkpoint))


def wait(child: int) -> int:
    """A child's exit code; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ended(child: int) -> bool:
    """Whether a child is over, without taking its exit code away."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def kill() -> None:
    """End this very process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def names(folder: Path) -> list[str]:
    """What a folder holds now; nothing if it isn't there yet."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except FileNotFoundError:
        return []


def unfinished(folder: Path) -> set[str]:
    """The checkpoints that are being written. What is being removed has another name."""
    return {name for name in names(folder) if re.fullmatch(r"\.tmp-\d+", name)}


def acknowledged(folder: Path) -> int:
    """The newest step that has a checkpoint by its final name; 0 if there is none."""
    found = (re.fullmatch(r"step_(\d{8,})", name) for name in names(folder))
    return max((int(match[1]) for match in found if match), default=0)


def watch(trainer: Trainer, name: str) -> tuple[float, list[float]]:
    """Train a whole run; how long it took once its folder was there, and each of its writes."""
    folder, writes, since, writing = Run(RUNS / name).checkpoints, [], 0.0, set[str]()
    child = trainer.fork(lambda: trainer.train(name))
    began = appearance(child, RUNS / name)
    while not ended(child):
        now = unfinished(folder)
        if writing and now != writing:
            writes.append(time.perf_counter() - since)
        if now and now != writing:
            since = time.perf_counter()
        writing = now
    assert wait(child) == 0
    return time.perf_counter() - began, writes


def appearance(child: int, folder: Path) -> float:
    """Wait until a child has made a folder; the time."""
    while not folder.exists() and not ended(child):
        time.sleep(0.0005)
    return time.perf_counter()


def wait_for_moment(child: int, until: float) -> None:
    """Wait until a time, or the end of a child."""
    while time.perf_counter() < until and not ended(child):
        time.sleep(0.0005)


def stop_in_write(
    child: int, folder: Path, number: int, write: float, chance: random.Random
) -> None:
    """Stop a child somewhere within a write of a checkpoint, the number-th or one after it.

    A SIGKILL then finds it there: nothing of it runs between the two signals.
    """
    seen: set[str] = set()
    while not ended(child):
        now = unfinished(folder)
        seen |= now
        if not now or len(seen) < number:
            continue
        until = time.perf_counter() + chance.uniform(0, write)
        while time.perf_counter() < until:
            pass
        os.kill(child, signal.SIGSTOP)
        os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if unfinished(folder):
            return
        os.kill(child, signal.SIGCONT)  # too late for this one


def kills(trainer: Trainer, seed: int, count: int) -> dict[str, Any]:
    """Kill so many runs, half of them while a checkpoint is written, and finish each."""
    chance = random.Random(seed)
    duration, writes = watch(trainer, "unbroken")
    expected, write = trainer.digest("unbroken"), statistics.median(writes)
    killed = during = pruning = early = 0
    wrong: list[str] = []
    for number in itertools.count():
        if killed >= count and during >= count / 2:
            break
        name = f"killed-{number}"
        folder = Run(RUNS / name).checkpoints
        child = trainer.fork(lambda name=name: trainer.train(name))
        if killed - during < count / 2:
            unborn = chance.random() < 0.1  # now and then before there is a run
            began = time.perf_counter() if unborn else appearance(child, RUNS / name)
            wait_for_moment(child, began + chance.uniform(0, duration))
        else:
            stop_in_write(child, folder, chance.randint(1, len(writes)), write, chance)
        before = acknowledged(folder)
        os.kill(child, signal.SIGKILL)
        if wait(child) != -signal.SIGKILL:
            continue  # it had come to its end
        left = names(folder)
        killed += 1
        during += bool(unfinished(folder))
        pruning += any(each.startswith(".tmp-removed-") for each in left)
        store = trainer.store(name)
        try:
            newest = store.newest() or 0
        except CheckpointError as error:
            wrong.append(f"{name}: {error}")
            continue
        early += newest == 0
        if newest < before or store.damaged:
            wrong.append(f"{name}: {before} was acknowledged, {newest} is intact, of {left}")
        if (first := trainer.resume(name)) != newest:
            wrong.append(f"{name}: went on from {first} where {newest} was intact")
        if trainer.digest(name) != expected:
            wrong.append(f"{name}: killed after {newest}, it ended otherwise")
        if any(each.startswith(".tmp-") for each in names(folder)):
            wrong.append(f"{name}: left {names(folder)}")
        shutil.rmtree(RUNS / name)
    return {
        "kills": killed,
        "during": during,
        "pruning": pruning,
        "early": early,
        "wrong": wrong,
    }


def overwriting(trainer: Trainer, seed: int, count: int) -> dict[str, int]:
    """Kill `torch.save` over one file, as people write it, while it writes; what can't be read."""
    chance, flag, path = random.Random(seed), mmap.mmap(-1, 1), Path("last.pt")
    training = loop.load_split(trainer.config, "train")

    def overwrite() -> None:
        model = loop.build_network(trainer.config, training)
        optimizer = build_optimizer(model, trainer.config.training)
        batches = itertools.cycle(training.in_order(trainer.config.training.batch_size))
        for number, batch in enumerate(batches):
            loop.losses(model(batch.inputs), batch.labels).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            if number % 3 == 2:
                flag[0] = 1
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
                flag[0] = 2

    def until(value: int) -> None:
        while flag[0] != value:
            assert not ended(child)

    durations: list[float] = []
    killed = unreadable = 0
    while killed < count:
        flag[0] = 0
        child = trainer.fork(overwrite)
        until(2)  # the file is there, and whole
        until(1)
        began = time.perf_counter()
        if len(durations) < 5:
            until(2)
            durations.append(time.perf_counter() - began)
        else:
            moment = began + chance.uniform(0, statistics.median(durations))
            while time.perf_counter() < moment:
                pass
        os.kill(child, signal.SIGKILL)
        wait(child)
        if len(durations) < 5 or flag[0] != 1:
            continue
        killed += 1
        try:
            torch.load(path, weights_only=True)
        except Exception:  # EOFError, RuntimeError, UnpicklingError: whatever it is
            unreadable += 1
    return {"kills": killed, "unreadable": unreadable}


def batches(trainer: Trainer, name: str) -> dict[str, Any]:
    """Digests of every batch of three epochs, and of the end of a run, by the number of workers."""
    training = loop.load_split(trainer.config, "train")
    order = loop.batch_order(trainer.config, training)

    def draw(workers: int) -> None:
        with Path(f"{name}-{workers}").open("w", encoding="utf-8") as file:
            for inputs, labels in loop.load(training, order.steps(0, 3 * order.batches), workers):
                content = inputs.numpy().tobytes() + labels.numpy().tobytes()
                print(hashlib.sha256(content).hexdigest(), file=file)

    said: dict[str, Any] = {"epoch": order.batches, "drawn": {}, "ended": {}}
    for workers in (0, 1, 4):
        assert wait(trainer.fork(lambda workers=workers: draw(workers))) == 0
        drawn = Path(f"{name}-{workers}").read_text(encoding="utf-8").split()
        other = Trainer(changed(trainer.config, {"data": {"workers": workers}}))
        assert wait(other.fork(lambda other=other, run=f"run-{workers}": other.train(run))) == 0
        said["drawn"][workers], said["ended"][workers] = drawn, other.digest(f"run-{workers}")
    return said


def moments(trainer: Trainer) -> dict[str, Any]:
    """Runs that kill themselves at chosen steps, and where and how they went on."""
    training = loop.load_split(trainer.config, "train")
    epoch = loop.batch_order(trainer.config, training).batches
    assert wait(trainer.fork(lambda: trainer.train("unbroken"))) == 0
    expected = trainer.digest("unbroken")
    said: dict[str, Any] = {}
    places = {
        "in the first step": 0,
        "in an epoch": epoch + epoch // 2,
        "at an epoch's end": 2 * epoch,
        "at the last step": trainer.steps,
    }
    assert trainer.steps > 2 * epoch, "the last step is none of the others"
    for number, (title, last) in enumerate(places.items()):
        name = f"moment-{number}"
        assert wait(trainer.fork(lambda n=name, s=last: die_after(trainer, n, s))) == -9
        before = saved(name)
        newest, first = trainer.store(name).newest() or 0, trainer.resume(name)
        said[title] = {
            "wanted": last,
            "newest": newest,
            "first": first,
            "equal": trainer.digest(name) == expected,
            "untouched": saved(name) == before,
        }
    return said


def saved(name: str) -> dict[str, str]:
    """What a run has on the disk; that it has ended is noted after the last checkpoint."""
    return {path: each for path, each in contents(RUNS / name).items() if path != "outcome.json"}


def die_after(trainer: Trainer, name: str, last: int) -> None:
    """Train, and die with the checkpoint of a step on the disk, or within the first step."""
    step, save = loop.step, CheckpointStore.save

    def stepping(state: Any, *rest: Any) -> Any:
        found = step(state, *rest)
        if last == 0:
            kill()
        return found

    def saving(self: CheckpointStore, state: Any, writer: Any) -> None:
        save(self, state, writer)
        if state.step == last:
            writer.wait()
            kill()

    loop.step, CheckpointStore.save = stepping, saving
    trainer.train(name)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder by its path, as a digest."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def background(trainer: Trainer) -> dict[str, bool]:
    """What the background writer promises to the loop, each with a write that is held up."""
    weight = torch.arange(12.0).view(3, 4)
    tensors = {"model": {"weight": weight}, "optimizer": {"0.exp_avg": weight.t().contiguous()}}
    writer, let_go, committed = Writer(), threading.Event(), list[dict[str, Any]]()
    under_way = [0]  # writes, as it changed

    def commit(content: Any) -> None:
        under_way.append(under_way[-1] + 1)
        let_go.wait()
        committed.append(copy.deepcopy(content))
        under_way.append(under_way[-1] - 1)

    expected = weight.clone()
    writer.write(tensors, commit)
    returned_before = not committed
    for tensor in (weight, tensors["optimizer"]["0.exp_avg"]):
        tensor.fill_(-1)
    threading.Timer(0.2, let_go.set).start()
    writer.write(tensors, commit)  # has to wait for the first one
    waited = len(committed) >= 1
    let_go.clear()
    threading.Timer(0.2, let_go.set).start()
    writer.wait()
    (first, second) = committed
    said = {
        "the loop went on while it was written": returned_before,
        "what was written is of that moment": torch.equal(first["model"]["weight"], expected)
        and torch.equal(first["optimizer"]["0.exp_avg"], expected.t()),
        "the next one is of its own": bool((second["model"]["weight"] == -1).all()),
        "a second write waited for the first": waited and max(under_way) == 1,
        "leaving waited for the last": under_way[-1] == 0 and len(committed) == 2,
    }

    def fail(content: Any) -> None:
        let_go.wait()
        raise CheckpointError("no room")

    let_go.clear()
    writer.write(tensors, fail)
    writer.check()  # nothing is known yet
    let_go.set()
    writing = [each for each in threading.enumerate() if each.name == "checkpoint-writer"]
    for thread in writing:
        thread.join()
    try:
        writer.check()
        said["an error is raised by the next check"] = False
    except CheckpointError as error:
        said["an error is raised by the next check"] = str(error) == "no room"
    writer.check()
    writer.wait()  # it was said once
    writer.write(tensors, fail)
    try:
        writer.wait()
        said["an error is raised by waiting"] = False
    except CheckpointError:
        said["an error is raised by waiting"] = True
    return said


def failing(trainer: Trainer) -> dict[str, Any]:
    """A run whose checkpoints can't be written any more, all at once: how far it goes, and why."""
    steps: list[int] = []
    step = loop.step

    def stepping(state: Any, *rest: Any) -> Any:
        steps.append(state.step)
        if state.step == 5:
            folder = Run(RUNS / "failing").checkpoints
            folder.rename(folder.with_name("gone"))
            folder.write_text("a file where the folder was", encoding="utf-8")
        for thread in threading.enumerate():
            if thread.name == "checkpoint-writer":
                thread.join()
        return step(state, *rest)

    loop.step = stepping
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train("failing")
    except CheckpointError as error:
        cause = error.__cause__
        return {"steps": steps[-1] + 1, "said": str(error), "cause": type(cause).__name__}
    return {"steps": steps[-1] + 1, "said": "", "cause": ""}


def orphans(trainer: Trainer) -> dict[str, Any]:
    """A run with workers is killed, and they can't notice yet: who may use the run, who is left."""
    child = trainer.fork(lambda: trainer.train("workers"))
    metrics = Run(RUNS / "workers").metrics
    while not (metrics.exists() and metrics.stat().st_size) and not ended(child):
        time.sleep(0.001)
    workers = children(child)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    assert wait(child) == -signal.SIGKILL, "it was too fast to be killed"
    try:
        with Run(RUNS / "workers").locked():
            free = True
    except Exception as error:
        free = str(error)
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    began = time.perf_counter()
    while any(alive(worker) for worker in workers):
        time.sleep(0.01)
    return {"workers": len(workers), "free": free, "seconds": time.perf_counter() - began}


def children(parent: int) -> list[int]:
    """The processes that a process has started."""
    return [pid for pid, above, _ in processes() if above == parent]


def alive(process: int) -> bool:
    """Whether a process still runs; one that nobody has buried yet doesn't."""
    return any(pid == process and state not in "ZX" for pid, _, state in processes())


def processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent and state of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended since
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            yield int(folder.name), int(fields[1]), fields[0]


def changed(config: Any, settings: dict[str, Any]) -> Any:
    """A config with some other settings."""
    return from_dict(merge(to_dict(config), settings))


def warm_up(config: Any) -> None:
    """Prepare the records, and import what torch imports late, once instead of in every child."""
    assert wait(Trainer(config).fork(lambda: loop.load_split(config, "train"))) == 0
    training = loop.load_split(config, "train")
    model = loop.build_network(config, training)
    optimizer = build_optimizer(model, config.training)
    batch = next(iter(training.in_order(config.training.batch_size)))
    loop.losses(model(batch.inputs), batch.labels).mean().backward()
    optimizer.step()
    assert len(os.listdir("/proc/self/task")) == 1, "a thread, and forks to come"  # noqa: PTH208


SCENARIOS: dict[str, Callable[..., Any]] = {
    "kills": kills,
    "overwriting": overwriting,
    "batches": batches,
    "moments": moments,
    "background": background,
    "failing": failing,
    "orphans": orphans,
}


def main() -> None:
    """Run one scenario in the current folder, and put what it saw into a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--given", type=json.loads, default={})
    parser.add_argument("--said", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = from_dict(options.settings)
    warm_up(config)
    said = SCENARIOS[options.scenario](Trainer(config), **options.given)
    options.said.write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
