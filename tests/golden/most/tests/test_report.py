# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iris.config import Config, DataConfig, from_dict, to_dict
from iris.data import cache, facts, source
from iris.data.facts import Fact, FactsWriter, read_facts
from iris.errors import DataError
from iris.eval.calibration import pooled, reliability
from iris.eval.intervals import bootstrap, of_mean, of_share
from iris.eval.origin import origin
from iris.eval.slices import Scores, Slices, facts_of, parts, slices
from iris.protocols import Array, Indices, Record, Split, Unreadable
from iris.training.loop import records


def settings(folder: Path) -> Config:
    return from_dict({"data": {"cache_dir": str(folder)}})


@pytest.mark.parametrize("kind", ["share", "mean", "bootstrap"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(kind: str) -> None:
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        drawn = random.random(60) < 0.9 if kind == "share" else random.exponential(size=60)
        truth = 0.9 if kind == "share" else 1.0

        def mean(rows: Indices, drawn: Array = drawn) -> dict[str, float]:
            return {"mean": float(drawn[rows].mean())}

        ends = bootstrap(mean, 60)["mean"] if kind == "bootstrap" else of_mean(drawn, np.ones(60))
        held += ends[0] <= truth <= ends[1]
    assert 180 <= held <= 199


def test_an_interval_narrows_with_records_and_widens_with_confidence() -> None:
    assert of_share(0.5, 4) == pytest.approx((0.15004, 0.84996), abs=1e-4)
    low, high = of_share(1, 20)
    assert low < 0.9
    assert high == 1
    values = np.random.default_rng(0).normal(size=400)
    ends = [of_mean(each, np.ones(len(each))) for each in (values[:20], values)]
    wide = of_mean(values, np.ones(400), chance=0.001)
    widths = [high - low for low, high in (*ends, wide)]
    assert widths[1] < widths[2] < widths[0]
    assert of_mean(values[:1], np.ones(1)) == (-np.inf, np.inf)
    assert of_mean(np.array([0.0, 0.1, 9.0]), np.ones(3))[0] == 0


def test_calibration_error_is_the_distance_of_what_is_said_from_what_is_so() -> None:
    stated = np.repeat(np.arange(1, 10) / 10, 100)
    hits = np.concatenate([np.arange(100) < 10 * each for each in range(1, 10)])
    assert reliability(stated, hits).error == pytest.approx(0)
    assert reliability(np.clip(stated + 0.05, 0, 1), hits).error == pytest.approx(0.05)
    values, cells = np.unique(stated, return_inverse=True)
    counted = np.stack([np.bincount(cells, each) for each in (np.ones(900), stated, hits)])
    assert len(values) == counted.shape[1]
    assert pooled(counted).error == pytest.approx(0)
    assert pooled(counted).counts.tolist() == reliability(stated, hits).counts.tolist()


def test_chance_explains_the_error_of_what_is_perfectly_calibrated_and_of_nothing_else() -> None:
    random, explained, accused = np.random.default_rng(0), 0, 0
    for _ in range(50):
        stated = random.uniform(0.5, 1, size=1000)
        fair = reliability(stated, random.random(1000) < stated)
        vain = reliability(stated, random.random(1000) < stated - 0.15)
        explained += fair.error <= fair.by_chance()
        accused += vain.error > vain.by_chance()
    assert explained >= 43
    assert accused == 50


def look(hits: Array, **known: Fact) -> Slices:
    return slices(Scores("accuracy", hits.astype(float), np.ones(len(hits)), True), known)


def test_a_part_that_is_worse_is_named_and_no_other() -> None:
    random = np.random.default_rng(0)
    camera = random.integers(0, 3, size=1000).astype(float)
    hits = random.random(1000) < np.where(camera == 1, 0.7, 0.95)
    size = Fact(random.normal(size=1000))
    found = look(hits, camera=Fact(camera, ("left", "right", "top")), size=size)
    (worse,) = found.worse
    assert (worse.fact, worse.part) == ("camera", "right")
    assert len(found.parts) == 7
    assert found.told().startswith(f"camera right ({worse.value:.4g}, {worse.records} records), of")
    assert any("right — worse" in html for html in found.section())


@pytest.mark.parametrize("more_is_better", [True, False])
def test_parts_that_differ_by_chance_alone_are_hardly_ever_named(more_is_better: bool) -> None:
    alarms = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        values = random.random(300) < 0.9 if more_is_better else random.exponential(size=300)
        names = tuple("abcdefgh")
        known = {f"number {each}": Fact(random.normal(size=300)) for each in range(8)}
        known["name"] = Fact(random.integers(0, 8, size=300).astype(float), names)
        scores = Scores("score", values.astype(float), np.ones(300), more_is_better)
        alarms += bool(slices(scores, known).worse)
    assert alarms <= 6


def test_each_record_is_in_one_part_of_a_fact() -> None:
    random = np.random.default_rng(0)
    numbers, names = random.normal(size=500), random.integers(-1, 30, size=500).astype(float)
    numbers[:7] = names[:3] = np.nan
    names[3:203] = facts.OTHER
    for fact, count in (
        (Fact(numbers), 5),
        (Fact(names, tuple(f"name {each}" for each in range(30))), 12),
        (Fact(np.round(numbers)), len(np.unique(np.round(numbers[7:]))) + 1),
    ):
        found = parts(fact)
        assert len(found) == count
        assert sorted(np.concatenate([rows for _, rows in found])) == list(range(500))
    others = dict(parts(Fact(names, tuple(f"name {each}" for each in range(30)))))["others"]
    assert set(range(3, 203)) <= set(others.tolist())
    assert parts(Fact(np.ones(9))) == []


def test_facts_survive_their_writing_whatever_comes_late_or_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "ROWS", 2)
    monkeypatch.setattr(facts, "TEXTS", 2)
    writer = FactsWriter(tmp_path)
    splits: list[Split] = ["test", "test", "train", "test", "test", "validation"]
    for number, split in enumerate(splits):
        late = {"late": float(number)} if number > 2 else {}
        writer.add({"place": "here" if number % 2 else f"<{number}>", **late}, split)
    writer.close()
    found = read_facts(tmp_path, "test")
    place = found["place"]
    texts = [place.texts[int(at)] if at >= 0 else "" for at in place.values]
    assert texts == ["<0>", "here", "here", ""]
    assert found["late"].values.tolist() == pytest.approx([np.nan, np.nan, 3, 4], nan_ok=True)
    assert read_facts(tmp_path / "nowhere", "test") == {}


def test_the_facts_of_the_source_are_those_in_the_cache(tmp_path: Path) -> None:
    config = settings(tmp_path)
    dataset = records(config, "test")
    names = dataset.ids
    stated = {each[0].id: each[0].facts for each in entries(config)}
    if not dataset.facts:
        pytest.skip("the source states no facts")
    for name, fact in dataset.facts.items():
        values = [fact.texts[int(each)] if fact.texts else each for each in fact.values]
        assert values == pytest.approx([stated[each][name] for each in names])


def entries(config: Config) -> Iterator[tuple[Record, Split]]:
    return (each for each in cache.entries(config.data) if not isinstance(each, Unreadable))


def test_without_facts_the_digest_is_the_same_and_there_are_no_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = source.read

    def bare(config: DataConfig) -> Iterator[Record | Unreadable]:
        for each in read(config):
            yield each if isinstance(each, Unreadable) else replace(each, facts={})

    with_facts, without = settings(tmp_path / "with"), settings(tmp_path / "without")
    before = cache.digest(cache.prepare(with_facts.data))
    monkeypatch.setattr(source, "read", bare)
    folder = cache.prepare(without.data)
    assert cache.digest(folder) == before
    assert records(without, "test").facts == {}
    manifest = json.loads((folder / cache.MANIFEST).read_text(encoding="utf-8"))
    next(iter(manifest.values()))["sha256"] = "another"
    (folder / cache.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert cache.digest(folder) != before


def test_a_misspelt_fact_is_answered_with_the_nearest(tmp_path: Path) -> None:
    dataset = records(settings(tmp_path), "test")
    if not (names := list(facts_of(dataset))):
        pytest.skip("the source states no facts")
    name = names[-1]
    assert list(facts_of(dataset, [name])) == [name]
    with pytest.raises(DataError, match=f"--slice-by {name}s: unknown fact; did you mean {name}"):
        facts_of(dataset, [f"{name}s"])


def test_the_origin_names_what_differs_and_hides_no_uncommitted_change() -> None:
    config: dict[str, Any] = to_dict(from_dict({"seed": 7}))
    git = {"commit": "1a2b", "diff": "+1", "untracked": []}
    page = origin({"config": config, "data": "3c4d", "git": git, "packages": {"torch": "2.13"}})
    assert "1a2b, with uncommitted changes" in page
    assert "<th>seed</th><td>7 (default 0)</td>" in page
    assert "training." not in page
