"""Data that isn't what one thinks: links, pipes, odd names, programs in disguise, broken tables."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from test_projects import pytestmark as needs_environment
from test_starters import Project, of, project, save, write

__all__ = ["project"]  # the fixture

pytestmark = needs_environment
RNG = np.random.default_rng(0)
NOT_UTF8 = b"\xff\xfe".decode(errors="surrogateescape")


def save_all(folder: Path, *names: str) -> Path:
    for name in names:
        save(RNG.integers(0, 256, (8, 8), dtype=np.uint8), folder / name)
    return folder


def validate(project: Project, path: Path, *options: str) -> tuple[int, str]:
    code, output = project.ask(f"command{('validate', f'--data.path={path}', *options)!r}")
    return code, output


def in_one_line(project: Project, path: Path, **data: object) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the caller looks at the message
        project.read(path, **data)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    return str(error.value)


# --- every starter --------------------------------------------------------------------------------


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_read_again(
    project: Project, tmp_path: Path
) -> None:
    path = project.write(tmp_path / "data.csv", ["a1", "a2", "a3"])
    file = path if path.is_file() else next(path.rglob("a1*"))
    before = project.ask("source.fingerprint(config.data)", path=path)
    assert project.ask("source.fingerprint(config.data)", path=path) == before
    status = file.stat()
    other = tmp_path / "other"
    other.write_bytes(file.read_bytes()[::-1])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert project.ask("source.fingerprint(config.data)", path=path) != before


@pytest.mark.parametrize("kind", ["pipe", "device", "dangling", "circle"])
def test_what_is_no_file_is_named_and_never_waited_for(
    kind: str, project: Project, tmp_path: Path
) -> None:
    suffix = {"image": ".png", "language_model": ".txt"}.get(project.starter, ".csv")
    path = tmp_path / f"given{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        targets = {"device": "/dev/zero", "dangling": "/nothing", "circle": path}
        path.symlink_to(targets[kind])
    if project.starter in ("tabular", "blank"):
        assert str(path) in in_one_line(project, path)
    elif project.starter == "language_model":
        (example,) = project.read(tmp_path).values()
        assert "a link to nothing, a pipe or a device" in example.problem
    new = f"[*map(plain, source.read_new(Path({str(path)!r}), config.data))]"
    try:
        (example,) = project.ask(new)
        assert example.problem
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("folder", ["~/cache", "$HOME/cache", "${USER}", "a/$B/c"])
def test_a_cache_is_never_made_in_a_folder_named_after_home_or_a_variable(
    folder: str, project: Project
) -> None:
    code, output = project.ask(f"command('validate', '--cache-dir={folder}')")
    assert code == 2
    assert output == f"cache_dir = '{folder}': expected a path without ~ and $NAME\n"
    assert not {"~", "$HOME", "${USER}", "a"} & {path.name for path in project.folder.iterdir()}


# --- images ---------------------------------------------------------------------------------------


@of("image")
def test_images_behind_links_are_found_and_links_in_circles_end(
    project: Project, tmp_path: Path
) -> None:
    root = save_all(tmp_path / "images", *(f"{c}/{n}.png" for c in "ab" for n in range(35)))
    save_all(tmp_path / "elsewhere", *(f"deep/{n}.png" for n in range(50)))
    save_all(tmp_path / "single", "one.png")
    (root / "a/linked").symlink_to(tmp_path / "elsewhere")
    (root / "a/one.png").symlink_to(tmp_path / "single/one.png")
    (root / "c").symlink_to(tmp_path / "single")
    for name in ("here", "again"):
        (root / "a" / name).symlink_to(".")
        (root / "b" / name).symlink_to("..")
    examples = project.read(root)
    assert len(examples) == 70 + 50 + 2
    assert "a/linked/deep/7.png" in examples


@of("image")
def test_links_to_nothing_are_counted_and_named(project: Project, tmp_path: Path) -> None:
    root = save_all(tmp_path, *(f"{c}/{n}.png" for c in "ab" for n in range(60)))
    for number in range(40):
        (root / f"b/gone{number}.png").symlink_to("/nothing")
    os.mkfifo(root / "a/pipe.png")
    code, output = validate(project, root)
    assert code == 2
    assert "Problems with the data: 41\n" in output
    assert output.count("b/gone") >= 40
    assert "a/pipe.png: an empty file, a pipe or a device" in output


@of("image")
def test_files_that_are_no_example_are_counted(project: Project, tmp_path: Path) -> None:
    root = save_all(tmp_path, "a/1.png", "b/2.png", "loose.png", "b/.ipynb_checkpoints/3.png")
    (root / "c").symlink_to("/nothing")  # the folder of a class
    (root / "a/photo.jpq").write_bytes(b"")
    assert list(project.read(root)) == ["a/1.png", "b/2.png"]
    _, output = validate(project, root)
    assert "Warning: 3 files that aren't named as images, or in no folder of a class," in output


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


def png(width: int, height: int) -> bytes:
    """An image of one bit per pixel, all black: some kilobytes for a billion pixels."""
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@of("image")
def test_an_image_never_starts_a_program(project: Project, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "bin").mkdir()
    script = write(tmp_path / "bin/gs", "#!/bin/sh", f"touch {ran}")
    script.chmod(0o755)
    project.ask(f"__import__('os').environ.update(PATH={str(tmp_path / 'bin')!r})")
    root = save_all(tmp_path / "images", "a/1.png", "b/2.png")
    for name in ("a/evil.png", "a/evil.eps", "b/evil.jpg"):
        (root / name).write_bytes(POSTSCRIPT)
    examples = project.read(root)
    assert list(examples) == ["a/1.png", "a/evil.png", "b/2.png", "b/evil.jpg"]
    assert "cannot identify image file" in examples["a/evil.png"].problem
    assert not ran.exists()


@of("image")
def test_a_decompression_bomb_is_one_line(project: Project, tmp_path: Path) -> None:
    root = save_all(tmp_path, "a/1.png", "b/2.png")
    (root / "a/large.png").write_bytes(png(10_000, 10_000))
    (root / "a/bomb.png").write_bytes(png(30_000, 30_000))
    examples = project.read(root)
    assert np.shape(examples["a/large.png"].inputs) == (8, 8)
    assert "DecompressionBombError" in examples["a/bomb.png"].problem
    _, output = validate(project, root)
    assert output.count("Bomb") == 1


@of("image")
def test_classes_whose_names_are_not_utf8_or_not_in_the_font_are_drawn_with_escapes(
    project: Project, tmp_path: Path
) -> None:
    names = (NOT_UTF8, "日本", "x\x1b[31mred\n")
    root = save_all(tmp_path, *(f"{c}/{n}.png" for c in names for n in range(60)))
    options = ["--training.max-steps=3", "--training.warmup-steps=0", "--run-name=names"]
    for arguments in (
        ["train", f"--data.path={root}", *options],
        ["evaluate", "runs/names"],
    ):
        code, output = project.ask(f"command(*{arguments})")
        assert code == 0, output
        assert "missing from font" not in output
    folder = project.folder / "runs/names"
    assert (folder / "mistakes.png").exists()
    assert "\\udcff" in (folder / "predictions.csv").read_text(encoding="utf-8")


LISTS: dict[str, tuple[str, str]] = {
    "twice.csv": ("file,label,label\n1.png,a,b\n", "two columns of one name"),
    "short.csv": ("file,label\n1.png,a\n2.png\n", "too many or too few cells"),
    "long.csv": ("file,label\n1.png,a\n2.png,b,c\n", "too many or too few cells"),
    "header.csv": ("file,label\n", "expected rows"),
    "empty.csv": ("", "expected rows"),
    "deep.json": ("[" * 10**5, "recursion"),
    "missing.json": ('[{"file": "1.png", "label": "a"}, {"file": "2.png"}]', "no column label"),
    "number.json": ("5", "can't be read"),
}


@of("image")
def test_a_broken_list_of_images_is_one_line(project: Project, tmp_path: Path) -> None:
    save_all(tmp_path, "1.png", "2.png")
    for name, (text, message) in LISTS.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert message in in_one_line(project, path), name
    os.mkfifo(tmp_path / "splits.csv")
    path = write(tmp_path / "labels.csv", ",file,label", "0,1.png,a", "1,2.png,b")
    assert len(project.read(path)) == 2, "pandas' row numbers don't matter"
    assert "a pipe" in in_one_line(project, path, split=tmp_path / "splits.csv")


# --- texts ----------------------------------------------------------------------------------------


@of("language_model")
@pytest.mark.parametrize("pattern", ["", "/**/*.txt", "/**", "/*/*.txt"])
def test_texts_behind_links_are_found_once_and_links_in_circles_end(
    pattern: str, project: Project, tmp_path: Path
) -> None:
    root, elsewhere = tmp_path / "texts", tmp_path / "elsewhere"
    for folder in (root / "a", root / ".hidden", elsewhere):
        folder.mkdir(parents=True)
        for number in range(15):
            write(folder / f"{number}.txt", f"{folder.name} {number} " * 50)
    (root / "linked").symlink_to(elsewhere)
    if pattern != "/*/*.txt":
        for name in ("here", "again", "once_more"):  # 3 to the power of 40 paths
            (root / name).symlink_to(".")
            (root / "a" / name).symlink_to("..")
    write(root / "a" / f"{NOT_UTF8}.txt", "of a name that isn't UTF-8 " * 50)
    examples = project.read(Path(f"{root}{pattern}"), documents="file")
    assert len(examples) == 31
    assert {id_ for id_ in examples if id_.endswith("/7.txt")} == {"a/7.txt", "linked/7.txt"}


@of("language_model")
def test_a_pattern_with_two_double_stars_is_refused(project: Project, tmp_path: Path) -> None:
    assert "has ** twice" in in_one_line(project, Path(f"{tmp_path}/**/a/**/b.txt"))


@of("language_model")
@pytest.mark.parametrize(
    "line",
    ["[" * 10**5, '{"text": ' + "9" * 10**5 + "}", '{"text": "\\ud800"}', '{"text": 5}', "5"],
)
def test_a_broken_line_of_json_is_named(line: str, project: Project, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "good"}', line)
    good, bad = project.read(path).values()
    assert bytes(good.inputs) == b"good"
    assert bad.problem.startswith("isn't JSON such as")


# --- a table of the blank starter -----------------------------------------------------------------

ROW = "iris,5.1,3.5,1.4,0.2,setosa"
NAMES = "id,sepal_length,sepal_width,petal_length,petal_width,label"
LINES: dict[str, tuple[str, str]] = {
    "a cell of 10 MB": (f"{NAMES}\nx,{'9' * 10**7}x,1,1,1,setosa\n", "could not convert string"),
    "zeros": (f"{NAMES}\nx,1\0,1,1,1,setosa\n", "could not convert string"),
    "few cells": (f"{NAMES}\nx,1\n", "2 cells, expected 6"),
    "many cells": (f"{NAMES}\n{ROW},1\n", "7 cells, expected 6"),
}


@of("blank")
def test_a_broken_line_of_a_table_is_named_in_short(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for name, (text, message) in LINES.items():
        path.write_text(f"{text}{ROW}\n", encoding="utf-8")
        bad, good = project.read(path).values()
        assert message in bad.problem, name
        assert len(bad.problem) <= 200, name
        assert good.target == 0
    path.write_text(f"{NAMES},label\n{ROW},setosa\n", encoding="utf-8")
    assert "not one column label" in in_one_line(project, path)
    path.write_text(f",{NAMES}\n0,{ROW}\n", encoding="utf-8")
    assert list(project.read(path)) == ["iris"], "pandas' row numbers don't matter"


# --- what was learned from the data ---------------------------------------------------------------

SCHEMAS = ["", "{", "[]", "5", '"x"', "null", "{}", '{"shape": 5}', '{"owned": 1}', "[" * 10**5]


@of("blank")
def test_a_damaged_schema_is_one_line(project: Project, tmp_path: Path) -> None:
    question = (
        f"__import__('mine.data.validation').data.validation.Schema.load(Path({str(tmp_path)!r}))"
    )
    for text in SCHEMAS:
        (tmp_path / "schema.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"schema\.json: can't be read: "):
            project.ask(question)
    os.truncate(tmp_path / "schema.json", 2**31)
    with pytest.raises(ValueError, match=r"schema\.json: can't be read: expected a file of at"):
        project.ask(question)
    (tmp_path / "schema.json").unlink()
    os.mkfifo(tmp_path / "schema.json")
    with pytest.raises(ValueError, match=r"schema\.json: can't be read: expected a file of at"):
        project.ask(question)


@of("blank")
def test_the_summary_of_checks_counts_those_that_failed(project: Project) -> None:
    for passed, summary in (
        (True, "Passed: 2 of 2 checks\n"),
        (False, "Failed: 1 of 2 checks\n"),
    ):
        checks = [(True, "one"), (passed, "two")]
        step = f"lambda args, config: cli.report_checks({checks}, 'plot', 'next')"
        replaced = f"cli.COMMANDS.update(features={step})"
        _, output = project.ask(f"[{replaced}, command('features')][1]")
        assert summary in output
    project.ask("cli.COMMANDS.update(features=cli.features)")
