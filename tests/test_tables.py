"""The tabular starter takes an owner's own table as it is: no code is edited for any of these."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rendering import render
from test_projects import ENVIRONMENT, pytestmark
from test_starters import WORKER, Project, replace

__all__ = ["pytestmark"]

SEED = np.random.default_rng(0)
ROWS = 120
TABLE = pl.DataFrame(
    {
        "width": [f"{width:.2f}" for width in SEED.uniform(0, 9, ROWS)],
        "color": [("red", "green", "blue")[number % 3] for number in range(ROWS)],
        "label": [("yes", "no")[number % 2] for number in range(ROWS)],
    }
)
"""As text, which every format can hold."""


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("tables") / "mine"
    render(template, folder, starter="tabular", config="dataclass")
    replace(folder / "src/mine/settings.py", '"progression"', '"label"')
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [str(ENVIRONMENT / "bin/python"), "-c", WORKER],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Project(folder, "tabular", process)
        process.kill()


def schema(project: Project, path: Path, **data: object) -> dict[str, Any]:
    """What is inferred; as a plain dictionary."""
    text = project.ask(
        "json.dumps(dataclasses.asdict(source.schema(config.data)))", path=path, **data
    )
    return json.loads(text)


def kinds(project: Project, path: Path, **data: object) -> dict[str, Any]:
    return schema(project, path, **data)["learned"]


def problem(project: Project, path: Path, **data: object) -> str:
    """The message of the error, which has one line."""
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the caller matches it
        project.read(path, **data)
    assert "\n" not in str(error.value)
    return str(error.value)


def write(path: Path, **columns: object) -> Path:
    pl.DataFrame(columns).write_csv(path)
    return path


# --- reading -------------------------------------------------------------------------------------

CSV = TABLE.write_csv()
FORMATS = {
    "comma.csv": CSV.encode(),
    "semicolon.csv": CSV.replace(",", ";").encode(),
    "tab.tsv": CSV.replace(",", "\t").encode(),
    "bar.txt": CSV.replace(",", "|").encode(),
    "decimal-comma.csv": CSV.replace(",", ";").replace(".", ",").encode(),
    "windows.csv": CSV.replace("\n", "\r\n").encode(),
    "mac.csv": CSV.replace("\n", "\r").encode(),
    "spaces.csv": CSV.replace(",", ", ").encode(),
    "bom.csv": codecs.BOM_UTF8 + CSV.encode(),
    "utf-16.csv": CSV.encode("utf-16"),
    "packed.csv.gz": gzip.compress(CSV.encode()),
    "packed-utf-16.tsv.gz": gzip.compress(CSV.replace(",", "\t").encode("utf-16")),
}


def test_a_table_is_the_same_in_every_format(project: Project, tmp_path: Path) -> None:
    TABLE.with_columns(pl.col("width").cast(pl.Float64)).write_parquet(tmp_path / "a.parquet")
    expected = project.read(tmp_path / "a.parquet")
    assert len(expected) == ROWS
    for name, content in FORMATS.items():
        (tmp_path / name).write_bytes(content)
        for id_, row in project.read(tmp_path / name).items():
            np.testing.assert_array_equal(row.inputs, expected[id_].inputs, name)
            assert (row.target, row.split) == (expected[id_].target, expected[id_].split), name


def test_another_encoding_is_a_setting_and_otherwise_named_with_the_command_that_converts_it(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(CSV.replace("green", "grün").encode("latin-1"))
    text = problem(project, path)
    assert "byte 0xfc isn't utf-8" in text
    assert f"iconv -f latin1 -t utf-8 {path} > latin-utf8.csv" in text
    rows = project.read(path, encoding="latin-1")
    assert {row.metadata.color for row in rows.values()} == {"red", "grün", "blue"}
    assert "unknown encoding" in problem(project, path, encoding="latin-15000")


def zipped(size: int) -> bytes:
    """An Excel file is a ZIP archive."""
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(9))
        archive.filelist[0].file_size = size  # as the list of files says
    return buffer.getvalue()


UNREADABLE = {
    "empty.csv": (b"", "an empty file"),
    "header.csv": (b"a,label\n", "no row below the names of the columns"),
    "unused.csv": (b"a,label\n" + 9 * b"1,2\n" + b"1,3\n", "no column is left to learn from"),
    "one.csv": (b"a label\n1 2\n3 4\n", "one column; expected cells separated by"),
    "numbers.csv": (b"1,2\n3,4\n5,6\n", "expected 2 column names in the first line, got '1,2"),
    "short.csv": (b"a,label\n1,2,3\n4,5,6\n7,8,9\n", "expected 3 column names in the first line"),
    "binary.csv": (b"a,b\0\0\0,label\n", "a binary file"),
    "excel.csv": (b"\xff" + zipped(9), "rename it if it is no text"),
    "old.csv": (b"\xd0\xcf\x11\xe0" + bytes(9), "rename it if it is no text"),
    "old.xls": (b"\xd0\xcf\x11\xe0" + bytes(9), "expected an existing file that ends in .csv"),
    "old.xlsx": (b"\xd0\xcf\x11\xe0" + bytes(9), "can't be read: File is not a zip file"),
    "torn.xlsx": (zipped(9)[:40], "can't be read: File is not a zip file"),
    "other.xlsx": (zipped(9), "can't be read: "),
    "bomb.xlsx": (zipped(2**31), "unpacks to over 512 MiB; save it as CSV"),
    "torn.csv.gz": (gzip.compress(CSV.encode())[:99], "can't be read"),
    "torn.parquet": (b"PAR1", "can't be read"),
    "ragged.csv": (b"a,label\n" + 99 * b"1,2\n" + b"1,2,3\n", "can't be read"),
    "table.doc": (b"", "expected an existing file that ends in .csv"),
    "twice.csv": (b"a,a,label\n" + 9 * b"1,2,3\n", "two columns have the name 'a'"),
    "spaces.csv": (b"a, a,label\n" + 9 * b"1,2,3\n", "two columns have the name 'a'"),
    "target.csv": (b"label,a,label\n" + 9 * b"1,2,3\n", "two columns have the name 'label'"),
    "zero.csv": (CSV.encode() + b"1\x00.5,red,yes\n", "a binary file"),
    "quote.csv": (CSV.encode() + b'1.5,"red,yes\n' + 9 * b"1.5,red,yes\n", "can't be read"),
}


def test_what_cannot_be_read_is_named_in_one_line(project: Project, tmp_path: Path) -> None:
    for name, (content, message) in UNREADABLE.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert message in problem(project, path), name


@pytest.mark.parametrize("name", ["d[1].csv", "d*.csv", "d?.csv", "d[1].parquet"])
def test_a_name_is_never_a_pattern(name: str, project: Project, tmp_path: Path) -> None:
    other = TABLE.with_columns(width=pl.lit("1.5"))
    for path, table in ((tmp_path / name, TABLE), (tmp_path / f"d1{Path(name).suffix}", other)):
        if path.suffix == ".csv":
            table.write_csv(path)
        else:
            table.write_parquet(path)
    widths = {row.metadata.width for row in project.read(tmp_path / name).values()}
    assert len(widths) > 50


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "__index_level_0__"])
def test_the_row_numbers_of_pandas_are_named_and_left_out(
    index: str, project: Project, tmp_path: Path
) -> None:
    # Of a table of which some rows were left out, so that they have gaps.
    numbers = pl.Series(index, [str(7 * number) for number in range(ROWS)])
    with_index, without = tmp_path / "with.csv", tmp_path / "without.csv"
    TABLE.select(numbers, pl.all()).write_csv(with_index)
    TABLE.write_csv(without)
    assert kinds(project, with_index)[index] == "unused: pandas' row numbers"
    examples = project.read(without).values()
    for known, new in ((with_index, without), (without, with_index)):
        question = f"[*map(plain, source.read_new(Path({str(new)!r}), config.data))]"
        read = project.ask(question, path=known)
        assert [row.inputs for row in read] == [row.inputs for row in examples]


NOT_UTF8 = b"\xff.csv".decode(errors="surrogateescape")


def test_a_table_whose_name_is_not_utf8_is_read(project: Project, tmp_path: Path) -> None:
    for path in (tmp_path / NOT_UTF8, tmp_path / "known.csv"):
        path.write_text(CSV, encoding="utf-8")
    question = f"[*map(plain, source.read_new(Path({str(tmp_path / NOT_UTF8)!r}), config.data))]"
    assert len(project.ask(question, path=tmp_path / "known.csv")) == ROWS


def test_a_cell_of_ten_megabytes_is_read_and_quoted_in_short(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(f"{CSV}{'x' * 10**7},red,yes\n1.5,{'y' * 10**7},no\n", encoding="utf-8")
    *_, wrong, right = project.read(path).values()
    assert wrong.problem.startswith("width = 'xxx")
    assert len(wrong.problem) < 200
    assert right.metadata.width == 1.5


def test_empty_cells_may_be_spelled_in_many_ways(project: Project, tmp_path: Path) -> None:
    spellings = ["", "NA", "N/A", "NaN", "nan", "null", "None", "-", "?"]
    path = tmp_path / "missing.csv"
    lines = [f"{number}.5,x{number % 2},{number % 2}" for number in range(50)]
    lines += [f"{spelling},{spelling},1" for spelling in spellings]
    path.write_text("\n".join(["a,b,label", *lines]) + "\n", encoding="utf-8")
    rows = list(project.read(path).values())
    assert np.isnan(np.array([row.inputs for row in rows[-9:]], float)).all()
    assert kinds(project, path) == {"a": "number", "b": "category", "label": ["0", "1"]}


# --- columns -------------------------------------------------------------------------------------


def test_kinds_are_inferred_and_what_is_left_out_is_listed_with_the_reason(
    project: Project, tmp_path: Path
) -> None:
    numbers = range(200)
    path = write(
        tmp_path / "kinds.csv",
        index=list(numbers),
        customer_id=[number * 7919 % 100_003 for number in numbers],
        price=[number * 0.37 % 9 for number in numbers],
        count=[number % 40 for number in numbers],
        city=[f"city {number % 9}" for number in numbers],
        zip=[f"0{number % 20:04}" for number in numbers],
        paid=[str(number % 3 == 0) for number in numbers],
        born=[f"{1 + number % 28}.{1 + number % 12}.{1990 + number % 9}" for number in numbers],
        seen=[f"2020-01-{1 + number % 28:02}T{number % 24:02}:30:00Z" for number in numbers],
        comment=[f"the customer said {number}" for number in numbers],
        country=["Latvia" for _ in numbers],
        nothing=["" for _ in numbers],
        label=[f"class {number % 3}" for number in numbers],
    )
    assert kinds(project, path) == {
        "index": "unused: an id, a different number in each row",
        "customer_id": "unused: an id, a different number in each row",
        "price": "number",
        "count": "number",
        "city": "category",
        "zip": "category",
        "paid": "category",
        "born": "date %d.%m.%Y",
        "seen": "date %Y-%m-%d",
        "comment": "unused: text with 200 values",
        "country": "unused: all cells are equal",
        "nothing": "unused: no cell has a value",
        "label": ["class 0", "class 1", "class 2"],
    }
    row = project.read(path)["row 30"]
    born, seen = [pair[0] for pair in row.inputs[5:10]], [pair[0] for pair in row.inputs[10:]]
    assert born == [1992, 6, 2, 2, 0]  # 2 June 1992 was a Tuesday
    assert seen == [2020, 1, 2, 4, 5]


def test_a_few_cells_that_do_not_fit_are_errors_and_no_reason_for_another_kind(
    project: Project, tmp_path: Path
) -> None:
    numbers = [str(number * 0.5) for number in range(199)]
    days = ["2.1.2024", *(f"2024-01-{1 + number % 28:02}" for number in range(199))]
    ids = ["x1", *(f"x{number}" for number in range(199))]
    path = write(tmp_path / "a.csv", id=ids, day=days, a=["oops", *numbers], label=[0, 1] * 100)
    found = kinds(project, path)
    assert found["id"] == "id", "validate lists the id that occurs twice"
    assert found["day"] == "date %Y-%m-%d"
    path = write(tmp_path / "b.csv", a=["oops", *numbers], label=[0, 1] * 100)
    assert kinds(project, path)["a"] == "number"
    assert project.read(path)["row 1"].problem == "a = 'oops': expected a number"


def test_validate_prints_a_block_that_states_the_columns_in_settings(
    project: Project, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", a=[0.5, 1.5, 2] * 40, b=["x", "y"] * 60, label=[0, 1] * 60)
    code, output = project.ask(f"command('validate', '--data.path={path}')")
    assert code == 2, "rows with equal cells share a split, so some are empty"
    _, *block, task = schema(project, path)["notes"]
    assert task.startswith("Of label, the most probable class (of two, the one above 0.5)")
    assert "\n".join(block) in output
    stated: dict[str, Any] = {}
    exec("\n".join(block), {"Any": Any}, stated)
    assert stated["COLUMNS"] == {"a": "number", "b": "category", "label": ["0", "1"]}
    assert '    "label": ["0", "1"],' in output, "in the quotes that `ruff format` asks for"


def test_validate_prints_the_first_of_many_columns_and_counts_the_others(
    project: Project, tmp_path: Path
) -> None:
    columns = {f"c{n}": [row * n % 97 + 0.5 for row in range(120)] for n in range(99)}
    path = write(tmp_path / "wide.csv", **columns)
    validate = f"command('validate', '--data.path={path}', '--data.target=c98')"
    _, output = project.ask(validate)
    assert '"c27": "number"' in output
    assert '"c28"' not in output
    assert "… and 63 lines more; schema.json has all of them\n" in output
    assert '"c98": "number",  # the target' in output


def test_a_wrong_target_or_group_is_one_line_with_the_nearest_column(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV, encoding="utf-8")
    assert problem(project, path, target="lable").endswith("no such column; did you mean label?")
    assert problem(project, path, group="colour").endswith("no such column; did you mean color?")
    assert problem(project, path, split="colr").endswith("did you mean color?")


def test_text_and_few_whole_numbers_are_classes_unless_the_task_is_stated(
    project: Project, tmp_path: Path
) -> None:
    numbers = range(60)
    path = write(
        tmp_path / "a.csv",
        x=[number / 7 for number in numbers],
        few=[number % 4 for number in numbers],
        many=[number % 40 for number in numbers],
        text=["no" if number % 2 else "yes" for number in numbers],
        name=[f"name {number}" for number in numbers],
    )

    def classes(target: str, task: str = "auto") -> list[str]:
        return schema(project, path, target=target, task=task)["classes"]

    assert classes("few") == ["0", "1", "2", "3"]
    assert classes("few", "regression") == []
    assert classes("many") == classes("x") == []
    assert classes("many", "classification") == [str(number) for number in range(40)]
    assert classes("text") == ["no", "yes"]
    assert "unused: text with 60 values" in problem(project, path, target="name")
    assert "expected a number" in problem(project, path, target="text", task="regression")


def test_rows_without_a_target_are_left_out_and_counted(project: Project, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", x=[1.5, 2.5, 3.5] * 40, label=[1.25, None, 2.5] * 40)
    assert len(project.read(path)) == 80
    assert "40 rows without label are left out." in schema(project, path)["notes"]


# --- splits --------------------------------------------------------------------------------------


def test_splits_are_those_of_a_column_or_of_a_file_of_ids(project: Project, tmp_path: Path) -> None:
    names = ["train", "val", "dev", "test", "Train", "validation"] * 20
    expected = ["train", "validation", "validation", "test", "train", "validation"] * 20
    ids = [f"a{number}" for number in range(ROWS)]
    path = tmp_path / "a.csv"
    TABLE.with_columns(id=pl.Series(ids), fold=pl.Series(names)).write_csv(path)
    rows = project.read(path, split="fold")
    assert [row.split for row in rows.values()] == expected
    assert kinds(project, path, split="fold")["fold"].startswith("unused")

    TABLE.with_columns(id=pl.Series(ids)).write_csv(path)
    splits = write(tmp_path / "splits.csv", id=ids[1:][::-1], split=names[1:][::-1])
    rows = project.read(path, split=str(splits))
    assert rows["a0"].problem.startswith(f"{splits} is missing: expected one of train")
    assert [rows[id_].split for id_ in ids[1:]] == expected[1:]


def test_a_numeric_group_of_zero_is_a_group(project: Project, tmp_path: Path) -> None:
    groups = [float(number % 3) for number in range(ROWS)]
    table = TABLE.with_columns(household=pl.Series(groups))
    table.write_parquet(tmp_path / "a.parquet")
    rows = project.read(tmp_path / "a.parquet", group="household").values()
    assert {row.group for row in rows} == {"0.0", "1.0", "2.0"}
    assert len({(row.group, row.split) for row in rows}) == 3
    assert "household" not in vars(next(iter(rows)).metadata), "it is no input"


# --- training ------------------------------------------------------------------------------------


def table_of(path: Path, numbers: list[int]) -> Path:
    """Equal numbers make equal rows."""
    rngs = {number: np.random.default_rng(number) for number in numbers}
    return write(
        path,
        id=[f"a{number}" for number in numbers],
        x=[rngs[number].uniform(0, 1000) for number in numbers],
        day=[f"2020-{1 + number % 12:02}-{1 + number % 28:02}" for number in numbers],
        city=[f"city {number % 5}" for number in numbers],
        label=[("yes", "no")[number % 2] for number in numbers],
    )


def test_held_out_rows_change_no_bit_of_the_model_when_columns_are_inferred(
    project: Project, tmp_path: Path
) -> None:
    rows = project.read(table_of(tmp_path / "all.csv", list(range(400))))
    held_out = [int(id_[1:]) for id_, row in rows.items() if row.split != "train"]
    given = list(range(100))
    others = (number for number in held_out if number not in given)
    changed = [next(others) if number in held_out else number for number in given]
    assert len({*given} - {*changed}) > 10
    model = project.train("given", table_of(tmp_path / "given.csv", given))
    assert project.train("changed", table_of(tmp_path / "changed.csv", changed)) == model


def test_a_run_predicts_new_rows_when_the_training_table_has_gone(
    project: Project, tmp_path: Path
) -> None:
    path = table_of(tmp_path / "gone.csv", list(range(100)))
    project.train("gone", path)
    path.unlink()
    new = tmp_path / "new.tsv"
    new.write_text("city\tday\tx\ncity 1\t2020-05-05\t7\nnowhere\t\t\n", encoding="utf-8")
    output = tmp_path / "predictions.csv"
    command = ("predict", "runs/gone", str(new), f"--output={output}")
    code, printed = project.ask(f"command{command}")
    assert code == 0, printed
    assert set(pl.read_csv(output)["predicted"]) <= {"yes", "no"}
    new.write_text("city\tday\ty\ncity 1\t2020-05-05\t7\n", encoding="utf-8")
    code, printed = project.ask(f"command{command}")
    assert code == 2
    assert printed.strip() == f"{new}: x: missing; y: unknown column; did you mean day?"


BALANCE = """(
    network := __import__("mine.models.network", fromlist=["Network"]).Network(
        dataclasses.replace(config.model, class_weights={!r}), (3, 2), 2
    ),
    torch := __import__("torch"),
    network.adapt([(torch.zeros(10, 3, 2), torch.tensor([0] * 8 + [1] * 2))]),
    network.target_unit_K.tolist(),
)[-1]"""


def test_balanced_class_weights_make_each_class_count_alike(project: Project) -> None:
    assert project.ask(BALANCE.format("off")) == [1, 1]
    assert project.ask(BALANCE.format("balanced")) == [0.625, 2.5]


@pytest.mark.parametrize("columns", [0, 1, 500])
def test_explore_survives_any_number_of_columns_of_numbers(
    columns: int, project: Project, tmp_path: Path
) -> None:
    numbers = np.random.default_rng(0).normal(size=(columns, ROWS))
    table = TABLE.select("color", "label")
    table = table.with_columns(pl.Series(f"x{index}", row) for index, row in enumerate(numbers))
    table.write_csv(path := tmp_path / "a.csv")
    script = [str(ENVIRONMENT / "bin/python"), "scripts/throwaway/explore.py", str(path)]
    done = subprocess.run(script, cwd=project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{ROWS} rows" in done.stdout
