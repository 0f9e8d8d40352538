"""Studies of real projects, by their command line: started, killed, stopped, shared."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import optuna
import pexpect
import pytest
from mounts import UNSHARE, needs_mounts
from studies import (
    ENVIRONMENT,
    RUNS,
    StudiedProject,
    assert_trained_once,
    example_project,
    finish,
    generated_project,
    modification_times,
    outcome,
    runs_with_metrics,
    stub_project,
    training_processes,
    wait_until,
)

PASSWORD = "s3cret-of-the-trials"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
]


@pytest.fixture(scope="module")
def torch_script(tmp_path_factory: pytest.TempPathFactory) -> StudiedProject:
    """A third-party project: a script with argparse."""
    return example_project("torch_regression", tmp_path_factory.mktemp("studies") / "torch")


def assert_study_succeeds(project: StudiedProject, kind: str) -> None:
    """A study trains each run once and writes its results."""
    result = finish(project.study(kind, "--jobs", "2"))
    # Runs as short as these don't always improve with more data.
    improved = result.returncode == 0 or (kind == "scale" and "Likely causes" in result.stdout)
    assert improved, result.stdout
    folder = project.folder / "runs" / kind
    assert_trained_once(folder, RUNS[kind])
    for name in ("table.md", "report.html"):
        assert (folder / name).is_file(), name
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert study["format"] == 1
    assert study["kind"] == kind
    assert study["command"].startswith(f"ml-architect {kind} configs/{kind}.toml")


@pytest.mark.parametrize(("starter", "kind"), [("image", "tune"), ("language_model", "scale")])
def test_a_generated_project_can_be_studied(
    starter: str, kind: str, template: Path, tmp_path: Path
) -> None:
    """By `ablate`, with changes and with folds: test_worked_examples.py."""
    project = generated_project(template, tmp_path / "project", starter=starter)
    assert_study_succeeds(project, kind)
    before = modification_times(project.folder / "runs" / kind)
    again = finish(project.study(kind))
    assert f"{RUNS[kind]} of {RUNS[kind]} runs have already finished" in again.stdout
    assert modification_times(project.folder / "runs" / kind) == before
    if kind == "tune":
        assert_best_settings_repeat_the_best_trial(project)


@pytest.mark.parametrize("example", ["sklearn_digits", "torch_regression"])
def test_a_third_party_project_can_be_studied(example: str, tmp_path: Path) -> None:
    """By `ablate`: see the stopped study below."""
    project = example_project(example, tmp_path / "project")
    config = project.folder / "configs/tune.toml"
    text = config.read_text(encoding="utf-8").replace("trials = 8", "trials = 3")
    config.write_text(text, encoding="utf-8")
    assert_study_succeeds(project, "tune")
    assert_best_settings_repeat_the_best_trial(project)

    # The other commands need nothing but the files of the runs.
    one, two = "tune/trial-0000", "tune/trial-0001"
    if example == "torch_regression":
        command = [*project.command.split()[:-1], "evaluate.py", f"runs/{one}"]
        subprocess.run(command, cwd=project.folder, check=True)
    else:
        assert project.call("evaluate", f"runs/{one}").returncode == 0
    listed = finish(project.start("runs"))
    assert listed.returncode == 0, listed.stdout
    assert "best" in [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]
    compared = finish(project.start("runs", one, two))
    assert compared.returncode == 0, compared.stdout
    assert "validation/loss" in compared.stdout
    plotted = finish(project.start("plot", one, f"runs/{two}", "--output", "curves.svg"))
    assert plotted.returncode == 0, plotted.stdout
    assert "<svg" in (project.folder / "curves.svg").read_text(encoding="utf-8")
    reported = finish(project.start("report", one))
    assert reported.returncode == 0, reported.stdout
    page = project.folder / "runs" / one / "analysis.html"
    assert "Provenance" in page.read_text(encoding="utf-8")


def assert_best_settings_repeat_the_best_trial(project: StudiedProject) -> None:
    study = json.loads((project.folder / "runs/tune/study.json").read_text(encoding="utf-8"))
    values = [
        outcome(path.parent)["best_value"]
        for path in (project.folder / "runs/tune").glob("*/outcome.json")
    ]
    config = project.folder / "runs/tune/best.toml"
    result = project.call("train", "--config", str(config), "--run-name", "best", "--or-resume")
    assert result.returncode == 0, result.stdout
    best_value = min(values) if study["mode"] == "min" else max(values)
    assert outcome(project.folder / "runs/best")["best_value"] == best_value


def test_tuning_survives_kills_at_random_times(template: Path, tmp_path: Path) -> None:
    project = generated_project(template, tmp_path / "project", starter="blank")
    config = project.folder / "configs/tune.toml"
    text = config.read_text(encoding="utf-8").replace("max_steps = 20", "max_steps = 1500")
    config.write_text(text.replace("every = 10", "every = 500"), encoding="utf-8")
    rng = random.Random(time.time_ns())
    folder = project.folder / "runs/killed"
    for killed in ("study", "runs", "both"):
        process = project.study("tune", "--study", "killed", "--jobs", "2")
        deadline = time.monotonic() + rng.uniform(3, 8)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        if killed in ("study", "both"):
            process.kill()
            process.wait()
        if killed in ("runs", "both"):
            for number in training_processes(folder):
                os.kill(number, signal.SIGKILL)
        if killed == "runs":
            process.terminate()
            assert finish(process).returncode in {0, 75, 143}  # 143: before any run was started

    result = finish(project.study("tune", "--study", "killed", "--jobs", "2"))
    assert result.returncode == 0, result.stdout
    assert f"{RUNS['tune']} trials" in result.stdout
    assert_trained_once(folder, RUNS["tune"])

    # A run that was killed has the same metrics as one that wasn't.
    config = folder / "configs/trial-0000.toml"
    uninterrupted = project.call(
        "train", "--config", str(config), "--run-name", "uninterrupted", "--or-resume"
    )
    assert uninterrupted.returncode == 0, uninterrupted.stdout
    metrics = [
        project.folder / f"runs/{run}/metrics.jsonl"
        for run in ("killed/trial-0000", "uninterrupted")
    ]
    assert metrics[0].read_bytes() == metrics[1].read_bytes()


@pytest.mark.parametrize(
    ("kind", "target"), [("ablate", "the study"), ("tune", "the terminal's processes")]
)
def test_a_stopped_study_saves_its_runs_and_prints_how_to_continue(
    torch_script: StudiedProject, kind: str, target: str
) -> None:
    name = f"stopped-{kind}"
    folder = torch_script.folder / "runs" / name
    text = (torch_script.folder / f"configs/{kind}.toml").read_text(encoding="utf-8")
    config = torch_script.folder / f"configs/{name}.toml"
    long = text.replace("epochs = 20", "epochs = 200").replace("trials = 8", "trials = 2")
    long = long.replace("seeds = [0, 1, 2]", "seeds = [0, 1]").partition('"half the')[0]
    config.write_text(long, encoding="utf-8")

    options = ("--command", torch_script.command)
    process = torch_script.start(kind, str(config), *options)
    wait_until(process, lambda: bool(runs_with_metrics(folder)))
    if target == "the study":
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    stopped = finish(process)
    assert stopped.returncode == 75, stopped.stdout
    assert f"Continue with: ml-architect {kind} {config}" in stopped.stdout
    assert training_processes(folder) == []

    result = finish(torch_script.start(kind, str(config), *options, "--jobs", "2"))
    assert result.returncode == 0, result.stdout
    assert_trained_once(folder, 4 if kind == "ablate" else 2)


@pytest.fixture
def stub(tmp_path: Path) -> StudiedProject:
    """A project whose runs take a fraction of a second."""
    return stub_project(tmp_path / "stub")


def start_study(project: StudiedProject, text: str, kind: str = "tune", **environment: str) -> Any:
    """Start a study of the stub with this config."""
    (project.folder / "configs/study.toml").write_text(text, encoding="utf-8")
    options = ["--command", project.command, "--jobs", "3"]
    return project.start(kind, "configs/study.toml", *options, **environment)


def test_a_run_that_fails_is_reported_and_the_others_continue(stub: StudiedProject) -> None:
    text = "[ablate]\nseeds = [0, 1]\n[ablate.changes]\nbad = { size = 13 }\ngood = { size = 8 }\n"
    result = finish(start_study(stub, text, "ablate"))
    assert result.returncode == 1, result.stdout
    assert "bad-seed-0: failed: no more disk (details: " in result.stdout
    assert "Failed: bad-seed-0 failed" in result.stdout
    assert "| good | 0.17 (0.1065 to 0.2335) | -0.125 |" in (
        stub.folder / "runs/study/table.md"
    ).read_text("utf-8")

    (stub.folder / "runs/study").rename(stub.folder / "runs/first")
    text = "[tune]\ntrials = 4\nspace.size = { options = [13, 8] }\n"
    result = finish(start_study(stub, text))
    assert result.returncode == 0, result.stdout
    assert "failed: no more disk" in result.stdout
    assert "best validation/loss 0.165" in result.stdout


FOLDS = "[ablate.folds]\na = { split = 0 }\nb = { split = 1 }\nc = { split = 2 }\n"


def test_a_change_is_compared_over_folds_and_seeds(stub: StudiedProject) -> None:
    text = f"[ablate]\nseeds = [0, 1]\nchanges.wide = {{ size = 8 }}\n{FOLDS}"
    process = start_study(stub, text, "ablate")
    folder = stub.folder / "runs/study"
    wait_until(process, lambda: bool(runs_with_metrics(folder)))
    process.terminate()
    assert finish(process).returncode == 75
    result = finish(start_study(stub, text, "ablate"))
    assert result.returncode == 0, result.stdout
    assert_trained_once(folder, 12)
    assert (folder / "wide-c-seed-1").is_dir()
    # The differences are -0.125, -0.145 and -0.165: the interval is 1.58 times as wide as without
    # the correction.
    lines = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "changes: 1, folds: 3, seeds: 2, significant effects: 1"
    assert lines[-1].startswith("| wide | 0.19 (0.1114 to 0.2686) | -0.145 | -0.224 to -0.0664 |")
    assert lines[-1].endswith("| 3 | 2 |")
    assert "Nadeau and Bengio" in (folder / "report.html").read_text(encoding="utf-8")


def test_without_changes_the_baseline_is_repeated(stub: StudiedProject) -> None:
    result = finish(start_study(stub, "[ablate]\nseeds = [0, 1, 2]\n", "ablate"))
    assert result.returncode == 0, result.stdout
    expected = "mean validation/loss over the seeds, with its 95% interval: 0.3 (0.2752 to 0.3248)"
    assert f"baseline: {expected}\nPassed: seeds: 3\n" in result.stdout
    assert expected in (stub.folder / "runs/study/report.html").read_text(encoding="utf-8")
    (stub.folder / "runs/study").rename(stub.folder / "runs/first")
    result = finish(start_study(stub, f"[ablate]\nseeds = [0]\n{FOLDS}", "ablate"))
    assert result.returncode == 0, result.stdout
    assert "Passed: folds: 3, seeds: 1" in result.stdout
    assert_trained_once(stub.folder / "runs/study", 3)


def test_a_study_ends_as_soon_as_its_runs_have_different_data(stub: StudiedProject) -> None:
    text = "[ablate]\nseeds = [0, 1, 2, 3, 4, 5]\nchanges.other = { split = 3 }\n"
    result = finish(start_study(stub, text, "ablate"))
    assert result.returncode == 2, result.stdout
    assert "the data changed between runs: " in result.stdout
    assert "Splits of a cross-validation belong in [ablate.folds]" in result.stdout
    assert len(list(stub.folder.glob("runs/study/*/starts"))) < 12


def test_the_runs_of_one_fold_must_have_the_same_data(stub: StudiedProject) -> None:
    text = f"[ablate]\nseeds = [0, 1]\n{FOLDS}"
    assert finish(start_study(stub, text, "ablate")).returncode == 0
    path = stub.folder / "runs/study/baseline-b-seed-1/run.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"data": 1', '"data": 2'), "utf-8")
    result = finish(start_study(stub, text.replace("[0, 1]", "[0, 1, 2]"), "ablate"))
    assert result.returncode == 2, result.stdout
    assert "baseline-b-seed-0 (1), baseline-b-seed-1 (2)" in result.stdout
    assert not (stub.folder / "runs/study/baseline-a-seed-2").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = [0]\n", "ablate.seeds = [0]: expected at least 2"),
        ("seeds = [0]\nfolds.a = { split = 0 }\n", "ablate.folds = {'a': {'split': 0}}: "),
        ("seeds = [0]\nfolds.a = { spilt = 0 }\nfolds.b = {}\n", "ablate.folds.a: spilt: no such"),
        ("seeds = [0]\nfolds.a = { split = 0 }\nfolds.b = {}\n", "ablate.folds.b: has the same"),
        ("seeds = [0]\nfolds.a = { seed = 1 }\nfolds.b = {}\n", "ablate.folds.a: seed has to be"),
        (f"seeds = [0]\nchanges.d = {{ split = 1 }}\n{FOLDS}", "ablate.changes.d: has a setting"),
        (
            f"seeds = [0]\nchanges.'!' = {{ size = 8 }}\nchanges.'?' = {{ size = 9 }}\n{FOLDS}",
            "'? a'",
        ),
    ],
)
def test_folds_are_checked_before_anything_is_written(
    stub: StudiedProject, text: str, message: str
) -> None:
    result = finish(start_study(stub, f"[ablate]\n{text}", "ablate"))
    assert result.returncode == 2, result.stdout
    assert message in result.stdout
    assert "Traceback" not in result.stdout
    assert not (stub.folder / "runs").exists()


def test_commands_that_share_a_database_file_train_each_trial_once(stub: StudiedProject) -> None:
    text = "[tune]\ntrials = 24\nspace.x = { low = 0.0, high = 1.0 }\n"
    for result in [finish(process) for process in [start_study(stub, text) for _ in range(3)]]:
        assert result.returncode == 0, result.stdout
        assert "Passed: 24 trials (24 complete, 0 pruned, 0 failed)" in result.stdout
    starts = [path.read_text("utf-8") for path in stub.folder.glob("runs/study/*/starts")]
    assert starts == ["started\n"] * 24


def test_after_one_signal_every_run_has_time_to_save(stub: StudiedProject) -> None:
    text = "size = 101\n[ablate]\nseeds = [0, 1]\nchanges.slow = { size = 103 }\n"
    process = start_study(stub, text, "ablate")
    runs = [stub.folder / f"runs/study/{name}-seed-0" for name in ("baseline", "slow")]
    wait_until(process, lambda: all((run / "metrics.jsonl").exists() for run in runs))
    process.terminate()
    assert finish(process).returncode == 75
    assert all((run / "saved").exists() for run in runs)


def test_a_second_signal_kills_the_runs_and_what_they_started(stub: StudiedProject) -> None:
    (stub.folder / "train.sh").write_text(f'{stub.command} "$@"\n:\n', encoding="utf-8")
    wrapped = StudiedProject(stub.folder, "sh train.sh")
    process = start_study(
        wrapped, "size = 700\n[tune]\ntrials = 1\nspace.x = { low = 0, high = 1 }\n"
    )
    metrics = stub.folder / "runs/study/trial-0000/metrics.jsonl"
    wait_until(process, metrics.exists)
    # Orphans stay as zombies, as in a container whose first process doesn't wait for them.
    forks.adopt_orphans(True)
    try:
        process.terminate()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert finish(process).returncode == 75
    finally:
        forks.adopt_orphans(False)
    assert training_processes(stub.folder / "runs/study") == []


@pytest.mark.parametrize(("size", "reason"), [(14, "best_value is nan"), (15, "no best_value")])
def test_a_run_without_a_value_has_failed_also_when_it_is_repeated(
    stub: StudiedProject, size: int, reason: str
) -> None:
    text = f"[ablate]\nseeds = [0, 1]\nchanges.bad = {{ size = {size} }}\n"
    for _ in range(2):
        result = finish(start_study(stub, text, "ablate"))
        assert result.returncode == 1, result.stdout
        assert reason in result.stdout
    (stub.folder / "runs/study").rename(stub.folder / "runs/first")
    result = finish(
        start_study(stub, f"[tune]\ntrials = 6\nspace.size = {{ options = [4, {size}] }}\n")
    )
    assert result.returncode == 0, result.stdout
    assert reason in result.stdout
    assert "6 trials" in result.stdout


def test_trials_are_pruned_even_if_they_log_a_lot_and_stop_slowly(stub: StudiedProject) -> None:
    text = "[tune]\ntrials = 14\nspace.size = { options = [4, 5, 6, 112] }\n"
    result = finish(start_study(stub, text))
    assert result.returncode == 0, result.stdout
    assert "14 trials" in result.stdout
    assert "Traceback" not in result.stdout
    assert "112" not in (stub.folder / "runs/study/best.toml").read_text("utf-8")


def test_the_number_of_trials_may_change_when_a_study_is_resumed(stub: StudiedProject) -> None:
    text = "[tune]\ntrials = {}\nspace.x = {{ low = 0.0, high = 1.0 }}\n"
    process = start_study(stub, text.format(6))
    wait_until(process, lambda: len(runs_with_metrics(stub.folder / "runs/study")) >= 1)
    process.terminate()
    finish(process)
    for trials in (2, 6):
        result = finish(start_study(stub, text.format(trials)))
        assert result.returncode == 0, result.stdout
    assert "Passed: 6 trials (6 complete" in result.stdout


def test_a_trial_that_was_killed_before_its_first_heartbeat_is_replaced(
    stub: StudiedProject,
) -> None:
    from ml_architect.studies.database import GRACE_SECONDS

    text = "[tune]\ntrials = 3\nspace.x = { low = 0.0, high = 1.0 }\n"
    assert finish(start_study(stub, text)).returncode == 0
    storage = f"sqlite:///{stub.folder}/runs/study/study.db"
    study = optuna.load_study(study_name="stub/study", storage=storage)
    study.ask()
    time.sleep(GRACE_SECONDS)
    result = finish(start_study(stub, text.replace("3", "5")))
    assert result.returncode == 0, result.stdout
    assert "Passed: 5 trials (5 complete" in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tune]\ntrials = 0\n[tune.space]\n", "tune.trials = 0: "),
        ("[tune]\ntrials = 2\nspace = {}\n", "tune.space: expected"),
        ("[tune]\ntrials = 2\ntrails = 2\nspace = {}\n", "tune.trails = 2: "),
        ("[tune]\ntrials = 2\nspace.sise = { options = [1, 2] }\n", "tune.space: sise: no such"),
        ("[tune]\ntrials = 2\nspace.size = { low = 4, high = 2 }\n", "expected low < high"),
        ("[tune]\ntrials = 2\nspace.x = { low = 0, high = 2 }\n", "tune.space: x = 2: expected"),
        ("[tune]\ntrials = 2\nspace.x = { low = 0, hi = 2 }\n", "tune.space.x.hi = 2"),
        ("[tune]\ntrials = 2\nspace.x = 3\n", "tune.space.x = 3"),
        ("[tune]\ntrials = 2\nspace.seed = { low = 0, high = 2 }\n", "has to be the same"),
        ("[scale]\nfractions = [0.5, 1]\n", "it is for: ml-architect scale"),
        ("x = -1.0\n[tune]\ntrials = 2\nspace.x = { low = 0, high = 1 }\n", "x = -1.0: expected"),
        ("[tune\n", "configs/study.toml: "),
    ],
)
def test_an_invalid_config_is_rejected_before_anything_is_written(
    stub: StudiedProject, text: str, message: str
) -> None:
    result = finish(start_study(stub, text))
    assert result.returncode == 2, result.stdout
    assert message in result.stdout
    assert "Traceback" not in result.stdout
    assert not (stub.folder / "runs").exists()


def test_a_study_with_other_settings_is_not_resumed(stub: StudiedProject) -> None:
    text = "x = 0.5\n[ablate]\nseeds = [0, 1]\nchanges.small = { size = 2 }\n"
    assert finish(start_study(stub, text, "ablate")).returncode == 0
    result = finish(start_study(stub, text.replace("0.5", "0.25"), "ablate"))
    assert result.returncode == 2
    assert "config.x: was 0.5, now 0.25" in result.stdout


def test_a_terminal_shows_a_bar_with_the_best_value_and_the_time_left(
    stub: StudiedProject,
) -> None:
    (stub.folder / "configs/study.toml").write_text(
        "[tune]\ntrials = 2\nspace.size = { options = [4, 8] }\n", encoding="utf-8"
    )
    arguments = ["-m", "ml_architect", "tune", "configs/study.toml", "--command", stub.command]
    folder = str(stub.folder)
    child = pexpect.spawn(sys.executable, arguments, cwd=folder, timeout=120, encoding="utf-8")
    child.expect(r"1/2  trial-0000: complete: [\d.]+  best [\d.]+  about \d+ s left")
    child.expect("━")
    child.expect("Passed: 2 trials")
    child.expect(pexpect.EOF)


# --- faults of the machine -----------------------------------------------------------------------

ABLATE = "[ablate]\nseeds = [0, 1]\nchanges.wide = { size = 8 }\n"
TUNE = "[tune]\ntrials = 4\nspace.x = { low = 0.0, high = 1.0 }\n"


def test_two_commands_for_one_study_train_each_run_once(stub: StudiedProject) -> None:
    processes = [start_study(stub, ABLATE, "ablate") for _ in range(2)]
    for result in [finish(process) for process in processes]:
        assert result.returncode == 0, result.stdout
        assert "Traceback" not in result.stdout
    starts = [path.read_text("utf-8") for path in stub.folder.glob("runs/study/*/starts")]
    assert starts == ["started\n"] * 4
    assert (stub.folder / "runs/study/report.html").is_file()


@pytest.mark.parametrize(
    ("kind", "text", "vanished"), [("ablate", ABLATE, "runs"), ("tune", TUNE, "runs/study")]
)
def test_a_study_whose_folder_vanishes_ends_with_a_line_and_can_be_started_again(
    kind: str, text: str, vanished: str, stub: StudiedProject
) -> None:
    process = start_study(stub, f"size = 101\n{text}", kind)
    wait_until(process, lambda: bool(runs_with_metrics(stub.folder / "runs/study")))
    shutil.rmtree(stub.folder / vanished)
    result = finish(process)
    assert result.returncode == 2, result.stdout
    lines = [line for line in result.stdout.splitlines() if "moved or deleted?" in line]
    assert len(lines) == 1, result.stdout
    assert "runs/study" in lines[0]
    assert "Traceback" not in result.stdout
    result = finish(start_study(stub, text, kind))
    assert result.returncode == 0, result.stdout


def test_a_study_that_was_suspended_goes_on(stub: StudiedProject) -> None:
    from ml_architect.studies.database import GRACE_SECONDS

    process = start_study(stub, f"size = 101\n{TUNE}")
    wait_until(process, lambda: bool(runs_with_metrics(stub.folder / "runs/study")))
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(GRACE_SECONDS + 2)  # its trials seem to be lost
    os.kill(process.pid, signal.SIGCONT)
    result = finish(process)
    assert result.returncode == 0, result.stdout
    assert "Passed: 4 trials (4 complete, 0 pruned, 0 failed)" in result.stdout
    assert "Traceback" not in result.stdout


@needs_mounts
@pytest.mark.parametrize(
    ("kind", "text", "size"),
    [("ablate", ABLATE, 72), ("tune", TUNE, 224)],
)
def test_a_study_on_a_full_disk_ends_and_with_space_it_is_finished(
    kind: str, text: str, size: int, stub: StudiedProject
) -> None:
    (stub.folder / "configs/study.toml").write_text(text, encoding="utf-8")
    (stub.folder / "runs").mkdir()
    script = """
    mount -t tmpfs -o size=$1k tmpfs runs; shift
    "$@" > full.out 2>&1 || echo $? > full.code
    mount -o remount,size=64m runs
    "$@" > again.out 2>&1 || echo $? > again.code
    cp -a runs/study saved
    """
    words = [sys.executable, "-m", "ml_architect", kind, "configs/study.toml"]
    command = ["sh", "-euc", script, "sh", str(size), *words, "--command", stub.command]
    subprocess.run([*UNSHARE, *command], cwd=stub.folder, check=True)
    output = (stub.folder / "full.out").read_text(encoding="utf-8")
    assert (stub.folder / "full.code").read_text(encoding="utf-8") in ("1\n", "2\n"), output
    assert "Traceback" not in output
    assert re.search("No space left on device|disk is full", output), output
    assert not (stub.folder / "again.code").exists(), (stub.folder / "again.out").read_text("utf-8")
    assert_trained_once(stub.folder / "saved", 4)


@pytest.fixture
def database() -> Iterator[str]:
    """A real PostgreSQL server with its own cluster. Yields its URL, with the password."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = installed[-1] if installed else shutil.which("initdb")
    if initdb is None and "CI" not in os.environ:
        pytest.skip("PostgreSQL isn't installed: apt-get install postgresql")
    assert initdb is not None, "PostgreSQL isn't installed: apt-get install postgresql"
    programs = Path(initdb).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # other users can't read pytest's
    secret, data = folder / "password", folder / "data"
    secret.write_text(PASSWORD, encoding="utf-8")
    process_options: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        process_options |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        for path in (folder, secret):
            shutil.chown(path, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        initialize = [programs / "initdb", "-D", data, "-U", "trials", "--auth", "scram-sha-256"]
        process = subprocess.Popen(
            [*initialize, "--pwfile", secret, "--no-sync"],
            stdout=log,
            stderr=log,
            **process_options,
        )
        assert process.wait() == 0, (folder / "log").read_text(encoding="utf-8")
        options = [f"-p{port}", "-hlocalhost", "-cunix_socket_directories=", "-cfsync=off"]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, **process_options
        )
    try:
        ready = [programs / "pg_isready", "-q", "-h", "localhost", "-p", str(port)]
        while subprocess.run(ready).returncode:
            assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")
            time.sleep(0.1)
        yield f"postgresql+psycopg://trials:{PASSWORD}@localhost:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown
        server.wait()
        shutil.rmtree(folder)


def test_two_commands_share_a_study_in_a_database_and_nothing_shows_its_password(
    stub: StudiedProject, database: str
) -> None:
    text = "[tune]\ntrials = 16\nspace.x = { low = 0.0, high = 1.0 }\n"
    commands = [start_study(stub, text, ML_ARCHITECT_STORAGE=database) for _ in range(2)]
    folder = stub.folder / "runs/study"
    wait_until(commands[0], lambda: bool(training_processes(folder)))
    visible = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    for number in training_processes(folder):
        environment = Path(f"/proc/{number}/environ")
        visible.append(environment.read_bytes() if environment.exists() else b"")
    results = [finish(process) for process in commands]
    for result in results:
        assert result.returncode == 0, result.stdout
        assert "Passed: 16 trials (16 complete" in result.stdout
        assert "trial-00" in result.stdout, "each has trained some trials"
    starts = [path.read_text("utf-8") for path in stub.folder.glob("runs/study/*/starts")]
    assert starts == ["started\n"] * 16
    assert not (folder / "study.db").exists()

    wrong_password = database.replace(PASSWORD, f"{PASSWORD}-wrong")
    wrong_port = database.rpartition(":")[0] + ":1/postgres"
    rejected = [
        finish(start_study(stub, text, ML_ARCHITECT_STORAGE=url))
        for url in (wrong_password, wrong_port)
    ]
    options = ("--command", stub.command, "--storage", database)
    rejected.append(finish(stub.start("tune", "configs/study.toml", *options)))
    for result in rejected:
        assert result.returncode == 2, result.stdout
        assert result.stdout.count("\n") == 1, result.stdout
        assert result.stdout.startswith("--storage"), result.stdout

    visible += [result.stdout.encode() for result in (*results, *rejected)]
    visible += [path.read_bytes() for path in stub.folder.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in text for text in visible)


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"optuna", "scipy", "matplotlib", "polars"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from ml_architect.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "command", ["tune configs/tune.toml", "scale configs/scale.toml", "plot a", "report data"]
)
def test_without_the_extra_a_command_says_what_to_install(tmp_path: Path, command: str) -> None:
    arguments = [sys.executable, "-c", BLOCKED, *command.split()]
    if command.startswith(("tune", "scale")):
        arguments += ["--command", "none"]
    result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert "pip install 'ml-architect[studies]'" in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
