# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits import cli
from digits.config import Config, DataConfig, from_dict
from digits.data import cache, source
from digits.data.examples import ExamplesWriter, read_metadata
from digits.eval.intervals import bootstrap
from digits.protocols import SPLITS, Array, Indices, Record, Unreadable
from digits.training.loop import load_split

PROJECT = Path(__file__).parents[1]


def settings(folder: Path) -> Config:
    return from_dict({"data": {"cache_dir": str(folder)}})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_intervals_hold_the_true_value_about_as_often_as_they_say() -> None:
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        drawn = random.exponential(size=60)

        def mean(rows: Indices, drawn: Array = drawn) -> dict[str, float]:
            return {"mean": float(drawn[rows].mean())}

        low, high = bootstrap(mean, 60)["mean"]
        held += low <= 1 <= high
    assert 180 <= held <= 199


# --- examples.csv ---------------------------------------------------------------------------------


def test_metadata_survive_commas_quotes_newlines_late_names_and_clashes(tmp_path: Path) -> None:
    odd = 'a, "b"\r\nc'
    writer = ExamplesWriter(tmp_path)
    writer.add("one", "test", "cat", "", {"place": odd, "id": "x", "loss": 0.5})
    writer.add("two", "train", 1.25, "group, 1", {"late": 3, "loss": float("nan"), "label": "b"})
    writer.add('th"ree', "test", "", "", {"late": 1e-9, "label_": "free", "place": "ü"})
    writer.write()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["examples.csv"]
    first, second, third = rows(tmp_path / "examples.csv")
    columns = ["id", "split", "label", "group", "place", "id_", "loss_", "late", "label__"]
    assert list(first) == [*columns, "label_"]
    assert list(first.values()) == ["one", "test", "cat", "", odd, "x", "0.5", "", "", ""]
    assert list(second.values())[:4] == ["two", "train", "1.25", "group, 1"]
    assert (second["late"], second["loss_"], second["label__"]) == ("3", "", "b")
    assert (third["id"], third["late"], third["label_"]) == ('th"ree', "1e-09", "free")
    names, *cells = read_metadata(tmp_path, "test")
    assert names == list(first)[4:]
    assert [each[0] for each in cells] == [odd, "ü"]


def test_the_examples_are_those_of_the_source_in_the_order_of_the_arrays(tmp_path: Path) -> None:
    config = settings(tmp_path)
    listed = rows(cache.prepare(config.data) / "examples.csv")
    stated = {each[0].id: each for each in entries(config.data)}
    assert len(listed) == len(stated)
    for row in listed:
        record, split = stated[row["id"]]
        assert (row["split"], row["group"]) == (split, record.group)
        for name, value in record.metadata.items():
            assert row[name] == ("" if value != value else str(value))
    for split in SPLITS:
        dataset = load_split(config, split)
        names = dataset.ids
        labels = [row["label"] for row in listed if row["split"] == split]
        if dataset.classes:
            assert labels == [dataset.classes[label] for label in dataset.labels]
        else:
            assert [float(label) for label in labels] == pytest.approx(dataset.labels.tolist())
        assert names == [row["id"] for row in listed if row["split"] == split]


def entries(config: DataConfig) -> Iterator[tuple[Record, str]]:
    return (each for each in cache.entries(config) if not isinstance(each, Unreadable))


def test_the_digest_of_the_data_leaves_metadata_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = source.read

    def bare(config: DataConfig) -> Iterator[Record | Unreadable]:
        for each in read(config):
            yield each if isinstance(each, Unreadable) else replace(each, metadata={})

    with_metadata, without = settings(tmp_path / "with"), settings(tmp_path / "without")
    before = cache.digest(cache.prepare(with_metadata.data))
    monkeypatch.setattr(source, "read", bare)
    folder = cache.prepare(without.data)
    assert cache.digest(folder) == before
    manifest = json.loads((folder / cache.MANIFEST).read_text(encoding="utf-8"))
    assert "examples.csv" in manifest
    name = next(name for name in manifest if name != "examples.csv")
    manifest[name]["sha256"] = "another"
    (folder / cache.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert cache.digest(folder) != before


# --- predictions.csv and report.html --------------------------------------------------------------


def test_evaluate_writes_a_report_and_the_predictions_with_their_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (PROJECT / "data").exists():
        (tmp_path / "data").symlink_to(PROJECT / "data")
    monkeypatch.chdir(tmp_path)
    read = source.read

    def noted(config: DataConfig) -> Iterator[Record | Unreadable]:
        for each in read(config):
            note = {"note": f'{each.id}, "a"\nb', "label": "mine"}
            yield each if isinstance(each, Unreadable) else replace(each, metadata=note)

    monkeypatch.setattr(source, "read", noted)
    monkeypatch.setattr(source, "fingerprint", repr)
    text: list[str] = []
    assert cli.main(["train", "--debug", "--data.cache-dir", "cache", *text]) == 0
    assert cli.main(["evaluate", "runs/debug"]) == 0

    predictions = rows(Path("runs/debug/predictions.csv"))
    (table,) = Path("cache").glob("*/examples.csv")
    test = {row["id"]: row for row in rows(table) if row["split"] == "test"}
    assert {row["id"] for row in predictions} <= set(test)
    for row in predictions:
        assert row["note"] == test[row["id"]]["note"] == f'{row["id"]}, "a"\nb'
        assert row["label_"] == "mine"
        assert np.isfinite(float(row["loss"]))
        label = test[row["id"]]["label"]
        if "confidence" in row:
            assert row["label"] == label
            assert 0 < float(row["confidence"]) <= 1
        else:
            assert float(row["label"]) == pytest.approx(float(label))
            assert np.isfinite(float(row["predicted"]))
    assert len(predictions) == len(test)

    page = Path("runs/debug/report.html").read_text(encoding="utf-8")
    assert "<h2>Learning curve</h2>" in page
    assert "<h2>Worst mistakes</h2>" in page
    assert "http" not in page
