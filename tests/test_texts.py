"""An owner's text becomes documents: by what is there, in any encoding, with either tokenizer."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import pytest
from living import replace
from rendering import render
from test_projects import ENVIRONMENT, pytestmark
from test_starters import STEPS, WORKER, Project, write

__all__ = ["pytestmark"]

JAPANESE = "これは日本語の文章です。カタカナもあります。\n" * 9
WORDS = ["the", "a", "king", "queen", "said", "of", "my", "lord", "speaks", "Grüße,", "日本"]


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("texts") / "mine"
    render(template, folder, starter="language_model", config="pydantic")
    for old, new in [("default=256", "default=32"), ("default=4,", "default=1,")]:  # faster
        replace(folder / "src/mine/settings.py", old, new)
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    command, pipe = [str(ENVIRONMENT / "bin/python"), "-c", WORKER], subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield Project(folder, "language_model", process)
        process.kill()


def prose(paragraphs: int, words: int, seed: int = 0) -> str:
    """Paragraphs between blank lines, each of a few lines."""
    rng = random.Random(seed)
    lines = [" ".join(rng.choices(WORDS, k=words)) for _ in range(4 * paragraphs)]
    return "\n\n".join("\n".join(lines[n : n + 4]) for n in range(0, len(lines), 4)) + "\n"


def texts(examples: dict[str, Any]) -> dict[str, str]:
    return {id_: bytes(example.inputs).decode() for id_, example in examples.items()}


def validate(project: Project, path: Path, *options: str) -> str:
    code, output = project.ask(f"command{('validate', f'--data.path={path}', *options)}")
    assert code == 0, output
    return output


# --- documents -----------------------------------------------------------------------------------


def test_a_play_in_one_file_is_cut_into_blocks_of_lines(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "play.txt"
    path.write_text(play := prose(900, words=5), encoding="utf-8")
    documents = texts(project.read(path))
    assert "".join(documents.values()) == play
    assert len(documents) > 50
    assert all(text.endswith("\n") for text in documents.values())
    *_, last = documents
    line = int(last.rpartition(" ")[2])
    assert "".join(play.splitlines(keepends=True)[line - 1 :]) == documents[last]
    assert "A document is a block of about 1" in validate(project, path)


def test_long_sections_are_cut_at_blank_lines(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_text(stories := prose(120, words=70).replace("\n\n", "\n \n\n\n"), encoding="utf-8")
    documents = texts(project.read(path))
    assert [text.strip() for text in documents.values()] == stories.strip().split("\n \n\n\n")
    assert [*documents][:2] == ["stories.txt, line 1", "stories.txt, line 8"]
    assert "A document is what is between two blank lines" in validate(project, path)


def test_a_separator_that_is_set_ends_a_document(project: Project, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one", "", "more", "<|endoftext|>", "two")
    separator = {"separator": "<|endoftext|>"}
    assert [*texts(project.read(path, **separator)).values()] == ["one\n\nmore\n", "two\n"]
    problem = project.read(path, separator="----")[str(path)].problem
    assert problem == "has no line '----': change data.separator"


def test_a_text_of_a_single_line_is_cut_too(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "text8.txt"
    path.write_text(line := prose(500, words=9).replace("\n", " "), encoding="utf-8")
    documents = texts(project.read(path))
    assert "".join(documents.values()) == line
    assert len(documents) > 50
    assert [*documents][1] == "text8.txt, line 1, part 2"


def test_few_long_files_are_cut_and_many_are_not(project: Project, tmp_path: Path) -> None:
    for number in range(19):
        (tmp_path / f"{number:02}.txt").write_text(prose(30, words=9, seed=number))
    assert len(project.read(tmp_path)) > 100
    (tmp_path / "19.txt").write_text("short\n")
    assert len(project.read(tmp_path)) == 20


def test_json_lines_have_a_document_each(project: Project, tmp_path: Path) -> None:
    rows = ['{"text": "Grüße\\n", "id": 7}', "", '{"title": "no text"}', '{"text": "b"}', "{"]
    documents = project.read(write(tmp_path / "a.jsonl", *rows))
    assert documents.pop("a.jsonl, line 3").problem == 'isn\'t JSON such as {"text": "…"}'
    assert documents.pop("a.jsonl, line 5").problem == 'isn\'t JSON such as {"text": "…"}'
    assert texts(documents) == {"a.jsonl, line 1": "Grüße\n", "a.jsonl, line 4": "b"}


def test_a_split_by_position_holds_out_the_end(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text(prose(900, words=5), encoding="utf-8")
    examples = project.read(path, split="position", validation_fraction=0.2)
    order = [example.split for example in examples.values()]
    assert order == sorted(order, key=["train", "validation", "test"].index)
    shares = [order.count(split) / len(order) for split in ("train", "validation", "test")]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.02)


def test_files_in_hidden_folders_are_not_read(project: Project, tmp_path: Path) -> None:
    for name in (".git/config", "a/.venv/b.txt", ".c", "a/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert [*project.read(tmp_path)] == ["a/d.txt"]
    new = project.ask(f"[*map(plain, source.read_new(Path({str(tmp_path)!r}), config.data))]")
    assert [example.id for example in new] == ["a/d.txt"]


# --- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Les œuvres complètes : « été »\n"),
        ("euc-jp", JAPANESE),
        ("shift_jis", JAPANESE),
        ("utf-16le", JAPANESE),
        ("utf-16be", JAPANESE),
    ],
)
def test_another_encoding_is_named_with_what_converts_it(
    encoding: str, text: str, project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "my text.txt"
    path.write_bytes(("plain\n" + text).encode(encoding))
    (unreadable,) = project.read(path).values()
    assert f"iconv -f {encoding} -t utf-8 '{path}' > converted.txt" in unreadable.problem
    command = f"iconv -f {encoding} -t utf-8 '{path}'"
    assert subprocess.run(command, shell=True, capture_output=True).stdout.decode()[6:] == text
    (document,) = texts(project.read(path, encoding=encoding)).values()
    assert document == "plain\n" + text


def test_the_place_that_cannot_be_decoded_is_found_in_a_long_file(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"a line\n" * 70_000 + b"caf\xe9\n" + b"a line\n" * 9)
    for documents in ("file", "block"):
        *_, problem = project.read(path, documents=documents).values()
        assert problem.problem.startswith("line 70001, byte 490003 (0xe9) isn't UTF-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding_and_is_dropped(
    encoding: str, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(JAPANESE.encode(encoding))
    assert texts(project.read(tmp_path, encoding="cp1252")) == {"a.txt": JAPANESE}


def test_an_encoding_applies_to_files_that_are_not_utf_8(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("déjà vu".encode())
    (tmp_path / "b.txt").write_bytes("déjà vu".encode("latin-1"))
    assert {*texts(project.read(tmp_path, encoding="latin-1")).values()} == {"déjà vu"}
    with pytest.raises(ValueError, match=r"data\.encoding = 'latin-11': unknown encoding"):
        project.read(tmp_path, encoding="latin-11")


# --- tokenizers ----------------------------------------------------------------------------------


def test_a_tokenizer_is_imported_only_where_it_is_used(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "play.txt"
    path.write_text(prose(300, words=5), encoding="utf-8")
    validate(project, path)
    assert not project.ask("'tokenizers' in sys.modules")


BPE = ("--data.tokenizer=bpe", "--data.vocabulary-size=300")


def cached(folder: Path, output: str) -> tuple[dict[str, Any], bytes]:
    """The schema and the training tokens of the cache that `validate` has named."""
    (cache,) = (line for line in output.splitlines() if line.startswith("Result: "))
    path = folder / cache.removeprefix("Result: ")
    schema = json.loads((path / "schema.json").read_text(encoding="utf-8"))
    return schema, (path / "train.tokens").read_bytes()


def test_a_tokenizer_is_trained_on_the_training_split_and_always_the_same(
    project: Project, tmp_path: Path
) -> None:
    for number in range(60):
        text = prose(9, words=9, seed=number)
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    splits = {id_: example.split for id_, example in project.read(tmp_path).items()}
    schema, tokens = cached(project.folder, validate(project, tmp_path, *BPE))
    assert schema["vocabulary_size"] == 300

    command = [forks.PYTHON, "-m", "mine.cli", "validate", "--cache-dir=other"]
    environment = {**os.environ, "PYTHONPATH": "src"}
    command = [*command, f"--data.path={tmp_path}", *BPE]
    again = forks.run(
        command, cwd=project.folder, env=environment, text=True, check=True, stdout=subprocess.PIPE
    ).stdout
    assert cached(project.folder, again) == (schema, tokens)

    for split, is_same in (("test", True), ("train", False)):
        name = next(id_ for id_, other in splits.items() if other == split)
        (tmp_path / name).unlink()
        output = validate(project, tmp_path, *BPE)
        assert (cached(project.folder, output) == (schema, tokens)) == is_same


def test_a_run_with_a_trained_tokenizer_predicts_without_its_data(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "play.txt"
    path.write_text(prose(900, words=5), encoding="utf-8")
    steps = [f"--training.{step}" for step in (*STEPS, "workers=2")]
    command = ("train", "--run-name=bpe", f"--data.path={path}", *BPE, *steps)
    code, output = project.ask(f"command{command}")
    assert code == 0, output
    code, output = project.ask("command('evaluate', 'runs/bpe')")
    assert code == 0, output
    metrics = json.loads((project.folder / "runs/bpe/metrics.json").read_text(encoding="utf-8"))
    assert 1 < metrics["metrics"]["bits_per_byte"]["value"] < 8

    path.rename(new := tmp_path / "new.txt")
    output = tmp_path / "predictions.csv"
    code, text = project.ask(f"command{('predict', 'runs/bpe', str(new), f'--output={output}')}")
    assert code == 0, text
    with output.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert 1 < float(row["bits_per_byte"]) < 8
    assert any(word in row["continuation"] for word in WORDS)


def test_text_comes_back_from_trained_tokens(project: Project) -> None:
    texts = [prose(9, words=9), JAPANESE, "<|endoftext|> \t\r\n  e\u0301", ""]
    encoded = [text.encode() for text in texts]
    project.ask(
        "globals().update(tokenizer=tokenizer.load_tokenizer(tokenizer.train_tokenizer("
        f"{encoded!r}, source.schema(config.data))))",
        tokenizer="bpe",
        vocabulary_size=400,
    )
    for text in texts:
        decoded = project.ask(f"[*tokenizer.decode(tokenizer.encode({text.encode()!r}))]")
        assert bytes(decoded).decode() == text
    assert 257 < project.ask("tokenizer.size") < 400, "there is little text"
