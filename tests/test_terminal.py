"""A run at a terminal, as a person sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pexpect
from rendering import render
from test_projects import ENVIRONMENT
from test_projects import pytestmark as skipped_without_it

pytestmark = skipped_without_it


def test_a_person_sees_how_a_run_goes_and_stops_it_with_ctrl_c(
    template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits", package_name="digits")
    command = ["-m", "digits.cli", "train", "--training.max-steps", "100000"]
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    spawn: Any = pexpect.spawn  # typed in part only
    child = spawn(
        str(ENVIRONMENT / "bin/python"),
        command,
        cwd=str(project),
        env=environment,
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=None,
    )
    child.expect_exact("validation/loss")  # after a hundred steps
    screen = child.before
    for expected in ("/100000", "loss ", "gradient_norm ", "learning_rate ", "examples/s ", " MB"):
        assert expected in screen, expected
    child.expect(r"left \d+:\d\d:\d\d")
    child.sendintr()
    child.expect_exact("stopped by SIGINT after step")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 75
    assert "Continue with: digits train --re" in child.before, "wrapped by the terminal"
