# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from iris import cli
from iris.config import Config, TrainingConfig, from_dict, merge, read, to_dict
from iris.errors import ConfigError

PROJECT = Path(__file__).parents[1]
CONFIGS = sorted(PROJECT.glob("configs/*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_and_states_only_what_differs(path: Path) -> None:
    stated = read(path)
    study = stated.pop(path.stem, None) if path.stem in cli.STUDIES else None
    assert from_dict(stated) != Config() or study
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
        (["--config", "brken.toml"], "brken.toml: unknown file; did you mean broken.toml?"),
        (["--config", "broken.toml"], "broken.toml: expected TOML; "),
        (["--training.max-steps", "20"], "training.warmup_steps = 50: expected less than"),
        (["--training.max-steps", "0"], "training.max_steps = 0: expected at least 1"),
        (["--training.max-step", "5"], "training.max_step: unknown setting; did you mean train"),
        (["--training.max-steps", "many"], "training.max_steps = 'many': expected an integer"),
        (["--training.max-steps"], "--training.max-steps"),
        (["--training.max-stops"], "--training.max-stops"),
        (["--resume", "nothing"], "nothing: no such run"),
        (["--config", "tune.toml"], "tune.toml is for: ml-architect tune tune.toml"),
        (["--run-name", "a/b/c"], "--run-name 'a/b/c': expected the name of a folder"),
        (["--run-name", "../x"], "--run-name '../x': expected the name of a folder"),
        (["--run-name", ".x"], "--run-name '.x': expected the name of a folder"),
        (["--run-name", "x/"], "--run-name 'x/': expected the name of a folder"),
        (["--run-name", ""], "--run-name '': expected the name of a folder"),
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
    Path("tune.toml").write_text("[tune]\ntrials = 3\n", encoding="utf-8")
    try:
        code = cli.main(["train", *arguments])
    except SystemExit as leaving:  # from the parser of the command line
        code = leaving.code
    output = capsys.readouterr()
    assert code == 2
    assert message in output.out + output.err
    assert not Path("runs").exists()


def dry_run(*arguments: str) -> tuple[int, dict[str, object]]:
    """Exit code and printed config, in a process that has to do without torch and NumPy."""
    program = (
        "import sys; from iris import cli\n"
        "code = cli.main(['train', '--dry-run', *sys.argv[1:]])\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    return done.returncode, tomllib.loads(done.stdout)


def test_a_dry_run_prints_the_resolved_config_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = PROJECT / "configs" / "small.toml"
    code, printed = dry_run("--config", str(config), "--run-name=a/b", "--seed=7")
    assert code == 0
    assert printed == to_dict(from_dict(merge(read(config), {"seed": 7})))
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_lists_every_problem_of_the_file_and_of_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("[data]\nworkers = -1\n[model]\nlayer = 3\n", encoding="utf-8")
    options = ["--training.max-steps=0", "--training.compile", "--seed", "x", "--nonsense.a", "1"]
    assert cli.main(["train", "--dry-run", "--config", "bad.toml", *options]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    for problem in (
        "data.workers = -1: expected at least 0",
        "model.layer: unknown setting",
        "training.max_steps = 0: expected at least 1",
        "seed = 'x': expected an integer",
        "nonsense: unknown setting",
    ):
        assert output.err.count(problem) == 1, output.err


def test_an_option_may_fix_what_is_wrong_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.toml").write_text("[training]\nmax_steps = 20\n", encoding="utf-8")
    assert cli.main(["train", "--dry-run", "--config", "short.toml"]) == 2
    fixed = ["--training.warmup-steps", "5", "--training.no-compile", "--training.learning-rate=1"]
    assert cli.main(["train", "--dry-run", "--config", "short.toml", *fixed]) == 0
    printed = tomllib.loads(capsys.readouterr().out)["training"]
    assert (printed["warmup_steps"], printed["compile"], printed["learning_rate"]) == (5, False, 1)


def test_help_and_config_errors_do_not_wait_for_torch() -> None:
    program = (
        "import sys; from iris import cli\n"
        "for arguments in (['train', '--help'], ['train', '--seed', '-1']):\n"
        "    try: cli.main(arguments)\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
