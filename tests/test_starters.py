"""What the starters' data readers and preprocessing promise, shown with small files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from living import replace
from PIL import Image
from rendering import render
from test_projects import ENVIRONMENT, pytestmark

__all__ = ["pytestmark"]

# Evaluates the expressions that it is sent. One process per starter, since torch takes seconds.
WORKER = """
import contextlib, dataclasses, io, json, sys
from pathlib import Path
from mine import cli
from mine.config import from_dict
from mine.data import source
from mine.errors import ProjectError

with contextlib.suppress(ImportError):  # of the language model
    from mine.data import tokenizer

def plain(example):
    return example._asdict() if isinstance(example, tuple) else dataclasses.asdict(example)

def batches(split):
    from mine.data.cache import load_split
    return [[part.tolist() for part in batch] for batch in load_split(config, split).batches(9)]

def command(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        return cli.main(arguments), out.getvalue()

for line in sys.stdin:
    expression, data = json.loads(line)
    config = from_dict({"data": data})
    try:
        answer = {"value": eval(expression)}
    except ProjectError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer, default=lambda array: array.tolist()), flush=True)
"""

PETS = """COLUMNS: dict[str, Any] = {
    "id": "id",
    "height": (0, 250),
    "weight": (0, 500),
    "kind": ["cat", "dog"],
    "name": "category",
    "age": (0, 40),
}"""
DEFAULTS = {
    "tabular": [('"progression"', '"age"'), ("COLUMNS: dict[str, Any] = {}", PETS)],
    "language_model": [("int = 256", "int = 16"), ("int = 4", "int = 1")],
}
"""What is replaced in settings.py: it is for other data, or takes long."""

HEADERS = {
    "tabular": "id,height,weight,kind,name,age",
    "blank": "id,sepal_length,sepal_width,petal_length,petal_width,label",
}
STEPS = ["max-steps=6", "warmup-steps=0", "evaluate-every=2", "batch-size=4"]


@dataclass(frozen=True)
class Project:
    folder: Path
    starter: str
    process: subprocess.Popen[str]

    def ask(self, expression: str, **data: object) -> Any:
        """The value of an expression in WORKER, where the section `data` of `config` is this."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([expression, data], default=str), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()  # empty if it has crashed
        answer = json.loads(line, object_hook=lambda values: SimpleNamespace(**values))
        if hasattr(answer, "error"):
            raise ValueError(answer.error)
        return answer.value

    def read(self, path: Path, **data: object) -> dict[str, Any]:
        """Examples and what is unreadable, by id."""
        found = self.ask("[*map(plain, source.read(config.data))]", path=path, **data)
        return {example.id: example for example in found}

    def train(self, run: str, path: Path) -> bytes:
        """The weights after six steps."""
        steps = [f"--training.{step}" for step in STEPS]
        command = ("train", f"--run-name={run}", f"--data.path={path}", *steps)
        code, output = self.ask(f"command{command}")
        assert code == 0, output
        checkpoint = self.folder / "runs" / run / "checkpoints/step_00000006"
        return (checkpoint / "model.safetensors").read_bytes()

    def write(self, path: Path, names: Iterable[str]) -> Path:
        """Make random examples. Equal numbers in names make equal ones."""
        rows = [HEADERS.get(self.starter, "")]
        for name in names:
            rng = np.random.default_rng(number := number_of(name))
            if self.starter == "image":
                pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
                save(pixels, path / "ab"[number % 2] / f"{name}.png")
            elif self.starter == "language_model":
                path.mkdir(exist_ok=True)
                (path / f"{name}.txt").write_text(f"<{number}>" * rng.integers(8, 30))
            elif self.starter == "tabular":
                weight = rng.uniform(0, 500) if number % 5 else ""
                pet = f"{('cat', 'dog')[number % 2]},{('Miez', 'Bello', number)[number % 3]}"
                rows.append(f"{name},{rng.uniform(0, 250)},{weight},{pet},{rng.uniform(0, 40)}")
            else:
                label = ("setosa", "versicolor", "virginica")[number % 3]
                rows.append(",".join([name, *map(str, rng.uniform(0, 20, 4)), label]))
        return write(path, *rows) if self.starter in HEADERS else path


def number_of(name: str) -> int:
    return int(re.findall(r"\d+", name)[0])


def save(pixels: Any, path: Path, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    image.convert(mode or image.mode).save(path, **options)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["image", "tabular", "language_model", "blank"])
def project(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The project of a starter. The table is one of pets."""
    folder = tmp_path_factory.mktemp(request.param) / "mine"
    style = "dataclass" if request.param in ("image", "language_model") else "pydantic"
    render(template, folder, starter=request.param, config=style)
    for old, new in DEFAULTS.get(request.param, []):
        replace(folder / "src/mine/settings.py", old, new)
    python, pipe = str(ENVIRONMENT / "bin/python"), subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [python, "-c", WORKER], cwd=folder, env=environment, stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield Project(folder, request.param, process)
        process.kill()  # its own end would take a second


def of(starter: str) -> pytest.MarkDecorator:
    """For a test of one starter."""
    return pytest.mark.parametrize("project", [starter], indirect=True)


# --- every starter -------------------------------------------------------------------------------


def test_equal_examples_share_a_split_and_new_ones_move_no_other(
    project: Project, tmp_path: Path
) -> None:
    names = [f"{copy}{number}" for copy in ("a", "b") for number in range(60)]
    first = project.read(project.write(tmp_path / "data.csv", names))
    pairs = {(number_of(id_), example.split) for id_, example in first.items()}
    assert len(pairs) == 60
    assert {split for _, split in pairs} == {"train", "validation", "test"}
    second = project.read(project.write(tmp_path / "data.csv", ["a60", *names]))
    assert {id_: second[id_].split for id_ in first} == {i: e.split for i, e in first.items()}


def test_the_fingerprint_changes_when_a_file_changes(project: Project, tmp_path: Path) -> None:
    path = project.write(tmp_path / "data.csv", ["a1", "a2"])
    file = path if path.is_file() else next(path.rglob("a1*"))
    os.utime(file, (0, 0))
    prints = [project.ask("source.fingerprint(config.data)", path=path) for _ in range(2)]
    file.write_bytes(file.read_bytes()[::-1])  # of the same size
    prints.append(project.ask("source.fingerprint(config.data)", path=path))
    other = file.rename(file.with_stem("b1"))
    path = path if path.exists() else other
    prints.append(project.ask("source.fingerprint(config.data)", path=path))
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3, "as it was, changed, renamed"


def test_new_examples_have_the_same_inputs_and_need_no_target(
    project: Project, tmp_path: Path
) -> None:
    path = project.write(tmp_path / "data.csv", ["a1", "a2", "a3"])
    known = project.read(path)
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        write(path, *(line.rpartition(",")[0] for line in lines))
        with pytest.raises(ValueError, match=lines[0].rpartition(",")[2]):
            project.read(path)
    else:
        (path / ".hidden").write_bytes(b"\xff")
    question = "[*map(plain, source.read_new(Path({!r}), config.data))]"
    new = project.ask(question.format(str(path)))
    assert [example.id for example in new] == [*known]
    for example in new:
        np.testing.assert_array_equal(example.inputs, known[example.id].inputs)
        assert example.target is None
    if path.is_dir():
        assert len(project.ask(question.format(str(next(path.rglob("a1*")))))) == 1


def test_held_out_examples_change_no_bit_of_the_model(project: Project, tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(400)]
    examples = project.read(project.write(tmp_path / "all.csv", names)).items()
    held_out = [f"a{number_of(id_)}" for id_, example in examples if example.split != "train"]
    given, others = names[:100], (name for name in held_out if name not in names[:100])
    changed = [next(others) if name in held_out else name for name in given]
    assert len({*given} - {*changed}) > 10
    model = project.train("given", project.write(tmp_path / "given.csv", given))
    assert project.train("changed", project.write(tmp_path / "changed.csv", changed)) == model
    given.remove(next(name for name in given if name not in held_out))
    assert project.train("without", project.write(tmp_path / "without.csv", given)) != model


@pytest.mark.parametrize("project", ["image", "tabular", "blank"], indirect=True)
def test_preprocessing_scales_by_bounds_that_do_not_depend_on_data(
    project: Project, tmp_path: Path
) -> None:
    path = project.write(tmp_path / "data.csv", [f"a{number}" for number in range(99)])
    examples = [each for each in project.read(path).values() if each.split == "validation"]
    inputs, targets = zip(*project.ask("batches('validation')", path=path), strict=True)
    scale: dict[str, Any] = {"image": 1 / 255, "blank": 1}
    scale["tabular"] = 1
    expected = np.array([each.inputs for each in examples], float) * scale[project.starter]
    if project.starter == "image":
        expected = expected[:, None]
    elif project.starter == "tabular":
        expected[..., 0] = np.arcsinh(expected[..., 0])  # of numbers, not of categories
    np.testing.assert_allclose(np.concatenate(inputs), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.concatenate(targets), [each.target for each in examples])


def torn(kind: str) -> bytes:
    """The beginning of an image."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(file := io.BytesIO(), kind)
    return file.getvalue()[:1500]


UNREADABLE = {
    "image": {
        "a/empty.png": (b"", "an empty file"),
        "a/torn.jpg": (torn("jpeg"), "can't be decoded as an image (OSError: image file is trunc"),
        "a/torn.png": (torn("png"), "can't be decoded as an image (OSError: image file is trunc"),
        "b/text.png": (b"No image.", "can't be decoded as an image (UnidentifiedImageError"),
    },
    "language_model": {
        "empty.txt": (b"", "an empty file"),
        "latin.txt": (b"caf\xe9 au lait", "line 1, byte 3 (0xe9) isn't UTF-8"),
        "nul.txt": (b"plain\0text", "has a zero byte"),
    },
    "tabular": {
        "wide": (b"wide,4,cat,Miez,7", "height = 'wide': expected a number from 0 to 250"),
        "cow": (b"1,4,cow,Miez,7", "kind = 'cow': expected one of cat, dog"),
        "old": (b"1,4,cat,Miez,41", "age = '41': expected a number from 0 to 40"),
        "two": (b"1,501,cow,,7", "weight = '501': expected a number from 0 to 500; kind = 'cow'"),
    },
    "blank": {
        "line 101": (b"1,2,3,setosa", "5 cells, expected 6"),
        "line 102": (b"1,2,,4,setosa", "could not convert string to float: ''"),
        "line 103": (b"1,2,3,4,rose", "label 'rose', expected one of setosa, versicolor"),
    },
}
"""By id: the content of a file or line, and how the problem begins."""


def test_what_is_unreadable_is_named_and_the_others_are_read(
    project: Project, tmp_path: Path
) -> None:
    path = project.write(tmp_path / "data.csv", [f"a{number}" for number in range(99)])
    for name, (content, _) in UNREADABLE[project.starter].items():
        with (path if path.is_file() else path / name).open("ab") as file:
            file.write(content if path.is_dir() else name.encode() + b"," + content + b"\n")
    if path.is_dir():
        (next(path.rglob("a1*")).parent / ".hidden").touch()
    examples = project.read(path)
    assert sum(hasattr(each, "inputs") for each in examples.values()) == 99
    unreadable = {i: each.problem for i, each in examples.items() if hasattr(each, "problem")}
    code, output = project.ask(f"command('validate', '--data.path={path}')")
    assert code == 2
    expected = UNREADABLE[project.starter].items()
    for (id_, problem), (name, (_, begins)) in zip(unreadable.items(), expected, strict=True):
        assert id_.endswith(name)
        assert problem.startswith(begins)
        assert f"{id_}: {problem}" in output


# --- image ---------------------------------------------------------------------------------------


@of("image")
def test_each_folder_is_a_class_with_images_at_any_depth(project: Project, tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    labels = {"cat/a.png": 0, "cat/b.gif": 0, "dog/2026/may/c.bmp": 1}
    for name in (*labels, "in no class.png", ".hidden/d.png"):
        save(pixels, tmp_path / name)
    examples = project.read(tmp_path)
    assert {id_: example.target for id_, example in examples.items()} == labels
    assert all(example.inputs == pixels.tolist() for example in examples.values())
    assert project.ask("source.schema(config.data).classes", path=tmp_path) == ["cat", "dog"]


@of("image")
def test_images_are_turned_upright_as_their_exif_orientation_says(
    project: Project, tmp_path: Path
) -> None:
    stored, exif = np.add.outer(8 * np.arange(16), np.arange(16)).astype(np.uint8), Image.Exif()
    for orientation, quarter_turns in ((1, 0), (3, 2), (6, -1), (8, 1)):
        exif[0x0112] = orientation
        save(stored, tmp_path / f"{quarter_turns}/a.png", exif=exif)
        save(stored, tmp_path / f"{quarter_turns}/b.jpg", exif=exif, quality=100)
    for id_, example in project.read(tmp_path, size=16).items():
        upright = np.rot90(stored, int(id_.partition("/")[0]))
        assert np.abs(upright - example.inputs).max() <= (4 if id_.endswith("jpg") else 0)


@of("image")
def test_images_of_any_mode_are_read_in_color_or_in_grayscale(
    project: Project, tmp_path: Path
) -> None:
    red = np.full((20, 31, 3), (255, 0, 0), np.uint8)
    for mode in ("RGB", "RGBA", "P", "L"):
        save(red, tmp_path / f"a/{mode}.png", mode)
    for id_, example in project.read(tmp_path, color=True).items():
        assert np.shape(example.inputs) == (8, 8, 3)
        assert example.inputs[0][0] == ([76, 76, 76] if id_ == "a/L.png" else [255, 0, 0])
    for example in project.read(tmp_path, color=False).values():
        assert np.array_equal(example.inputs, np.full((8, 8), 76))  # 0.299 of red is luminance


# --- tabular -------------------------------------------------------------------------------------


@of("tabular")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_row_becomes_numbers_and_what_is_missing_becomes_nan(
    suffix: str, project: Project, tmp_path: Path
) -> None:
    lines = ["1,30,4.5,cat,007,7", "2,60.25,,dog,7,3", "3,25,NA,,07,1", "4,25,1,,7,1.5"]
    path = write(tmp_path / "pets.csv", HEADERS["tabular"], *lines)
    table = pl.read_csv(path, null_values="NA", schema_overrides={"name": pl.String})
    table.write_parquet(path.with_suffix(".parquet"))
    rows = list(project.read(path.with_suffix(f".{suffix}")).values())
    assert [(row.id, row.target) for row in rows] == [("1", 7), ("2", 3), ("3", 1), ("4", 1.5)]
    numbers, categories = np.moveaxis(np.array([row.inputs for row in rows], float), 2, 0)
    assert numbers[:, 0].tolist() == [30, 60.25, 25, 25]
    np.testing.assert_array_equal(numbers[:, 1], [4.5, np.nan, np.nan, 1])
    assert np.isnan(numbers[:, 2:]).all()
    assert np.isnan(categories[:, :2]).all()
    kind, name = categories[:, 2:].T  # the target is no input
    assert np.isnan(kind).tolist() == [False, False, True, True]
    assert len({*kind[:2]}) == 2
    assert len({*name[:3]}) == 3, "007 isn't 7"
    assert name[1] == name[3]


@of("tabular")
def test_classes_of_a_target_are_those_that_its_column_lists(
    project: Project, tmp_path: Path
) -> None:
    lines = ["1,30,4,dog,Miez,7", "2,30,4,cat,Miez,7", "3,30,4,,Miez,7"]
    path = write(tmp_path / "pets.csv", HEADERS["tabular"], *lines)
    dog, cat = project.read(path, target="kind").values()  # a row without a target is left out
    assert (dog.target, cat.target) == (1, 0)
    classes = "source.schema(config.data).classes"
    assert project.ask(classes, path=path, target="kind") == ["cat", "dog"]
    assert project.ask(classes, path=path, target="age") == []
    for target, message in (("agee", "did you mean age"), ("name", "or a list of classes")):
        with pytest.raises(ValueError, match=message):
            project.ask(classes, path=path, target=target)


@of("tabular")
def test_unknown_categories_are_predicted_alike_and_missing_values_are_borne(
    project: Project, tmp_path: Path
) -> None:
    project.train("pets", project.write(tmp_path / "pets.csv", [f"a{n}" for n in range(99)]))
    cells = ["4,cat,Miez", "4,cat,Bello", "4,cat,Rex", "4,cat,Wanda", ",,Rex", "4,cow,Rex"]
    lines = [f"{number},30,{line}" for number, line in enumerate(cells)]
    new = write(tmp_path / "new.csv", "id,height,weight,kind,name", *lines)
    output = tmp_path / "predictions.csv"
    command = ("predict", "runs/pets", str(new), f"--output={output}")
    code, printed = project.ask(f"command{command}")
    assert code == 1
    assert "5: kind = 'cow': expected one of cat, dog" in printed
    with output.open(encoding="utf-8", newline="") as file:
        miez, bello, rex, wanda, missing = (float(row["predicted"]) for row in csv.DictReader(file))
    assert rex == wanda
    assert len({miez, bello, rex, missing}) == 4
    assert np.isfinite(missing)


# --- language model ------------------------------------------------------------------------------


@of("language_model")
def test_a_file_is_a_document_whose_bytes_are_kept(project: Project, tmp_path: Path) -> None:
    long = "".join(f"{number}. Zeile für Zeile\r\n" for number in range(3000))
    texts = {"a/1.txt": "Grüße,\n", "a/b/2.md": "no end", "c.txt": long}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    documents = project.read(tmp_path, documents="file")
    assert {id_: bytes(each.inputs).decode() for id_, each in documents.items()} == texts
    pattern = project.read(tmp_path / "**/*.txt", documents="file")
    assert [*pattern] == ["a/1.txt", "c.txt"]


@of("language_model")
def test_windows_of_a_split_hold_its_documents_and_no_other(
    project: Project, tmp_path: Path
) -> None:
    path = project.write(tmp_path / "corpus", [f"a{number}" for number in range(99)])
    documents = project.read(path).values()
    for split in ("train", "validation", "test"):
        batches = project.ask(f"batches({split!r})", path=path)
        inputs, targets = (np.concatenate(part).ravel() for part in zip(*batches, strict=True))
        assert inputs[1:].tolist() == targets[:-1].tolist()
        start, *found, rest = bytes(inputs.tolist()).split(b"\0")  # a separator
        own = [bytes(each.inputs) for each in documents if each.split == split]
        assert len(own) > 1
        assert [start, *found] == [b"", *own[: len(found)]]
        assert b"".join(own[len(found) :]).startswith(rest)
        assert len(b"\0".join(own[len(found) :])) - len(rest) < 2 * 16


@of("language_model")
def test_any_bytes_come_back_from_their_tokens(project: Project) -> None:
    for text in (b"", bytes(range(256)), "日本".encode()[:-1], np.random.default_rng(0).bytes(999)):
        tokens = f"tokenizer.ByteTokenizer().encode({text!r})"
        assert bytes(project.ask(f"[*tokenizer.ByteTokenizer().decode({tokens})]")) == text


# --- blank ---------------------------------------------------------------------------------------


@of("blank")
def test_the_sample_table_has_fifty_flowers_of_each_species(project: Project) -> None:
    flowers = project.ask("[*map(plain, source.read(config.data))]")
    assert np.bincount([flower.target for flower in flowers]).tolist() == [50, 50, 50]
    np.testing.assert_allclose(flowers[0].inputs, [5.1, 3.5, 1.4, 0.2], rtol=1e-6)
