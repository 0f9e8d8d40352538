# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from digits import cli
from digits.commands import COMMANDS
from digits.config import Config, TrainingConfig, from_dict, merge, read, to_dict
from digits.errors import ConfigError

PROJECT = Path(__file__).parents[1]
CONFIGS = sorted(PROJECT.glob("configs/*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_and_states_only_what_differs(path: Path) -> None:
    stated = read(path)
    table = COMMANDS[path.stem].table if path.stem in COMMANDS else ""
    its_own = stated.pop(table, None)  # of a study
    assert from_dict(stated) != Config() or its_own
    for section, settings in stated.items():
        for name, value in settings.items():
            assert value != to_dict(Config())[section][name], f"{section}.{name} is the default"


def test_a_config_survives_the_way_through_a_file(tmp_path: Path) -> None:
    config = from_dict({"seed": 7, "training": {"learning_rate": 1e-4}})
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(to_dict(config)), encoding="utf-8")
    assert from_dict(read(path)) == config


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"trainig": {}}, "trainig: unknown setting; did you mean training?"),
        (
            {"training": {"max_step": 5}},
            "training.max_step: unknown setting; did you mean training.max_steps?",
        ),
        (
            {"training": {"dropout": 0.1}},
            "training.dropout: unknown setting; did you mean model.dropout?",
        ),
        (
            {"overfit": {"zzz": 5}},
            "overfit.zzz: unknown setting; expected one of overfit.batches, overfit.loss_threshold",
        ),
        ({"training": {"max_steps": "5"}}, "training.max_steps = '5': expected an integer"),
        ({"training": {"max_steps": 1.5}}, "training.max_steps = 1.5: expected an integer"),
        ({"training": {"max_steps": True}}, "training.max_steps = True: expected an integer"),
        ({"training": {"learning_rate": "x"}}, "training.learning_rate = 'x': expected a number"),
        ({"data": {"cache_dir": 3}}, "data.cache_dir = 3: expected a path"),
        ({"training": 3}, "training = 3: expected a table of settings"),
        ({"seed": -1}, "seed = -1: expected at least 0"),
        ({"training": {"batch_size": 0}}, "training.batch_size = 0: expected at least 1"),
        (
            {"training": {"learning_rate": 0.0}},
            "training.learning_rate = 0.0: expected more than 0",
        ),
        (
            {"training": {"learning_rate": 99.0}},
            "training.learning_rate = 99.0: expected at most 10",
        ),
        ({"model": {"dropout": 1.0}}, "model.dropout = 1.0: expected less than 1"),
        (
            {"training": {"gradient_clip": float("inf")}},
            "training.gradient_clip = inf: expected a finite number",
        ),
        (
            {"training": {"device": "gpu"}},
            "training.device = 'gpu': expected 'auto', 'cpu', 'cuda' or 'mps'",
        ),
        (
            {"training": {"max_steps": 10, "warmup_steps": 10}},
            "training.warmup_steps = 10: expected less than training.max_steps, "
            "or the peak is never reached",
        ),
        (
            {"training": {"batch_size": 10, "accumulation_steps": 3}},
            "training.accumulation_steps = 3: expected a divisor of training.batch_size, "
            "so that all parts weigh the same",
        ),
    ],
)
def test_a_bad_setting_is_named_with_what_was_expected(
    stated: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(stated)
    assert str(caught.value) == message


def test_problems_in_several_sections_are_all_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict({"training": {"max_steps": 0}, "data": {"workers": -1}, "seed": "x"})
    assert {str(problem) for problem in caught.value.problems} == {
        "training.max_steps = 0: expected at least 1",
        "data.workers = -1: expected at least 0",
        "seed = 'x': expected an integer",
    }


def test_a_contradiction_is_refused_when_the_section_is_made() -> None:
    with pytest.raises(ConfigError, match=r"training\.warmup_steps = 50"):
        TrainingConfig(max_steps=20)


def test_layers_merge_setting_by_setting() -> None:
    below = {"seed": 1, "training": {"max_steps": 5, "batch_size": 2}}
    assert merge(below, {"training": {"max_steps": 9}}) == {
        "seed": 1,
        "training": {"max_steps": 9, "batch_size": 2},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "missing.toml"], "missing.toml: unknown file; did you mean broken.toml?"),
        (["--config", "broken.toml"], "broken.toml: expected TOML; "),
        (["--training.max-steps", "20"], "training.warmup_steps = 50: expected less than"),
        (["--training.max-steps", "0"], "training.max_steps = 0: expected at least 1"),
        (["--training.max-step", "5"], "--training.max-steps"),
        (["--training.max-steps", "many"], "--training.max-steps"),
        (["--resume", "nothing"], "nothing: no such run"),
    ],
)
def test_bad_input_gets_a_clear_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text("[training\n", encoding="utf-8")
    try:
        code = cli.main(["train", *arguments])
    except SystemExit as leaving:  # from the parser of the command line
        code = leaving.code
    output = capsys.readouterr()
    assert code == 2
    assert message in output.out + output.err
    assert not Path("runs").exists()


def test_help_and_config_errors_do_not_wait_for_torch() -> None:
    program = (
        "import sys; from digits import cli\n"
        "for arguments in (['train', '--help'], ['train', '--seed', '-1']):\n"
        "    try: cli.main(arguments)\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
