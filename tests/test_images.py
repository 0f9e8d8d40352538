"""The image starter reads an owner's images as they are: any mode, layout, list and split."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_projects import pytestmark as needs_environment
from test_starters import Project, of, project, save, write

__all__ = ["project"]  # the fixture

pytestmark = [*needs_environment, of("image")]
RNG = np.random.default_rng(0)
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def noise(*shape: int) -> Any:
    return RNG.integers(0, 256, shape or (8, 8), dtype=np.uint8)


def save_all(folder: Path, *names: str) -> Path:
    for name in names:
        save(noise(), folder / name)
    return folder


def splits(examples: dict[str, Any]) -> dict[str, str]:
    return {id_: example.split for id_, example in examples.items()}


# --- pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/0.png", "a/0.tif"])
def test_16_bits_are_scaled_to_8_instead_of_saturated(
    name: str, project: Project, tmp_path: Path
) -> None:
    save(RAMP.astype(np.uint16) * 257, tmp_path / name)
    assert np.array_equal(project.read(tmp_path)[name].inputs, RAMP)


def test_float_images_between_0_and_1_are_scaled_and_others_are_rejected(
    project: Project, tmp_path: Path
) -> None:
    save((RAMP / 255).astype(np.float32), tmp_path / "a/good.tif")
    save(RAMP.astype(np.float32), tmp_path / "a/large.tif")
    save(RAMP.astype(np.int32), tmp_path / "a/integers.tif")
    examples = project.read(tmp_path)
    assert np.array_equal(examples["a/good.tif"].inputs, RAMP)
    assert "float values from 0 to 252, expected 0 to 1" in examples["a/large.tif"].problem
    assert "convert it to 16" in examples["a/integers.tif"].problem


def test_transparent_pixels_are_white_and_cmyk_and_palettes_are_converted(
    project: Project, tmp_path: Path
) -> None:
    transparent = np.zeros((8, 8, 4), np.uint8)
    transparent[:4, :, 3] = 255  # black above, nothing below
    save(transparent, tmp_path / "a/rgba.png")
    Image.fromarray(transparent).quantize(4).save(tmp_path / "a/palette.png")
    save(np.full((8, 8, 3), (255, 0, 0), np.uint8), tmp_path / "a/cmyk.tif", "CMYK")
    examples = project.read(tmp_path, color=True)
    for name in ("a/rgba.png", "a/palette.png"):
        pixels = np.array(examples[name].inputs)
        assert (pixels[0, 0].tolist(), pixels[7, 7].tolist()) == ([0] * 3, [255] * 3), name
    assert examples["a/cmyk.tif"].inputs[0][0] == [255, 0, 0]


def test_what_is_unusual_is_counted_in_a_warning(project: Project, tmp_path: Path) -> None:
    save_all(tmp_path, *(f"a/{number}.png" for number in range(60)))
    for number in range(40):
        save(np.full((8, 8), number, np.uint8), tmp_path / f"b/{number}.png")
    frames = [Image.fromarray(noise()) for _ in range(3)]
    frames[0].save(tmp_path / "a/moving.gif", save_all=True, append_images=frames[1:])
    _, output = project.ask(f"command('validate', '--data.path={tmp_path}')")
    assert "almost no contrast: 40 of 101 examples, such as b/0.png, 40 of 40 in class b" in output
    assert "only the first frame is used: 1 of 101 examples, such as a/moving.gif" in output


# --- targets --------------------------------------------------------------------------------------


def write_list(folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
    for row in rows:
        save(noise(), folder / str(row["file"]))
    path = folder / name
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
        return path
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", ["labels.csv", "labels.json"])
def test_a_list_beside_the_images_names_their_classes(
    name: str, project: Project, tmp_path: Path
) -> None:
    rows = [
        {"file": f"photos/{number}.png", "animal": ("dog", "cat")[number % 2]} for number in (1, 2)
    ]
    path = write_list(tmp_path, name, rows)
    examples = project.read(path, target="animal")
    assert project.ask("source.schema(config.data).classes", path=path, target="animal") == [
        "cat",
        "dog",
    ]
    assert [example.target for example in examples.values()] == [0, 1]
    with pytest.raises(ValueError, match=r"no column label .columns: file, animal"):
        project.read(path)
    with pytest.raises(ValueError, match=f"expected two or more.*{name}"):
        project.read(tmp_path)


def test_a_json_object_maps_file_names_to_classes(project: Project, tmp_path: Path) -> None:
    save_all(tmp_path, "photos/1.png", "photos/2.png")
    path = write(tmp_path / "labels.json", json.dumps({"1.png": "a", "2.png": "b", "3.png": "b"}))
    first, second, missing = project.read(path).values()
    assert (first.target, second.target) == (0, 1)
    assert "No such file" in missing.problem


@pytest.mark.parametrize(
    ("targets", "task", "classes"),
    [
        ([1.5, 2, 3], "auto", []),
        ([3, 10, 9], "auto", ["3", "9", "10"]),
        ([3, 10, 9], "regression", []),
        ([1.5, 2, 3], "classification", ["1.5", "2", "3"]),
        ([*range(60)], "auto", []),
    ],
)
def test_a_target_is_a_class_or_a_number(
    targets: list[float], task: str, classes: list[str], project: Project, tmp_path: Path
) -> None:
    rows = [{"file": f"{number}.png", "label": value} for number, value in enumerate(targets)]
    path = write_list(tmp_path, "labels.csv", rows)
    assert project.ask("source.schema(config.data).classes", path=path, task=task) == classes
    read = [example.target for example in project.read(path, task=task).values()]
    assert read == ([classes.index(str(value)) for value in targets] if classes else targets)


def test_a_number_is_predicted_without_editing_code(project: Project, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    for number in range(200):
        brightness = int(RNG.integers(20, 230))
        rows.append({"file": f"{number}.png", "label": brightness / 10})
        save(
            RNG.integers(brightness - 20, brightness + 20, (8, 8)).astype(np.uint8),
            tmp_path / f"{number}.png",
        )
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file", "label"])
        writer.writeheader()
        writer.writerows(rows)
    for arguments in (
        ["train", "--run-name=number", f"--data.path={path}", "--training.max-steps=200"],
        ["evaluate", "runs/number"],
    ):
        code, output = project.ask(f"command(*{arguments})")
        assert code == 0, output
    metrics = json.loads((project.folder / "runs/number/metrics.json").read_text())["metrics"]
    assert metrics["r2"]["value"] > 0.8


# --- splits ---------------------------------------------------------------------------------------


def test_folders_named_after_splits_are_splits(project: Project, tmp_path: Path) -> None:
    names = [
        f"{split}/{label}/{n}.png"
        for split in ("Train", "val", "test")
        for label in "ab"
        for n in (1, 2)
    ]
    save_all(tmp_path, *names)
    named = {"Train": "train", "val": "validation", "test": "test"}
    examples = project.read(tmp_path)
    assert splits(examples) == {name: named[name.partition("/")[0]] for name in names}
    assert {id_: example.target for id_, example in examples.items()} == {
        name: "ab".index(name.split("/")[1]) for name in names
    }
    assert project.ask("source.schema(config.data).classes", path=tmp_path, split="hash") != [
        "a",
        "b",
    ]


def test_a_split_without_a_folder_is_taken_from_the_training_examples(
    project: Project, tmp_path: Path
) -> None:
    save_all(tmp_path, *(f"train/{label}/{n}.png" for label in "ab" for n in range(60)))
    save_all(tmp_path, *(f"valid/{label}/{n}.png" for label in "ab" for n in range(5)))
    examples = project.read(tmp_path)
    counts = Counter((id_.partition("/")[0], example.split) for id_, example in examples.items())
    assert counts.keys() == {("train", "train"), ("train", "test"), ("valid", "validation")}


def test_a_column_or_a_file_names_the_split(project: Project, tmp_path: Path) -> None:
    rows = [
        {"file": f"{n}.png", "label": "ab"[n % 2], "fold": fold, "split": "train"}
        for n, fold in enumerate(["dev", "test", "train"])
    ]
    path = write_list(tmp_path, "labels.csv", rows)
    by_column = splits(project.read(path, split="fold"))
    assert by_column == {"0.png": "validation", "1.png": "test", "2.png": "train"}
    ids = write(tmp_path / "ids.csv", "id,split", "0.png,test", "1.png,train", "2.png,val")
    by_file = splits(project.read(path, split=str(ids)))
    assert by_file == {"0.png": "test", "1.png": "train", "2.png": "validation"}
    with pytest.raises(ValueError, match="no column folds; did you mean fold"):
        project.read(path, split="folds")
    write(ids, "id,split", "0.png,train", "1.png,train", "2.png,holdout")
    with pytest.raises(ValueError, match=r"id 2\.png: the split 'holdout'"):
        project.read(path, split=str(ids))


def test_the_split_of_an_image_does_not_depend_on_size_or_color(
    project: Project, tmp_path: Path
) -> None:
    for number in range(40):
        save(noise(40, 40, 3), tmp_path / f"{'ab'[number % 2]}/{number}.jpg")
    first = splits(project.read(tmp_path))
    assert splits(project.read(tmp_path, size=32)) == first
    assert splits(project.read(tmp_path, color=True)) == first


def test_members_of_a_group_share_a_split(project: Project, tmp_path: Path) -> None:
    rows = [{"file": f"{n}.png", "label": "ab"[n % 2], "group": n // 3} for n in range(90)]
    examples = project.read(write_list(tmp_path, "labels.csv", rows))
    assert len({(example.group, example.split) for example in examples.values()}) == 30


def test_hidden_folders_are_ignored(project: Project, tmp_path: Path) -> None:
    save_all(tmp_path, "a/1.png", "a/.thumbnails/1.png", "b/2.png", ".cache/c/3.png")
    assert list(project.read(tmp_path)) == ["a/1.png", "b/2.png"]
    new = project.ask(f"[*map(plain, source.read_new(Path({str(tmp_path)!r}), config.data))]")
    assert [example.id for example in new] == ["a/1.png", "b/2.png"]
