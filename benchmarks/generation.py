"""Time and memory to make and to update a project: `make bench`.

Times are compared with `import copier`, which no template can avoid, and with a template of one
file, since ratios depend less on the machine. Each `ml-architect` command is also compared with the
same command of Copier. Runs alternate, so that other load affects all commands equally.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MAX_NEW = 1.7  # times `import copier`: 0.7 s if that takes 0.4 s
MAX_COPY = 2.5  # times `import copier`, for Copier's own command on a folder
MAX_UPDATE = 6.25  # times `import copier`: 2.5 s
MAX_FILES = 50  # of a default project
MAX_HELP = 0.35  # seconds


@dataclass
class Case:
    """A command, with the time and memory of its runs."""

    name: str
    command: Sequence[str]
    project: Path | None = None  # copied to the destination first, untimed
    seconds: list[float] = field(default_factory=list[float])
    megabytes: list[float] = field(default_factory=list[float])

    def measure(self, folder: Path) -> None:
        """Run it once; `{destination}` is a new folder."""
        destination = folder / f"{self.name.replace(' ', '-')}-{len(self.seconds)}"
        command = [part.format(destination=destination) for part in self.command]
        if self.project is not None:
            shutil.copytree(self.project, destination)
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        error = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.seconds.append(time.perf_counter() - started)
        self.megabytes.append(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{error.decode()}")


def released(folder: Path) -> tuple[Path, Path]:
    """The template with its releases and the working tree, and a project of the last release."""
    sys.path.insert(0, str(ROOT / "tests"))
    from repository import copy, updated_from, with_releases

    template = with_releases(folder / "template")
    return template, copy(template, folder / "project" / "digits", updated_from()[-1].version)


def working_tree(folder: Path, *, committed: bool) -> Path:
    """A copy of the working tree, as a repository with a tag or as a plain folder."""
    sys.path.insert(0, str(ROOT / "tests"))
    from rendering import copy_template
    from repository import commit

    copy_template(folder)
    if committed:
        commit(folder, "The working tree", "v9999.0.0")
    return folder


def one_file(folder: Path) -> Path:
    """A template of a single file."""
    folder.mkdir()
    (folder / "copier.yml").write_text("name:\n  type: str\n  default: x\n", encoding="utf-8")
    (folder / "file.txt.jinja").write_text("{{ name }}\n", encoding="utf-8")
    return folder


def copy_command(template: Path) -> list[str]:
    """Copier's command that makes a project."""
    copier = [sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet"]
    return [*copier, str(template), "{destination}"]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [--runs N]")
    parser.add_argument("--runs", type=int, default=7, help="runs of each command")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = working_tree(folder / "plain", committed=False)
        cloned = working_tree(folder / "repository", committed=True)
        imports = Case("import copier", [sys.executable, "-c", "import copier"])
        single = Case("one file", copy_command(one_file(folder / "single")))
        folder_copy = Case("copier copy, folder", copy_command(plain))
        repository_copy = Case("copier copy, repository", copy_command(cloned))
        command = str(Path(sys.executable).with_name("ml-architect"))
        our_new = [command, "new", "{destination}", "--defaults", "--template", str(cloned)]
        new = Case("ml-architect new", our_new)
        template, project = released(folder / "released")
        plain_update = [sys.executable, "-m", "copier", "update", "--trust", "--defaults"]
        update = Case("copier update", [*plain_update, "--quiet", "{destination}"], project)
        our_update = [command, "update", "{destination}", "--yes", "--template", str(template)]
        updated = Case("ml-architect update", our_update, project)
        our_help = Case("ml-architect --help", [command, "--help"])
        new_help = Case("ml-architect new --help", [command, "new", "--help"])
        copies = [folder_copy, repository_copy]
        cases = [imports, single, *copies, new, update, updated, our_help, new_help]
        for case in cases:  # fill the caches of the disk and of Python
            case.measure(folder)
            case.seconds.clear()
            case.megabytes.clear()
        for _ in range(runs):
            for case in cases:
                case.measure(folder / "runs")
        made = folder / "runs" / "ml-architect-new-0"
        files = sum(path.is_file() for path in made.rglob("*"))

    base, small = statistics.median(imports.seconds), statistics.median(single.seconds)
    print(f"{'':25}{'seconds':>9}{'x import':>10}{'x one file':>12}{'max. MB':>10}")
    for case in cases:
        middle, memory = statistics.median(case.seconds), max(case.megabytes)
        ratios = f"{middle / base:10.2f}{middle / small:12.2f}"
        print(f"{case.name:25}{middle:9.2f}{ratios}{memory:10.0f}")
    print(f"Medians of {runs} alternating runs. A default project has {files} files.")
    print(
        f"Targets, in imports: `new` {MAX_NEW}, `copier copy` of a folder {MAX_COPY}, `copier "
        f"update` {MAX_UPDATE}; `--help` {MAX_HELP} s; at most {MAX_FILES} files."
    )


if __name__ == "__main__":
    main()
