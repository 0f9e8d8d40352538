"""Training in a terminal: its progress, and Ctrl-C."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pexpect
from rendering import render
from test_projects import ENVIRONMENT
from test_projects import pytestmark as needs_environment

pytestmark = needs_environment


def test_training_prints_its_progress_and_is_stopped_by_ctrl_c(
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
        dimensions=(24, 160),
        encoding="utf-8",
        timeout=None,
    )
    child.expect_exact("validation/loss")  # after a hundred steps
    output = child.before
    for expected in (
        "step 10/100000 ",
        "train/loss ",
        "train/gradient_norm ",
        " examples/s ",
        " MB",
    ):
        assert expected in output, expected
    child.expect(r"\d+:\d\d:\d\d left")
    child.sendintr()
    child.expect_exact("stopped by SIGINT after step")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 75
    assert "Continue with: digits train --resume runs/default" in child.before
