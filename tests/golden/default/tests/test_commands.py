# The template's: updates improve this file and keep your edits.
# pyright: standard
"""The commands, their exit codes and what they print."""

from itertools import islice
from pathlib import Path

import pytest

from digits import cli
from digits.config import Config
from digits.data import source
from digits.data.validation import Example
from digits.errors import PROGRAM
from digits.training import checkpoint
from digits.training.run import Run

TRAIN = ["train", "--config", "short.toml"]


@pytest.mark.parametrize("command", ["features", "overfit"])
def test_each_check_is_reported_and_the_exit_code_is_the_result(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main([command, "--config", "short.toml"])
    output = capsys.readouterr().out
    assert "\npassed  " in f"\n{output}"
    assert code == int("FAILED" in output)
    assert f"{'Failed' if code else 'Passed'}: " in output


def test_each_step_says_that_it_passed_where_its_result_is_and_what_is_next(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readable = (example for example in source.read(config.data) if isinstance(example, Example))
    monkeypatch.setattr(source, "read_new", lambda *_: islice(readable, 2))
    for arguments, result, following in (
        (["validate", "--config", "short.toml"], "cache", f"{PROGRAM} features"),
        (TRAIN, "runs/short", f"{PROGRAM} evaluate runs/short"),
        (["evaluate", "runs/short"], "runs/short/metrics.json", "look at runs/short/"),
        (["predict", "runs/short", "new"], "predictions.csv", "look at predictions.csv"),
    ):
        assert cli.main(arguments) == 0
        *_, path, next_step = capsys.readouterr().out.splitlines()
        assert path.startswith("Result: ")
        assert result in path
        assert next_step.startswith(f"Next: {following}")


def test_a_run_that_exists_is_resumed_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(TRAIN) == 0
    before = Path("runs/short/outcome.json").read_bytes()
    assert cli.main(TRAIN) == 2
    assert "runs/short exists; continue it with --resume" in capsys.readouterr().err
    assert cli.main([*TRAIN, "--or-resume"]) == 0
    assert "Passed: the run has ended" in capsys.readouterr().out
    assert Path("runs/short/outcome.json").read_bytes() == before

    longer = ["train", "--resume", "runs/short", "--training.max-steps=10"]
    assert cli.main(longer) == 2
    assert "training.max_steps: was 8, now 10" in capsys.readouterr().err
    assert cli.main([*longer, "--allow-changes"]) == 0
    assert '"step": 10' in Path("runs/short/outcome.json").read_text()


def test_a_run_in_use_by_another_process_is_left_alone(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.locked():
        assert cli.main(["train", "--resume", "runs/short"]) == 3
    assert "runs/short is in use by another process" in capsys.readouterr().err


def test_a_full_disk_ends_training_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "save_files", lambda _, folder: folder.read_bytes())  # fails
    assert cli.main(TRAIN) == 1
    assert "fix the cause (is the disk full?), then resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "runs/shirt"], "runs/shirt: no such run; did you mean runs/short?"),
        (["evaluate", "runs/short"], f"no checkpoint yet; first: {PROGRAM} train --resume"),
        (["train", "--resume", "runs/short", "--or-resume"], "--resume: can't be combined"),
        ([*TRAIN, "--run-name", "../short"], "--run-name '../short': expected a folder's name"),
        ([*TRAIN, "--training.batch-size", "1000000000"], "training.batch_size: expected at most"),
        ([*TRAIN, "--checkpoint.metric=validation/no_loss"], "checkpoint.metric: expected one of"),
    ],
)
@pytest.mark.usefixtures("run")
def test_what_cannot_be_done_is_refused_with_the_reason(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err
