"""Shards of text are the same whoever makes them, and a run reads them as it reads one piece."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forks
import pytest
from rendering import ROOT, render
from test_projects import pytestmark

from ml_architect.errors import CommandError
from ml_architect.launch import prepare as command
from ml_architect.studies.project import Project

__all__ = ["pytestmark"]

COUNT = 3
FILES = 7
SMALL = """
[data]
context = 32
documents = "separator"
separator = "---"
"""
# An independent reading: each shard's tokens from its file, cut into windows.
READ = """
import sys, numpy as np
from dataclasses import replace
from pathlib import Path
from mine.data.dataset import Dataset
from mine.data.loader import batch_keys

folder = Path(sys.argv[1])
for split in ("train", "validation", "test"):
    dataset = Dataset(folder, split)
    paths = sorted(folder.glob(f"0*-of-*/{split}.tokens"))
    files = [np.fromfile(path, np.uint8) for path in paths]
    assert len(files) == 3
    windows = [
        tokens[start : start + 33]
        for tokens in files
        for start in range(0, len(tokens) - 32, dataset.stride)
    ]
    for key in batch_keys(len(windows), 4, 0, 0, 2 * len(windows) // 4):
        inputs, targets = dataset[key]
        expected = np.stack([windows[row] for row in key.rows])
        assert np.array_equal(inputs, expected[:, :-1]) and np.array_equal(targets, expected[:, 1:])
    assert len(dataset) == len(windows)
    # Documents, their lengths and their ids follow each other as in one piece.
    assert np.array_equal(np.diff(dataset.ends), dataset.num_bytes + 1)
    whole = np.concatenate([files[0][:1], *(tokens[1:] for tokens in files)])
    assert np.array_equal(np.flatnonzero(whole == 0)[1:] + 1, dataset.ends[1:])
    names, documents = dataset.metadata()
    assert names[0] == "bytes" and [int(row[1]) for row in documents] == dataset.num_bytes.tolist()
    last = np.array([len(dataset) - 1])
    assert dataset.select(last).starts(np.array([0])) == dataset.starts(last)
"""
# The process is killed while it writes the third document.
KILLED = """
import os, signal, sys
from mine.data import shards, source

def read_shard(*arguments, read=source.read_shard):
    for number, example in enumerate(read(*arguments)):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield example

source.read_shard = read_shard
shards.main(*sys.argv[1:])
"""


class Text:
    """A project and its text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = Project(folder, (forks.PYTHON, "-m", "mine.cli"))

    def config(self, cache: str, path: str = "corpus", more: str = "") -> Path:
        """Settings with a cache of their own."""
        file = self.folder / f"{cache}.toml"
        settings = f'cache_dir = "{cache}"\n{SMALL}path = "{path}"\n{more}'
        file.write_text(settings, encoding="utf-8")
        return file

    def prepare(self, config: Path, jobs: int = 1, only: int | None = None, count: int = 3) -> int:
        """The command."""
        return command.prepare(self.project, config, count, jobs, only)

    def cache(self, name: str) -> Path:
        """Its only folder."""
        (manifest,) = (self.folder / name).glob("*/manifest.json")
        return manifest.parent

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Python with these words, in the project's folder."""
        words = (forks.PYTHON, *words)
        return forks.run(list(words), cwd=self.folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def text(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Text:
    folder = tmp_path_factory.mktemp("prepare") / "mine"
    render(template, folder, starter="language_model")
    (folder / "corpus").mkdir()
    for file in range(FILES):
        documents = [f"{file} {number} " * (20 + number % 7) for number in range(40)]
        (folder / f"corpus/{file}.txt").write_text("\n---\n".join(documents), encoding="utf-8")
    return Text(folder)


@pytest.fixture(scope="module", autouse=True)
def processes_are_forks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        forked = {**vars(subprocess), "Popen": forks.Popen}
        patch.setattr(command, "subprocess", SimpleNamespace(**forked))
        patch.setenv("PYTHONPATH", os.pathsep.join(["src", str(ROOT / "src")]))
        yield


@pytest.fixture(scope="module")
def packed(text: Text) -> Path:
    """By one process at a time."""
    assert text.prepare(text.config("packed")) == 0
    return text.cache("packed")


def content(cache: Path) -> dict[str, bytes]:
    """What is in each file of a cache, without the times in the shards' manifests."""
    files = [path for path in sorted(cache.rglob("*")) if path.is_file() and path.name != ".lock"]
    times = {path for path in files if path.name == "manifest.json" and path.parent != cache}
    return {str(path.relative_to(cache)): path.read_bytes() for path in files if path not in times}


def test_one_process_a_pool_and_an_array_make_the_same_shards(
    text: Text, packed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(list(packed.glob("*-of-00003/manifest.json"))) == COUNT
    pool = text.config("pool")
    assert text.prepare(pool, jobs=2) == 0
    command = f"{forks.PYTHON} -m mine.cli"
    end = [
        "Passed: all 3 shards are there",
        f"Result: {text.cache('pool')}",
        f"Next: {command} train --config {pool}",
    ]
    assert capfd.readouterr().out.splitlines()[-3:] == end
    assert text.prepare(pool) == 0
    assert capfd.readouterr().out.splitlines() == ["3 of 3 shards are there", *end]
    array = text.config("array")
    for number in (2, 0, 1):
        assert text.prepare(array, only=number) == 0
        assert capfd.readouterr().out == f"1 of 1: shard {number} is made\n"
    assert content(text.cache("pool")) == content(text.cache("array")) == content(packed)


def test_a_killed_or_damaged_shard_is_made_again_and_the_others_are_not(
    text: Text, packed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = text.config("killed")
    assert text.prepare(config, only=0) == 0
    assert text.run("-c", KILLED, str(config), str(COUNT), "1").returncode == -9
    cache = text.cache("killed")
    assert [path for path in cache.glob(".*") if path.is_dir()] != []
    refused = text.run("-m", "mine.cli", "train", "--config", str(config))
    assert refused.returncode == 2
    assert refused.stderr == (
        f"{cache.relative_to(text.folder)}: shards are missing; continue with: "
        "ml-architect prepare\n"
    )
    before = (cache / "00000-of-00003/train.tokens").stat().st_ino
    assert text.prepare(config, jobs=2) == 0
    assert "1 of 3 shards are there" in capfd.readouterr().out
    assert (cache / "00000-of-00003/train.tokens").stat().st_ino == before
    assert [path for path in cache.glob(".*") if path.is_dir()] == []
    assert content(cache) == content(packed)

    tokens = cache / "00001-of-00003/train.tokens"
    tokens.write_bytes(tokens.read_bytes()[:-10])
    refused = text.run("-m", "mine.cli", "train", "--config", str(config))
    assert refused.returncode == 2
    assert refused.stderr.endswith(
        "train.tokens was changed; to make it again: ml-architect prepare\n"
    )
    assert text.prepare(config) == 0
    assert content(cache) == content(packed)


def test_windows_of_shards_follow_from_the_seed_and_the_step_and_never_cross(
    text: Text, packed: Path
) -> None:
    done = text.run("-c", READ, str(packed))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_is_trained_and_evaluated_with_shards(text: Text, packed: Path) -> None:
    options = ["--training.max-steps=2", "--training.warmup-steps=0", "--training.batch-size=4"]
    done = text.run("-m", "mine.cli", "train", "--config", "packed.toml", *options)
    assert done.returncode == 0, done.stderr
    record = json.loads((text.folder / "runs/packed/run.json").read_bytes())
    assert record["data"] == json.loads((packed / "manifest.json").read_bytes())["digest"]
    done = text.run("-m", "mine.cli", "evaluate", "runs/packed")
    assert done.returncode == 0, done.stderr


def test_a_tokenizer_is_trained_once_on_the_first_shard(text: Text) -> None:
    config = text.config("bpe", more='tokenizer = "bpe"\nvocabulary_size = 300\n')
    assert text.prepare(config, only=2) == 0  # makes the first shard, too
    cache = text.cache("bpe")
    assert {path.name for path in cache.glob("*-of-*")} == {"00000-of-00003", "00002-of-00003"}
    assert text.prepare(config, jobs=2) == 0
    schemas = {path.read_bytes() for path in cache.glob("*-of-*/schema.json")}
    assert len(schemas) == 1
    assert b"tokenizer" in schemas.pop()


def test_what_cannot_be_cut_into_shards_is_refused_in_one_line(
    text: Text, capfd: pytest.CaptureFixture[str]
) -> None:
    files = text.config("files")
    assert text.prepare(files, only=0, count=8) == 1
    message = "shards need data.split = 'hash', and a file each: there are 7\n"
    assert capfd.readouterr().err.startswith(message)
    position = text.config("position", more='split = "position"\n')
    assert text.prepare(position, only=0) == 1
    assert capfd.readouterr().err.startswith(message)

    whole = text.config("whole")
    code = "import sys; from mine.cli import main; sys.exit(main(sys.argv[1:]))"
    assert text.run("-c", code, "validate", "--config", str(whole)).returncode == 0
    assert text.prepare(whole) == 2
    folder = text.cache("whole").relative_to(text.folder)
    assert (
        capfd.readouterr().err == f"{folder} is in one piece; for shards, use another cache_dir\n"
    )


def test_a_project_whose_source_has_no_shards_keeps_working_and_says_what_to_add(
    text: Text, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old = Text(tmp_path / "mine")
    shutil.copytree(text.folder, old.folder, ignore=shutil.ignore_patterns("runs", "packed*"))
    source = old.folder / "src/mine/data/source.py"
    before = source.read_text(encoding="utf-8")
    source.write_text(before.replace("def read_shard(", "def _other("), encoding="utf-8")
    config = old.config("old")
    assert old.prepare(config, only=1) == 1
    errors = capfd.readouterr().err.splitlines()
    assert errors[0] == "data/source.py: add read_shard, as in docs/clusters.md of ml-architect"
    one_piece = old.config("one_piece")
    assert old.run("-m", "mine.cli", "validate", "--config", str(one_piece)).returncode == 0


def test_the_function_that_an_old_source_lacks_is_documented() -> None:
    """The message of the test above sends its reader there."""
    source = (ROOT / "choices/starter/language_model/source.py").read_text(encoding="utf-8")
    function = source[source.index("def read_shard(") : source.index("def read_new(")].strip()
    assert function in (ROOT / "docs/clusters.md").read_text(encoding="utf-8")


# --- the command, with a project that needs no imports --------------------------------------------

STUB = """
import os, sys, time
from pathlib import Path
_, count, *numbers = sys.argv[1:]
if not numbers:
    print(*(number for number in range(int(count)) if not Path(f"{number}.made").exists()))
elif (number := numbers[0]) == "1" and Path("broken").exists():
    sys.exit("1.txt isn't UTF-8")
elif Path("slow").exists():
    Path(f"{number}.started").write_text(str(os.getpid()))
    time.sleep(600)
else:
    Path(f"{number}.made").touch()
"""


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    module = tmp_path / "src/p/data/shards.py"
    module.parent.mkdir(parents=True)
    module.write_text(STUB, encoding="utf-8")
    return tmp_path


def start(stub: Path) -> subprocess.Popen[str]:
    words = ["prepare", "a.toml", "--shards=3", "--jobs=2", f"--command={sys.executable} -m p.cli"]
    return subprocess.Popen(
        [sys.executable, "-m", "ml_architect", *words],
        cwd=stub,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_shard_that_cannot_be_made_is_named_and_the_others_are_made(stub: Path) -> None:
    (stub / "broken").touch()
    command = start(stub)
    output, errors = command.communicate()
    assert command.returncode == 1
    assert output.startswith("0 of 3 shards are there\n1 of 3: shard ")
    assert errors == (
        "1.txt isn't UTF-8\nfailed: shard 1 of 3; the same command makes what is missing\n"
    )
    (stub / "broken").unlink()
    command = start(stub)
    output, errors = command.communicate()
    assert (command.returncode, errors) == (0, "")
    assert output.splitlines() == [  # this project, an older one, doesn't print its folder
        "2 of 3 shards are there",
        "1 of 1: shard 1 is made",
        "Passed: all 3 shards are there",
        f"Next: {sys.executable} -m p.cli train --config a.toml",
    ]


def test_the_processes_end_with_the_command(stub: Path) -> None:
    (stub / "slow").touch()
    command = start(stub)
    while len(list(stub.glob("*.started"))) < 2:
        assert command.poll() is None
        time.sleep(0.02)
    command.terminate()
    assert command.communicate()[1] == "stopped\n"
    assert command.returncode == 143
    for file in stub.glob("*.started"):
        assert not Path(f"/proc/{file.read_text()}").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 257}, "--shards 257: expected at most 256"),
        ({"only": 3}, "--shard 3: expected 0 to 2"),
        ({"only": -1}, "--shard -1: expected 0 to 2"),
    ],
)
def test_numbers_that_do_not_exist_are_refused(
    options: dict[str, Any], message: str, text: Text
) -> None:
    with pytest.raises(CommandError, match=message):
        text.prepare(text.config("numbers"), **options)


def test_a_project_of_another_kind_is_refused_in_one_line(tmp_path: Path) -> None:
    project = Project(tmp_path, ("python", "train.py"))
    with pytest.raises(CommandError, match=r"expected one src/PACKAGE/data/shards\.py"):
        command.prepare(project, Path("a.toml"), 2, 1, None)
