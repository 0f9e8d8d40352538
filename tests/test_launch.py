"""Runs of several processes: on this machine, on Slurm, on Kubernetes; and what they cost."""

import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import ROOT, render
from slurm import MISSING, Slurm, running_slurm, wait_until
from studies import (
    ENVIRONMENT,
    PYTHON,
    StudiedProject,
    assert_trained_once,
    finish,
    outcome,
    stub_project,
)

from ml_architect.errors import CommandError
from ml_architect.launch.job import Resources
from ml_architect.launch.plan import Constants, Plan, describe
from ml_architect.studies.project import Project

needs_torch = pytest.mark.skipif(
    not ENVIRONMENT.exists() and "CI" not in os.environ,
    reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
)
needs_slurm = pytest.mark.skipif(
    bool(MISSING) and "CI" not in os.environ,
    reason=f"{', '.join(MISSING)}: not installed; .ci/run installs them",
)


# --- plan ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "tokens", "gpus", "expected"),
    [  # computed by hand before: seconds of the all-reduce, of the flat sum; percent lost
        (124e6, 0.5e6, 8, (0.002, 0.002, 0.04, 0.04)),
        (124e6, 0.5e6, 64, (0.005, 0.013, 0.11, 0.05)),
        (1.3e9, 1e6, 256, (0.057, 0.154, 0.70, 0.16)),
        (8e9, 4e6, 1024, (0.354, 0.971, 3.45, 0.46)),
        (70e9, 8e6, 64, (2.892, 7.571, 2.44, 0.87)),
    ],
)
def test_the_plan_agrees_with_numbers_that_were_computed_before(
    weights: float, tokens: float, gpus: int, expected: tuple[float, ...]
) -> None:
    plan = Plan(model_parameters=weights, gpus=gpus, tokens_per_step=tokens)
    seconds = (round(plan.all_reduce, 3), round(plan.flat_fixed_order, 3))
    lost = tuple(round(100 * plan.lost(plan.stall(sharded)), 2) for sharded in (False, True))
    assert (*seconds, *lost) == expected


def test_the_plan_names_where_strong_scaling_ends() -> None:
    plan = Plan(model_parameters=124e6, gpus=64, tokens_per_step=0.5e6)
    end = plan.gpus_for_share(1 / 3)
    for gpus, is_below in ((end, True), (end + 8, False)):
        at_end = Plan(model_parameters=124e6, gpus=gpus, tokens_per_step=0.5e6)
        assert (at_end.share(at_end.all_reduce) <= 1 / 3) == is_below
    # It depends on the tokens of a GPU, not on the model.
    plan = Plan(model_parameters=124e6, gpus=1024, tokens_per_step=0.5e6)
    larger = Plan(model_parameters=70e9, gpus=1024, tokens_per_step=0.5e6)
    assert plan.tokens_for_share(1 / 3) == pytest.approx(larger.tokens_for_share(1 / 3))
    assert 5500 < plan.tokens_for_share(1 / 3) < 6000


def test_the_plan_shows_the_source_of_each_constant_and_takes_a_measured_one(
    tmp_path: Path,
) -> None:
    result = tool(tmp_path, "plan", "--model-parameters", "8e9", "--gpus", "256")
    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith("An estimate, not a measurement: 8 billion weights")
    assert "doesn't fit into 60 GB" in result.stdout
    assert "NVIDIA's data sheet" in result.stdout
    slower = Constants(write_speed=1e8)
    plan = Plan(model_parameters=8e9, gpus=256, tokens_per_step=4e6, constants=slower)
    assert plan.stall(False) == pytest.approx(960)
    assert "--write-speed 1e+08        bytes/s per node; given" in describe(plan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model-parameters 8B --gpus 8", "8B: expected a positive number, such as 8e9"),
        ("--model-parameters nan --gpus 8", "nan: expected a positive number"),
        ("--model-parameters 8e9 --gpus 0", "0: expected a whole number of at least 1"),
        ("--model-parameters 8e9 --gpus 12", "--gpus 12: expected at most 8, or whole nodes"),
        ("--model-parameters 8e9 --gpus 8 --utilization 40", "expected a fraction of at most 1"),
    ],
)
def test_a_plan_of_nonsense_is_refused(options: str, message: str, tmp_path: Path) -> None:
    result = tool(tmp_path, "plan", *options.split())
    assert result.returncode == 2
    assert message in result.stdout
    assert len(result.stdout.splitlines()) == 1


# --- files ---------------------------------------------------------------------------------------


def tool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ml_architect", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def stub(tmp_path: Path) -> StudiedProject:
    """A project whose folder has to be quoted, with a config."""
    project = stub_project(tmp_path / "it's a project")
    (project.folder / "configs/full.toml").write_text("size = 8\n", encoding="utf-8")
    return project


def launch(project: StudiedProject, place: str, *words: str) -> subprocess.CompletedProcess[str]:
    return tool(project.folder, "launch", place, "--command", project.command, *words)


TRAIN = ("--", "train", "--config", "configs/full.toml")
KUBERNETES = ("--image", "registry.example/lm:1", "--claim", "runs")


def test_a_job_of_slurm_can_be_read_and_is_valid(stub: StudiedProject) -> None:
    options = ("--nodes", "2", "--gpus", "8", "--time", "24:00:00", "--sbatch=--partition=gpu")
    result = launch(stub, "slurm", *options, *TRAIN, "--note", "it's $HOME")
    assert result.returncode == 0, result.stdout
    path = stub.folder / "runs/full.sbatch"
    assert f"Next: sbatch {shlex.quote(str(path))}" in result.stdout
    text = path.read_text(encoding="utf-8")
    for line in (
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=8",
        "#SBATCH --gpus-per-node=8",
        "#SBATCH --time=24:00:00",
        "#SBATCH --signal=B:USR1@120",
        "#SBATCH --requeue",
        "#SBATCH --partition=gpu",
        "#SBATCH --output=runs/logs/full.log",
        f"export ML_ARCHITECT_CONTINUE={shlex.quote(f'sbatch {shlex.quote(str(path))}')}",
    ):
        assert line in text.splitlines(), line
    command = next(line for line in text.splitlines() if line.startswith("' _ "))
    words = shlex.split(command.removeprefix("' _ ").removesuffix(" &"))
    arguments = [*TRAIN[1:], "--note", "it's $HOME", "--run-name", "full", "--or-resume"]
    assert words == [*stub.command.split(), *arguments]
    subprocess.run(["bash", "-n", path], check=True)
    assert not (stub.folder / "runs/full").exists()  # the run's folder is the project's own


ONLY_SLURM = [
    (("--time", "1 day", *TRAIN), "--time 1 day: expected a limit such as 24:00:00"),
    (("--time", "3", *TRAIN), "--time 3: expected over a minute longer than the 120 seconds"),
    (("--sbatch=gpu", *TRAIN), "--sbatch 'gpu': expected an option of sbatch"),
    (("--sbatch=--a\n#SBATCH -b", *TRAIN), "expected an option of sbatch"),
    (("--time", "60", "--sbatch=--time=1", *TRAIN), "--sbatch=--time=1: the job has this option"),
    (("--sbatch=-t1", *TRAIN), "already; set it by --time"),
    (("--sbatch=--signal=USR1@10", *TRAIN), "already; set it by --grace"),
]


@pytest.mark.parametrize("place", ["local", "slurm"])
def test_processes_that_cannot_share_the_parts_of_a_batch_are_refused_before_a_start(
    place: str, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text('print("[training]\\nparts = 4")', encoding="utf-8")
    command = ("--command", f"{sys.executable} {script}", "--processes")
    for processes in ("3", "8"):
        result = tool(tmp_path, "launch", place, *command, processes, *TRAIN)
        assert result.returncode == 2
        assert result.stdout == (
            f"training.parts = 4: {processes} processes share the parts of a batch, so expected "
            f"{processes}, {2 * int(processes)}, {4 * int(processes)}, …: add "
            f"--training.parts {processes}\n"
        )
    assert not (tmp_path / "runs").exists()
    if place == "slurm":
        assert tool(tmp_path, "launch", place, *command, "2", *TRAIN).returncode == 0


@pytest.mark.parametrize("place", ["slurm", "kubernetes"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        *ONLY_SLURM,
        (("--nodes", "0", *TRAIN), "--nodes: 0: expected a whole number of at least 1"),
        ((), "after --: nothing: expected the command that trains a run"),
        (("--", "evaluate", "runs/full"), "expected the command that trains a run"),
        (("--", "train"), "expected --run-name NAME, or --config FILE"),
        ((*TRAIN, "--run-name", "../up"), "--run-name '../up': expected letters, digits"),
        ((*TRAIN, "--resume", "runs/full"), "--resume: a job starts its run and continues it"),
        (("--", "train", "--config", "configs/wrong.toml"), "lerning_rate: no such setting"),
    ],
)
def test_a_job_that_could_not_train_is_refused_and_nothing_is_written(
    place: str, options: tuple[str, ...], message: str, stub: StudiedProject
) -> None:
    if place == "kubernetes":
        if (options, message) in ONLY_SLURM:
            pytest.skip("an option that only Slurm has")
        options = (*KUBERNETES, *options)
    (stub.folder / "configs/wrong.toml").write_text("lerning_rate = 1\n", encoding="utf-8")
    result = launch(stub, place, *options)
    assert result.returncode == 2, result.stdout
    assert message in result.stdout
    assert len(result.stdout.splitlines()) == 1, result.stdout
    assert not (stub.folder / "runs").exists()


@needs_torch
def test_a_run_that_exists_with_other_settings_is_refused_before_the_queue(
    template: Path, tmp_path: Path
) -> None:
    """Also if it has ended."""
    folder = render(template, tmp_path / "digits", devices="ddp")
    path = os.pathsep.join([str(ROOT / "src"), str(folder / "src")])
    project = StudiedProject(folder, f"{PYTHON} -m digits.cli", {"PYTHONPATH": path})
    steps = [*TRAIN, "--training.max-steps=1", "--training.warmup-steps=0"]
    job = ("launch", "slurm", "--command", project.command, *steps)
    (project.folder / "configs/full.toml").write_text("", encoding="utf-8")
    shown = project.call(*steps[1:], "--dry-run")
    run = project.folder / "runs/full"
    run.mkdir(parents=True)
    (run / "config.toml").write_text(shown.stdout, encoding="utf-8")
    provenance = {"id": "", "data": "", "scratch": False, "input_shape": [1], "num_outputs": 1}
    provenance |= {"config": tomllib.loads(shown.stdout)}
    (run / "run.json").write_text(json.dumps(provenance), encoding="utf-8")
    (run / "outcome.json").write_text("{}", encoding="utf-8")

    assert finish(project.start(*job)).returncode == 0
    (project.folder / "runs/full.sbatch").unlink()
    result = finish(project.start(*job, "--seed=7"))
    assert result.returncode == 2
    assert result.stdout == (
        "runs/full was trained with other settings or data:\n  seed: was 0, now 7\n"
        "Restore them, start another run, or insist with --allow-changes\n"
    )
    assert not (project.folder / "runs/full.sbatch").exists()


@pytest.mark.parametrize(
    ("time", "is_long_enough"), [("4", True), ("3:59", True), ("0:03:00", False), ("1-0", True)]
)
def test_a_time_limit_leaves_time_for_saving(time: str, is_long_enough: bool) -> None:
    if is_long_enough:
        Resources(time=time)
    else:
        with pytest.raises(CommandError, match="--grace"):
            Resources(time=time)


def test_without_slurm_the_job_is_kept_and_the_next_step_is_named(stub: StudiedProject) -> None:
    arguments = ("launch", "slurm", "--submit", "--command", stub.command, *TRAIN)
    result = finish(stub.start(*arguments, PATH="/nowhere"))
    assert result.returncode == 2, result.stdout
    assert "submit it on a machine of the cluster" in result.stdout
    assert (stub.folder / "runs/full.sbatch").exists()


def kubernetes_documents(stub: StudiedProject, *options: str) -> list[dict[str, Any]]:
    arguments = (*options, *TRAIN, "--note", "$(HOME)")
    result = launch(stub, "kubernetes", *KUBERNETES, *arguments)
    assert result.returncode == 0, result.stdout
    text = (stub.folder / "runs/full.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def test_a_job_of_kubernetes_handles_each_exit_code(stub: StudiedProject) -> None:
    service, script, job = kubernetes_documents(stub, "--nodes", "2", "--gpus", "8")
    assert service["spec"]["clusterIP"] == "None"
    source = (ROOT / "src/ml_architect/launch/torchrun.py").read_text(encoding="utf-8")
    assert script["data"]["torchrun.py"] == source
    assert job["spec"]["completionMode"] == "Indexed"
    rules = job["spec"]["podFailurePolicy"]["rules"]
    actions = {
        code: rule["action"]
        for rule in rules
        if "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
    }
    assert actions == {75: "Ignore", 2: "FailJob"}
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert "--master-addr=full-0.full" in container["command"]
    arguments = [*TRAIN[1:], "--note", "$$(HOME)", "--run-name", "full", "--or-resume"]
    assert container["command"][-len(arguments) :] == arguments
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}


@pytest.mark.parametrize("options", [(), ("--nodes", "4", "--gpus", "8", "--cpus", "6")])
def test_a_job_of_kubernetes_is_valid_and_a_misspelt_key_is_not(
    options: tuple[str, ...], stub: StudiedProject
) -> None:
    if "CI" not in os.environ:
        pytest.importorskip("kubernetes_validate", reason="not installed: make test installs it")
    kubernetes_validate = importlib.import_module("kubernetes_validate")
    version = kubernetes_validate.latest_version()
    documents = kubernetes_documents(stub, *options)
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)
    spec = documents[-1]["spec"]["template"]["spec"]
    spec["restartPolicie"] = spec.pop("restartPolicy")
    with pytest.raises(kubernetes_validate.ValidationError, match="restartPolicie"):
        kubernetes_validate.validate(documents[-1], version, strict=True)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--claim", "Runs Of Me", "a name such as runs-of-lm"),
        ("--workdir", "work", "an absolute path such as /work"),
        ("--image", "a b", "an image such as registry.example/lm:1"),
    ],
)
def test_a_wrong_name_for_kubernetes_is_refused(
    option: str, value: str, expected: str, stub: StudiedProject
) -> None:
    result = launch(stub, "kubernetes", *KUBERNETES, option, value, *TRAIN)
    assert result.returncode == 2
    assert result.stdout == f"{option} {value!r}: expected {expected}\n"
    assert not (stub.folder / "runs").exists()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python train.py", "python"),
        ("env A=1 /opt/bin/python3.12 -m lm.cli", "env A=1 /opt/bin/python3.12"),
        ("uv run lm", "uv run python"),
        ("pixi run --frozen lm", "pixi run --frozen python"),
        (f"{Path(sys.executable).parent}/pytest", f"{Path(sys.executable).parent}/python"),
    ],
)
def test_the_python_of_a_project_is_found_in_its_command(command: str, expected: str) -> None:
    assert Project(Path(), tuple(command.split())).python() == expected.split()


def test_a_command_that_hides_its_python_is_refused() -> None:
    with pytest.raises(CommandError, match="expected a command that shows its Python"):
        Project(Path(), ("/nowhere/train",)).python()


# --- this machine --------------------------------------------------------------------------------


@pytest.fixture
def ranks(tmp_path: Path) -> StudiedProject:
    """A project whose runs have several processes."""
    return ranks_project(tmp_path / "it's a project")


def ranks_project(folder: Path) -> StudiedProject:
    (folder / "configs").mkdir(parents=True)
    script = (ROOT / "tests/ranks.py").read_text(encoding="utf-8")
    (folder / "train.py").write_text(script, encoding="utf-8")
    (folder / "configs/full.toml").write_text("", encoding="utf-8")
    # The tool's command runs where torch isn't installed, the project's where the tool isn't.
    return StudiedProject(folder, f"{PYTHON} train.py", {"PYTHONPATH": str(ROOT / "src")})


def start_local(project: StudiedProject, *arguments: str) -> subprocess.Popen[str]:
    options = ("--processes", "2", "--command", project.command)
    environment = {"OMP_NUM_THREADS": "3"}
    return project.start("launch", "local", *options, *TRAIN, *arguments, **environment)


def wait_for_step(run: Path, step: int) -> None:
    path = run / "metrics.jsonl"
    wait_until(
        lambda: path.exists() and f'"step": {step},' in path.read_text("utf-8"),
        f"{run} has no step {step}",
    )


def digest(run: Path) -> tuple[bytes, dict[str, Any]]:
    return (run / "metrics.jsonl").read_bytes(), outcome(run)


@pytest.mark.slow
@needs_torch
def test_exit_codes_get_through_torchrun(ranks: StudiedProject) -> None:
    name = ("--run-name", "stopped", "--or-resume")
    run = ranks.folder / "runs/stopped"
    # To torchrun, as a scheduler does it; the second signal is of the kind that would kill it.
    for step, number in ((5, signal.SIGTERM), (15, signal.SIGUSR1)):
        process = start_local(ranks, *name)
        wait_for_step(run, step)
        process.send_signal(number)
        result = finish(process)
        assert result.returncode == 75, result.stdout
        assert "stopped at step" in result.stdout
        assert "Traceback" not in result.stdout

    process = start_local(ranks, *name)  # to one process only
    wait_for_step(run, 30)
    os.kill(int((run / "process-1").read_text()), signal.SIGTERM)
    assert finish(process).returncode == 75

    process = start_local(ranks, "--run-name", "stopped")
    wait_for_step(run, 45)
    os.kill(int((run / "process-0").read_text()), signal.SIGKILL)
    result = finish(process)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    command = ["ml-architect", "launch", "local", "--processes", "2", "--command", ranks.command]
    assert "process 0 ended first, killed by SIGKILL; torchrun ended the others" in lines
    assert f"Continue with: {shlex.join([*command, *TRAIN, *name])}" in lines

    result = finish(start_local(ranks, *name))
    assert result.returncode == 0, result.stdout
    assert result.stdout == "process 0 of 2, threads 3\n"  # the other one prints to a file
    logs = [*(ranks.folder / "runs/logs/stopped").glob("*/attempt_0/1/stdout.log")]
    assert len(logs) == 5
    assert {log.read_text(encoding="utf-8") for log in logs} == {"process 1 of 2, threads 3\n"}


@pytest.mark.slow
@needs_torch
def test_wrong_settings_end_several_processes_with_2(ranks: StudiedProject) -> None:
    (ranks.folder / "configs/full.toml").write_text("stepps = 3\n", encoding="utf-8")
    result = finish(start_local(ranks, "--run-name", "wrong"))
    assert result.returncode == 2, result.stdout
    assert result.stdout == "stepps: no such setting\n"
    assert not (ranks.folder / "runs").exists()

    (ranks.folder / "configs/full.toml").write_text("seconds = -1\n", encoding="utf-8")
    result = finish(start_local(ranks, "--run-name", "wrong"))
    assert result.returncode == 2, result.stdout
    assert "seconds = -1: expected at least 0" in result.stdout


@pytest.mark.slow
@needs_torch
def test_the_runs_of_a_study_can_have_several_processes(ranks: StudiedProject) -> None:
    text = "steps = 5\n[tune]\ntrials = 1\nspace.seconds = { options = [0.01, 0.05] }\n"
    (ranks.folder / "configs/study.toml").write_text(text, encoding="utf-8")
    launcher = [sys.executable, "-m", "ml_architect", "launch", "local", "--processes", "2"]
    command = shlex.join([*launcher, "--command", ranks.command, "--"])
    result = finish(ranks.start("tune", "configs/study.toml", "--command", command))
    assert result.returncode == 0, result.stdout
    run = ranks.folder / "runs/study/trial-0000"
    assert {path.name for path in run.glob("process-*")} == {"process-0", "process-1"}


def test_a_project_without_torch_gets_one_line(stub: StudiedProject) -> None:
    result = launch(stub, "local", "--processes", "2", *TRAIN)
    assert result.returncode == 2
    assert "Several processes are started by torchrun, a part of PyTorch" in result.stdout
    assert len(result.stdout.splitlines()) == 1


# --- Slurm ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with running_slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


def submit_job(project: StudiedProject, slurm: Slurm, *arguments: str) -> str:
    """Write and submit a job of two processes. Returns its number."""
    options = ("--processes", "2", "--cpus", "1", "--time", "20", "--submit")
    command = ("launch", "slurm", "--command", project.command, *options, *TRAIN, *arguments)
    result = finish(project.start(*command, **slurm.environment))
    assert result.returncode == 0, result.stdout
    return result.stdout.rpartition("Submitted: job ")[2].strip()


@pytest.mark.slow
@needs_torch
@needs_slurm
def test_a_job_of_slurm_queues_itself_again_and_ends_as_an_unbroken_run(
    ranks: StudiedProject, slurm: Slurm, record_property: Any
) -> None:
    run = ranks.folder / "runs/full"
    job = submit_job(ranks, slurm)
    wait_for_step(run, 10)
    began = time.monotonic()
    slurm.send_usr1(job)  # as before the time limit
    slurm.wait_for(job, "PENDING")
    record_property("Slurm: from USR1 to queued again", f"{time.monotonic() - began:.1f} s")
    saved = json.loads((run / "state.json").read_text(encoding="utf-8"))["step"]
    assert 10 <= saved < 60
    slurm.start_now(job)
    assert slurm.wait_for(job, "COMPLETED", "FAILED") == "COMPLETED"

    log = (ranks.folder / "runs/logs/full.log").read_text(encoding="utf-8")
    assert "start 0 of job" in log
    assert "start 1 of job" in log
    assert log.count("process 0 of 2, threads 1") == 2
    assert "process 1 of 2" not in log
    other = (ranks.folder / "runs/logs/full.1.log").read_text(encoding="utf-8")
    assert other.count("process 1 of 2, threads 1") == 2
    unbroken = submit_job(ranks, slurm, "--run-name", "unbroken")
    slurm.wait_for(unbroken, "COMPLETED")
    assert digest(run) == digest(ranks.folder / "runs/unbroken")


@pytest.mark.slow
@needs_torch
@needs_slurm
def test_a_killed_process_ends_the_job_and_a_cancelled_job_stays_cancelled(
    ranks: StudiedProject, slurm: Slurm, record_property: Any
) -> None:
    (ranks.folder / "configs/full.toml").write_text("steps = 4000\n", encoding="utf-8")
    run = ranks.folder / "runs/full"
    job = submit_job(ranks, slurm)
    wait_for_step(run, 5)
    began = time.monotonic()
    os.kill(int((run / "process-1").read_text()), signal.SIGKILL)
    assert slurm.wait_for(job, "FAILED", "COMPLETED", "PENDING") == "FAILED"
    record_property(
        "Slurm: from SIGKILL of a process to failed", f"{time.monotonic() - began:.1f} s"
    )

    job = submit_job(ranks, slurm)
    wait_for_step(run, 12)
    slurm.call("scancel", job)
    wait_until(lambda: (run / "state.json").exists(), "the run hasn't saved")
    assert slurm.wait_for(job, "CANCELLED", "PENDING", "FAILED") == "CANCELLED"


@pytest.mark.slow
@needs_slurm
def test_a_study_is_an_array_whose_elements_queue_themselves_again_alone(
    stub: StudiedProject, slurm: Slurm
) -> None:
    text = 'size = 104\n[scale]\nfractions = [0.5, 1.0]\nsetting = "fraction"\n'
    (stub.folder / "configs/study.toml").write_text(text, encoding="utf-8")
    arguments = ("scale", "configs/study.toml", "--command", stub.command)
    options = ("--on", "slurm", "--jobs", "2", "--time", "20", "--cpus", "1")
    result = finish(stub.start(*arguments, *options, **slurm.environment))
    assert result.returncode == 0, result.stdout
    array = result.stdout.partition("Submitted: job ")[2].partition(",")[0]
    folder = stub.folder / "runs/study"
    runs = sorted(path.stem for path in (folder / "configs").iterdir())
    assert len(runs) == 2

    # A run takes four seconds. The first one is told that its time is over.
    first = folder / runs[0]
    wait_until(lambda: (first / "metrics.jsonl").exists(), "no run has started")
    slurm.send_usr1(f"{array}_0")
    slurm.wait_for(f"{array}_0", "PENDING")
    assert (first / "saved").exists()
    assert slurm.wait_for(f"{array}_1", "COMPLETED", "PENDING", "FAILED") == "COMPLETED"
    assert not (folder / "table.md").exists()
    slurm.start_now(f"{array}_0")
    slurm.wait_for(f"{array}_0", "COMPLETED")

    # The last one has written the results, and each run was started as often as it had to be.
    assert "the loss falls" in (folder / "table.md").read_text(encoding="utf-8")
    starts = [
        len((folder / name / "starts").read_text(encoding="utf-8").splitlines()) for name in runs
    ]
    assert starts == [2, 1]
    again = finish(stub.start(*arguments, *options, **slurm.environment))
    assert again.returncode == 2
    assert "every run has ended" in again.stdout


@pytest.mark.slow
@needs_slurm
def test_tuning_is_an_array_that_shares_its_trials(stub: StudiedProject, slurm: Slurm) -> None:
    text = "[tune]\ntrials = 6\nspace.x = { low = 0.0, high = 1.0 }\n"
    (stub.folder / "configs/study.toml").write_text(text, encoding="utf-8")
    arguments = ("tune", "configs/study.toml", "--command", stub.command)
    options = ("--on", "slurm", "--jobs", "2", "--cpus", "1")
    result = finish(stub.start(*arguments, *options, **slurm.environment))
    assert result.returncode == 0, result.stdout
    array = result.stdout.partition("Submitted: job ")[2].partition(",")[0]
    for element in (0, 1):
        slurm.wait_for(f"{array}_{element}", "COMPLETED", "FAILED")
    folder = stub.folder / "runs/study"
    logs = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("logs/slurm-*.log"))]
    assert len(logs) == 2, logs
    assert all("Passed" in log for log in logs), logs
    assert_trained_once(folder, 6)
    assert (folder / "best.toml").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--time", "20"), "--time: is for a cluster: --on slurm"),
        (("--run", "baseline-sed-0"), "no such run; did you mean baseline-seed-0?"),
        (("--on", "slurm", "--time", "soon"), "--time soon: expected a limit"),
    ],
)
def test_a_wrong_option_of_a_study_on_a_cluster_gets_one_line(
    options: tuple[str, ...], message: str, stub: StudiedProject
) -> None:
    text = "[ablate]\nseeds = [0, 1]\n"
    (stub.folder / "configs/study.toml").write_text(text, encoding="utf-8")
    arguments = ("ablate", "configs/study.toml", "--command", stub.command)
    result = tool(stub.folder, *arguments, *options)
    assert result.returncode == 2, result.stdout
    assert message in result.stdout
    assert not (stub.folder / "runs").exists()
