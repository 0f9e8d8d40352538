"""A job of Kubernetes: an indexed Job, a pod per node, with torchrun in each."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CommandError
from ..runs.run import RUNS
from .job import Job, Resources, quiet


def write_job(job: Job, resources: Resources, image: str, claim: str, workdir: str) -> Path:
    """Write the file that kubectl takes.

    Args:
        job: whose command the image has, and its files.
        resources: of a pod, which is a node.
        image: of the container.
        claim: persistent volume claim on which the folder of the runs is.
        workdir: the project's folder in the container.
    """
    checks = {
        "--image": (image, r"[\w][\w.:/@-]*", "an image such as registry.example/lm:1"),
        "--claim": (claim, r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", "a name such as runs-of-lm"),
        "--workdir": (workdir, r"/[^\s:]*", "an absolute path such as /work"),
    }
    for name, (value, pattern, expected) in checks.items():
        if not re.fullmatch(pattern, value):
            raise CommandError(f"{name} {value!r}: expected {expected}")
    command = [
        "python",
        "/torchrun/torchrun.py",
        f"--nnodes={resources.nodes}",
        f"--nproc-per-node={resources.processes_per_node}",
        "--node-rank=$(JOB_COMPLETION_INDEX)",
        f"--master-addr={job.label}-0.{job.label}",
        "--master-port=29500",
        f"--redirects={quiet(resources.processes_per_node)}",
        f"--log-dir={RUNS}/logs/{job.name}",
    ]
    # Kubernetes would replace $(NAME) in a word of the user's.
    program = [*job.project.command, *job.arguments]
    command += [word.replace("$(", "$$(") for word in program]
    return job.write(
        ".yaml",
        "job.yaml.jinja",
        runs=RUNS,
        resources=resources,
        command=command,
        image=image,
        claim=claim,
        workdir=workdir,
        torchrun=Path(__file__).with_name("torchrun.py").read_text(encoding="utf-8"),
    )
