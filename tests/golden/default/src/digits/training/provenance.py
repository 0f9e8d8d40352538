# The template's: updates improve this file and keep your edits.
"""Where a run comes from: code, config, data, machine."""

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..config import Config, to_dict
from ..errors import redact_passwords, warn

if TYPE_CHECKING:  # torch takes seconds to import
    from ..data.dataset import Dataset

MAX_DIFF = 2**20  # bytes of uncommitted changes that are recorded
DIFF = (  # in one format, whatever the user has set
    "diff --no-ext-diff --no-textconv --no-color --no-relative --no-renames --binary --unified=3 "
    "--src-prefix=a/ --dst-prefix=b/ --ignore-submodules=dirty HEAD -- ."
)


def provenance(config: Config, train_set: "Dataset") -> dict[str, Any]:
    """All that it takes to reproduce a run that begins now. No environment: it may have secrets."""
    from .device import describe, select_device

    return {
        "format": 1,  # of the files in a run's folder: see docs/run-format.md of ml-architect
        "id": uuid4().hex,  # in trackers, wherever the folder is moved
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [redact_passwords(word) for word in sys.argv],
        "seed": config.seed,
        "config": to_dict(config),
        "data": train_set.digest,
        "input_shape": train_set.shape,
        "num_outputs": train_set.schema.num_outputs,
        "git": git_state(),
        "python": platform.python_version(),
        "device": describe(select_device(config.training)),
        "host": {"name": platform.node(), "system": platform.platform(), "cpus": os.cpu_count()},
        "packages": {
            info["Name"]: info["Version"]
            for distribution in distributions()
            if "Name" in (info := distribution.metadata or {})  # pip leaves some without it
        },
    }


def git_state() -> dict[str, Any]:
    """Commit and uncommitted changes of the project's folder, whatever folder it is started from.

    `git apply` takes the diff in a clone; files that git ignores aren't in it. What can't be
    recorded is said in `problem`.
    """
    state: dict[str, Any] = {"commit": None, "diff": "", "untracked": [], "problem": ""}
    try:
        if _git("ls-files pyproject.toml"):  # or it is a repository around the project
            names = _git("ls-files --others --exclude-standard -z").split("\0")
            state["untracked"] = names[:-1][:1000]
            state["commit"] = _git("rev-parse --verify --quiet HEAD").strip()
            ignored = _git("ls-files --cached --ignored --exclude-standard -z").split("\0")[:-1]
            state["diff"] = _git(DIFF, *(f":(exclude,literal){name}" for name in ignored))
    except OSError:
        pass  # git isn't installed
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").partition("\n")[0]
        if "not a git repository" not in message:
            state["problem"] = message  # empty if there is no commit yet
    content = os.fsencode(state["diff"])
    if len(content) > MAX_DIFF:
        digest = hashlib.sha256(content).hexdigest()
        problem = f"the diff isn't recorded: {len(content)} bytes, SHA-256 {digest}"
        state |= {"diff": "", "problem": problem}
    if state["problem"]:
        warn(f"run.json: {state['problem']}")
    return state


def _git(options: str, *paths: str) -> str:
    """What git prints in the project's folder."""
    command, folder = ["git", *options.split(), *paths], Path(__file__).parents[3]
    environment = {**os.environ, "LC_ALL": "C"}  # in English
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    return os.fsdecode(done.stdout)
