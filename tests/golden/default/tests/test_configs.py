# The template's: updates improve this file and keep your edits.
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from digits import cli
from digits.config import Config, descriptions, flatten, from_dict, merge, read_toml, to_dict
from digits.errors import ConfigError

FILES = sorted(Path(__file__).parents[1].glob("configs/*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_config_file_loads_and_so_does_every_change_in_a_study(file: Path) -> None:
    values = read_toml(file)
    studies = [values.pop(name, {}) for name in ("scale", "tune", "ablate")]  # of ml-architect
    from_dict(values)
    for study in studies:
        for kind in ("sizes", "changes", "folds"):
            for change in study.get(kind, {}).values():
                from_dict(merge(values, change))


def test_every_setting_is_described() -> None:
    assert descriptions().keys() == flatten(to_dict(Config())).keys()
    assert all(descriptions().values())


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"max_step": 5}, "max_step: unknown setting; did you mean training.max_steps?"),
        ({"max_steps": "five"}, "max_steps: "),
        ({"max_steps": 2.5}, "max_steps: "),
        ({"batch_size": 0}, "batch_size: "),
        ({"learning_rate": math.nan}, "learning_rate: "),
        ({"device": "abacus"}, "device: "),
        ({"max_steps": 9, "warmup_steps": 9}, "warmup_steps: expected "),
    ],
)
def test_an_invalid_setting_is_one_line_that_begins_with_its_name(
    section: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as error:
        from_dict({"training": section})
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"training.{expected}")


def test_all_invalid_settings_are_listed_at_once() -> None:
    values = {"seed": -1, "model": 5, "training": {"workers": "two"}, "overfit": {"batches": 0}}
    with pytest.raises(ConfigError) as error:
        from_dict(values)
    named = {line.partition(":")[0] for line in str(error.value).splitlines()}
    assert named >= {"model", "training.workers", "overfit.batches"}


def test_the_printed_config_is_the_same_config_and_options_override_the_file(
    settings: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--training.max-steps=7", "--training.learning-rate", "0.5"]
    assert cli.main(["train", "--config", "short.toml", "--dry-run", *options]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    changes = {"training": {"max_steps": 7, "learning_rate": 0.5}}
    assert from_dict(printed) == from_dict(merge(settings, changes))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--training.max-step=5"], "did you mean --training.max-steps?"),
        (["train", "--training.max-steps=few"], "training.max_steps: "),
        (["train", "--training.max-steps="], "training.max_steps: "),
        (["train", "--training.device="], "training.device: "),
        (["train", "--config", "shorts.toml"], "did you mean short.toml?"),
        (["trian"], "invalid choice: 'trian'"),
        (["evaluate"], "RUN"),
    ],
)
def test_a_typo_on_the_command_line_is_answered_in_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
