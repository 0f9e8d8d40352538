"""Several processes train the same run as one, bit for bit, whatever happens to them.

Real processes, started by torchrun; all are forks of one that has imported torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import pytest
from forks import ENVIRONMENT, PYTHON
from rendering import ROOT, render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists(), reason=f"{ENVIRONMENT} doesn't exist: make check creates it"
    ),
]

STEPS = 120
SETTINGS = [
    "--config=configs/small.toml",
    f"--training.max-steps={STEPS}",
    "--training.warmup-steps=10",
    "--training.batch-size=16",
    "--training.parts=4",
    "--training.evaluate-every=40",
    "--training.log-every=1",
    "--training.device=cpu",
    "--checkpoint.every=30",
]

SLOW = """
import sys, time
from digits.training import loop
from digits.training.checkpoint import CheckpointManager

def slowly(function, seconds):
    def slow(*arguments):
        time.sleep(seconds)
        return function(*arguments)
    return slow

loop.train_step = slowly(loop.train_step, 0.02)  # so that a signal comes before the end
CheckpointManager.save = slowly(CheckpointManager.save, 0.5)  # so that one could leave too early

from digits.cli import main
sys.exit(main())
"""

FORK = """
import os, runpy, sys
import sklearn.metrics, torch

torch.set_num_threads(1)
script, count, local, port, *arguments = sys.argv[1:]
processes = []
for rank in range(int(count)):
    if process := os.fork():
        processes.append(process)
        continue
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": local}
    os.environ |= {"LOCAL_RANK": str(rank % int(local)), "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = port
    file = os.open(f"output-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["digits", *arguments]
    code = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
print([os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes])
"""


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("devices") / "digits"
    project = render(template, folder, devices="ddp", checkpoint="rolling")
    (project / "src/slow.py").write_text(SLOW, encoding="utf-8")
    (project / "fork.py").write_text(FORK, encoding="utf-8")
    return project


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}


def start(
    project: Path, processes: int, *arguments: str, module: str = "digits.cli"
) -> subprocess.Popen[str]:
    """Start one process by itself, or several with torchrun."""
    torchrun = ["-c", forks.TORCHRUN, "", "-m", "torch.distributed.run", "--standalone"]
    torchrun.append(f"--nproc-per-node={processes}")
    return forks.Popen(
        [PYTHON, *(torchrun if processes > 1 else []), "-m", module, "train", *arguments],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> str:
    try:
        return process.communicate(timeout=timeout)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def fork(
    project: Path, script: str, count: int, *arguments: str, local: int = 0
) -> tuple[list[int], list[str]]:
    """Run a script in forked processes. Returns their exit codes and outputs."""
    (project / "script.py").write_text(script, encoding="utf-8")
    port = str(20000 + os.getpid() % 10000 + next(NUMBERS))
    command = [PYTHON, "fork.py", "script.py", str(count), str(local or count), port, *arguments]
    done = forks.run(
        command,
        cwd=project,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    outputs = [(project / f"output-{n}").read_text(encoding="utf-8") for n in range(count)]
    return json.loads(done.stdout), outputs


NUMBERS = iter(range(1000))
MAIN = "import sys\nfrom digits.cli import main\nsys.exit(main())\n"


def digests(project: Path, run: str) -> dict[str, str]:
    last = project / "runs" / run / "checkpoints" / f"step_{STEPS:08d}"
    files = [last / name for name in ("model.safetensors", "optimizer.safetensors", "state.json")]
    files.append(project / "runs" / run / "metrics.jsonl")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def wait_for_step(project: Path, run: str, step: int, process: subprocess.Popen[str]) -> None:
    metrics = project / "runs" / run / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and f'"step": {step},' in metrics.read_text(encoding="utf-8"):
            return
        time.sleep(0.005)
    pytest.fail(f"it ended before step {step}: {finish(process)}")


def ranks(torchrun: subprocess.Popen[str]) -> list[int]:
    """The ids of the processes that torchrun has started, in the order of their ranks."""
    _server, *children = (
        Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    )
    return [int(child) for child in children]


@pytest.fixture(scope="module")
def alone(project: Path) -> dict[str, str]:
    """Digests of an unbroken run of one process, without torchrun."""
    process = start(project, 1, "--run-name=alone", *SETTINGS)
    output = finish(process)
    assert process.returncode == 0, output
    return digests(project, "alone")


@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_ends_with_the_same_bits(
    processes: int, project: Path, alone: dict[str, str]
) -> None:
    process = start(project, processes, f"--run-name=of-{processes}", *SETTINGS)
    output = finish(process)
    assert process.returncode == 0, output
    assert digests(project, f"of-{processes}") == alone
    assert output.count(f"step {STEPS}/{STEPS} ") == 1, "only one process prints"
    assert output.count("Passed: ") == 1


def test_a_run_survives_signals_and_kills_on_any_number_of_processes(
    project: Path, alone: dict[str, str]
) -> None:
    process = start(project, 2, "--run-name=faults", *SETTINGS, module="slow")
    wait_for_step(project, "faults", 13, process)
    os.kill(ranks(process)[1], signal.SIGTERM)
    output = finish(process)
    assert output.count("stopped by SIGTERM after step") == 1, output
    assert "which is saved. Continue with: the same command and --or-resume\n" in output, output
    assert "exitcode  : 75" in output, output
    assert "exitcode  : -" not in output, "torchrun ended the lead"
    assert saved(project, "faults") >= 13

    process = start(project, 4, "--resume=runs/faults", module="slow")
    wait_for_step(project, "faults", 45, process)
    os.kill(ranks(process)[2], signal.SIGKILL)
    output = finish(process)
    assert re.search(r"rank +: 2 \(local_rank: 2\)\n +exitcode +: -9 ", output), output
    assert output.count("Traceback") == 1, output  # torchrun's own

    process = start(project, 2, "--resume=runs/faults", module="slow")
    wait_for_step(project, "faults", 75, process)
    told = [process.pid, *ranks(process)]  # as a scheduler does; torchrun passes it on
    for each in told:
        os.kill(each, signal.SIGTERM)
    output = finish(process)
    assert output.count("stopped by SIGTERM after step") == 1, output
    assert saved(project, "faults") >= 75

    process = start(project, 1, "--resume=runs/faults")
    output = finish(process)
    assert process.returncode == 0, output
    assert digests(project, "faults") == alone
    assert list((project / "runs").glob("*/.tmp*")) == []


def saved(project: Path, run: str) -> int:
    return max(int(path.name[5:]) for path in project.glob(f"runs/{run}/checkpoints/step_*"))


# --- two machines --------------------------------------------------------------------------------


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, encoding="utf-8", check=False)


@pytest.fixture
def nodes() -> Iterator[list[str]]:
    """Two network namespaces with a cable between them: two machines, to torchrun and gloo."""
    if os.geteuid() != 0:
        pytest.skip("only root can create network namespaces")
    if shutil.which("ip") is None and "CI" not in os.environ:
        pytest.skip("ip: not installed; .ci/run installs it")
    names = [f"ml-architect-{os.getpid()}-{number}" for number in (1, 2)]
    first, second = names
    try:
        for name in names:
            done = ip("netns", "add", name)
            if done.returncode != 0:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
        cable = ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", second]
        assert ip("-n", first, *cable).returncode == 0
        for number, name in enumerate(names, start=1):
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                assert ip("-n", name, "link", "set", device, "up").returncode == 0
        yield names
    finally:
        for name in names:
            for process in ip("netns", "pids", name).stdout.split():
                os.kill(int(process), signal.SIGKILL)  # nothing, unless the test has failed
            ip("netns", "delete", name)


def start_on(nodes: list[str], project: Path, *arguments: str) -> list[Any]:
    """Start a process on each node, as a Job of Kubernetes does."""
    variables = {
        "GLOO_SOCKET_IFNAME": "eth0",  # a host's name has no address here
        "ML_ARCHITECT_CONTINUE": "the same job",
    }
    return [
        forks.Popen(
            [
                PYTHON,
                *("-c", forks.TORCHRUN, name, str(ROOT / "src/ml_architect/launch/torchrun.py")),
                *("--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"),
                *("--master-addr=10.77.0.1", "--master-port=29500"),
                *(PYTHON, "-m", "slow", "train", *arguments),
            ],
            cwd=project,
            env={**environment(), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        for rank, name in enumerate(nodes)
    ]


def messages(output: str) -> list[str]:
    """Without the steps, and without PyTorch's warning that a machine here has no name."""
    expected = ("step ", "[W")
    return [line for line in output.splitlines(keepends=True) if not line.startswith(expected)]


def test_a_run_on_two_machines_survives_a_stopped_machine_and_a_broken_cable(
    nodes: list[str], project: Path, alone: dict[str, str]
) -> None:
    """The cable breaks in mid-step; neither machine can then reach the other."""
    machines = start_on(nodes, project, "--run-name=nodes", *SETTINGS)
    wait_for_step(project, "nodes", 13, machines[0])
    machines[1].terminate()
    outputs = [finish(machine) for machine in machines]
    assert [machine.returncode for machine in machines] == [75, 75], outputs
    stopped = r"stopped by SIGTERM after step \d+, which is saved. Continue with: the same job\n"
    assert re.fullmatch(stopped, "".join(messages(outputs[0])))
    assert messages(outputs[1]) == []
    assert saved(project, "nodes") >= 13

    limit = "--training.timeout-minutes=0.1"
    machines = start_on(nodes, project, "--resume=runs/nodes", limit)
    wait_for_step(project, "nodes", 45, machines[0])
    assert ip("-n", nodes[0], "link", "set", "eth0", "down").returncode == 0
    outputs = [finish(machine) for machine in machines]
    assert [machine.returncode for machine in machines] == [1, 1], outputs
    for rank, output in enumerate(outputs):
        assert messages(output) == [
            f"process {rank} of 2 lost another one, which failed, was killed, hangs or is out of "
            "reach (Timed out waiting 6000ms for recv operation to complete); look at what it "
            "printed last. Continue with: the same job\n"
        ]

    command = [PYTHON, "-m", "digits.cli", "train", "--resume=runs/nodes"]
    forks.run(command, cwd=project, env=environment(), check=True)
    assert digests(project, "nodes") == alone


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("processes", "parts"), [(2, 6), (3, 4)])
def test_parts_that_the_processes_cannot_share_are_refused(
    processes: int, parts: int, project: Path
) -> None:
    arguments = ("train", "--run-name=refused", f"--training.parts={parts}")
    codes, outputs = fork(project, MAIN, processes, *arguments, "--training.batch-size=12")
    assert codes == [2] * processes
    expected = f"training.parts: expected {processes} processes times 1, 2, 4, … (got {parts})\n"
    assert outputs == [expected] * processes
    assert not (project / "runs/refused").exists()


def test_running_statistics_are_refused(project: Path) -> None:
    script = """
from torch import nn
from digits.models import network

class Normalized(network.Network):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.norm = nn.BatchNorm2d(3)

from digits.training import loop
loop.Network = Normalized
"""
    arguments = ("train", "--run-name=refused", "--training.parts=2")
    codes, outputs = fork(project, script + MAIN, 2, *arguments)
    assert codes == [2, 2]
    assert set(outputs) == {
        "models/network.py: BatchNorm2d keeps running statistics; use GroupNorm or LayerNorm, "
        "or one process\n"
    }
    assert not (project / "runs/refused").exists()


# --- messages ------------------------------------------------------------------------------------

WRONG = """
import sys
from digits.errors import DataError
from digits.training import loop, processes

losses = loop.per_example_loss

def fail(*_):
    raise DataError("row 7 can't be read")

if processes.RANK == 1 and "one" in sys.argv[-1]:
    loop.train_step = fail
if "nan" in sys.argv[-1]:
    loop.per_example_loss = lambda *batch: losses(*batch) * float("nan")

from digits.cli import main
sys.exit(main())
"""


def launch(project: Path, *arguments: str) -> tuple[int, str]:
    """Run 2 processes as `ml-architect launch local` does. Returns exit code and output."""
    (project / "src/wrong.py").write_text(WRONG, encoding="utf-8")
    launcher = str(ROOT / "src/ml_architect/launch/torchrun.py")
    options = ("--standalone", "--nproc-per-node=2", "--redirects=1:3", "--log-dir=runs/logs")
    command = [PYTHON, "-m", "wrong", "train", *arguments]
    done = forks.run(
        [PYTHON, "-c", forks.TORCHRUN, "", launcher, *options, *command],
        cwd=project,
        env=environment() | {"ML_ARCHITECT_CONTINUE": "the same"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    return done.returncode, done.stderr


def test_what_every_process_refuses_is_said_once(project: Path, alone: dict[str, str]) -> None:
    code, errors = launch(project, "--training.parts=2", "--run-name=alone")
    assert code == 2
    assert errors.startswith("runs/alone exists; continue it with --resume")
    assert errors.count("\n") == 1


def test_a_loss_that_is_not_finite_is_said_once_with_the_examples(project: Path) -> None:
    code, errors = launch(project, *SETTINGS, "--run-name=nan")
    assert code == 1
    assert errors.startswith("step 1: loss nan")
    assert "nan_batch.json in runs/nan" in errors
    assert errors.count("\n") == 1
    assert len(json.loads((project / "runs/nan/nan_batch.json").read_text("utf-8"))["ids"]) == 16


def test_a_process_that_fails_alone_says_why(project: Path) -> None:
    code, errors = launch(project, *SETTINGS, "--run-name=one")
    assert code == 2
    first, why, details = errors.splitlines()
    assert first == "process 1 ended first, with exit code 2; torchrun ended the others"
    assert why == "row 7 can't be read"
    assert details.startswith("(details: runs/logs/")


def test_a_process_that_hangs_is_given_up_after_the_timeout(project: Path) -> None:
    script = """
import time
from digits.training import loop, processes
if processes.RANK == 1:
    loop.train_step = lambda *_: time.sleep(8)
"""
    arguments = ("--run-name=hangs", "--training.timeout-minutes=0.03", *SETTINGS)
    codes, outputs = fork(project, script + MAIN, 2, "train", *arguments)
    assert codes[0] == 1
    (line,) = [line for line in outputs[0].splitlines() if "lost another one" in line]
    assert "Timed out waiting 1800ms" in line


# --- the earlier name of training.parts ----------------------------------------------------------

OLD = """
import json, shutil
from pathlib import Path
from digits.config import from_dict
from digits.errors import ConfigError, RunError
from digits.training.run import Run

def resume(accumulation_steps, **training):
    text = Path("runs/alone/config.toml").read_text()
    recorded = json.loads(Path("runs/alone/run.json").read_text())
    for name in ("parts", "timeout_minutes"):
        del recorded["config"]["training"][name]
    recorded["config"]["training"]["accumulation_steps"] = accumulation_steps
    shutil.rmtree("runs/old", ignore_errors=True)
    Path("runs/old").mkdir()
    text = text.replace("parts = 4", f"accumulation_steps = {accumulation_steps}")
    Path("runs/old/config.toml").write_text(text)
    Path("runs/old/run.json").write_text(json.dumps(recorded))
    run = Run.open(Path("runs/old"))
    values = run.read_config()
    run.require_same(from_dict({**values, "training": {**values["training"], **training}}))

resume(1)
try:
    resume(4)
except RunError as error:
    print(error)
resume(4, parts=4)
try:
    from_dict({"training": {"accumulation_steps": 4}})
except ConfigError as error:
    print(error)
"""


def test_runs_and_configs_with_the_earlier_name_of_parts(
    project: Path, alone: dict[str, str]
) -> None:
    """A run without accumulation goes on; of the others, the setting is named."""
    codes, (output,) = fork(project, OLD, 1)
    assert codes == [0], output
    assert "  training.parts: was 4, now 1\n" in output
    assert output.count("was") == 2, output
    expected = "training.accumulation_steps: unknown setting; did you mean training.parts?"
    assert output.splitlines()[-1] == expected


# --- sums, agreement, validation -----------------------------------------------------------------

FACTS = """
import os
import signal
from types import SimpleNamespace

import torch
from torch import nn
from digits.config import from_dict
from digits.training import device, processes, run

config = from_dict({"training": {"batch_size": 8, "parts": 4}}).training
with device.process_group(config):
    rank, world = processes.RANK, processes.WORLD

    # The sum has the order of a tree, with any cut into buckets.
    generator = torch.Generator().manual_seed(0)
    def random(n):
        return torch.randn(n, generator=generator) * 10 ** torch.rand(n, generator=generator)
    values = [[random(n) for n in (1, 7, 1000, 30)] for _ in range(world)]
    def tree(items):
        while len(items) > 1:
            pairs = zip(items[::2], items[1::2], strict=True)
            items = [[x + y for x, y in zip(a, b, strict=True)] for a, b in pairs]
        return items[0]
    expected = tree(values)
    for device.BUCKET in (1, 2000, 2**26):
        weights = [nn.Parameter(torch.zeros_like(value)) for value in values[0][1:]]
        for weight, value in zip(weights, values[rank][1:], strict=True):
            weight.grad = value.clone()
        loss, _ = device.sum_and_clip(weights, values[rank][0].clone(), float("inf"))
        for one, other in zip(expected, [loss, *(w.grad for w in weights)], strict=True):
            assert torch.equal(one, other)

    # A weight that no part has used has no gradient, or it would decay.
    used, unused = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    used.grad = torch.ones(3) if rank == 1 else None
    device.sum_and_clip([used, unused], torch.zeros(()), float("inf"))
    assert torch.equal(used.grad, torch.ones(3))
    assert unused.grad is None

    # Any process's signal counts, and the lead's clocks; nobody's own flag is changed.
    stop = SimpleNamespace(signal_name="SIGUSR1" if rank == world - 1 else "")
    agreed = device.agree(stop, 10.0 + rank, 20.0 - rank)
    assert agreed == ("SIGUSR1", 10.0, 20.0), agreed
    assert stop.signal_name == ("SIGUSR1" if rank == world - 1 else "")
    assert device.agree(None, 1.0, 2.0) == ("", 1.0 , 2.0)

    # Each result is computed by one, and all have all of them in order. The last is repeated.
    computed = []
    def compute(key):
        computed.append(key)
        return torch.full((key,), key).numpy(), torch.tensor(key / 3).numpy()
    results = list(device.compute_shared(compute, range(11)))
    assert [len(first) for first, _ in results] == list(range(11))
    thirds = [float(torch.tensor(n / 3)) for n in range(11)]
    assert [float(second) for _, second in results] == thirds
    assert computed == [*range(11), 10][rank::world]
    assert list(device.compute_shared(compute, range(0))) == []

    # A signal may come twice: from a scheduler, and by torchrun.
    with run.stop_on_signal() as heard:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGUSR1)
        assert heard.signal_name == "SIGUSR1"
    print("printed by", rank)
print("all passed")
"""


@pytest.mark.parametrize("local", [4, 2])
def test_sums_agreement_and_validation(local: int, project: Path) -> None:
    """On one machine, and on two: the sums in two levels have the same bits."""
    codes, outputs = fork(project, FACTS, 4, local=local)
    assert codes == [0, 0, 0, 0], outputs
    assert outputs == ["printed by 0\nall passed\n", "", "", ""]
