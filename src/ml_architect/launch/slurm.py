"""Jobs of Slurm: a run over several nodes, or the runs of a study as an array."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..errors import CommandError
from ..runs.run import RUNS, write_file
from ..studies.study import Study
from .job import Job, Resources, render


def write_job(job: Job, resources: Resources) -> Path:
    """Write the file that sbatch takes."""
    command = [*job.project.command, *job.arguments]
    return job.write(".sbatch", "job.sbatch.jinja", runs=RUNS, resources=resources, command=command)


def write_array(
    study: Study,
    resources: Resources,
    command: Sequence[str],
    names: Sequence[str],
    jobs: int | None,
) -> Path:
    """Write the file that sbatch takes for a study.

    Args:
        study: whose runs are trained.
        resources: of each element.
        command: of the study, for an element.
        names: of the runs, an element each; none if the elements choose trials themselves.
        jobs: how many elements run at the same time; by default as many as the cluster allows.
    """
    folder = study.folder.relative_to(study.project.root)
    path = study.folder / "job.sbatch"
    text = render(
        "array.sbatch.jinja",
        path=path,
        root=study.project.root,
        folder=folder.as_posix(),
        label=study.folder.name,
        resources=resources,
        command=command,
        names=names,
        elements=len(names) or jobs or 1,
        limit=jobs if names else None,
    )
    (study.folder / "logs").mkdir(parents=True, exist_ok=True)
    write_file(path, text.encode())
    return path


def submit(path: Path) -> str:
    """Submit a job to Slurm. Returns its number.

    Raises:
        CommandError: Slurm isn't there, or refuses the job.
    """
    try:
        done = subprocess.run(["sbatch", "--parsable", path], capture_output=True, text=True)
    except OSError as error:
        raise CommandError(
            f"sbatch: {error.strerror}. {path} was written: submit it on a machine of the cluster"
        ) from None
    if done.returncode != 0:
        message = " ".join(done.stderr.replace("sbatch: error: ", "").split())
        raise CommandError(f"sbatch refused {path}: {message}")
    return done.stdout.strip().partition(";")[0]  # then the name of the cluster, if there are many
