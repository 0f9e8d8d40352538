"""Runs are found, listed, compared and plotted from the files in their folders."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ml_architect.cli import main

PROVENANCE = {
    "format": 1,
    "started": "2026-11-25T12:00:00+00:00",
    "data": "d1",
    "git": {"commit": "0123456789abcdef", "diff": "", "untracked": []},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the current folder."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_run(project: Path, name: str, *, loss: float | None = 0.5, **provenance: object) -> Path:
    """A run with two logged steps; without a loss it hasn't ended."""
    run = project / "runs" / name
    run.mkdir(parents=True)
    (run / "config.toml").write_text(
        f'seed = 0\n[model]\nwidth = {len(name)}\nname = "$x$"\n', encoding="utf-8"
    )
    (run / "run.json").write_text(json.dumps(PROVENANCE | provenance), encoding="utf-8")
    lines = [{"step": 10, "train/loss": 1.0}, {"step": 20, "train/loss": 0.5, "validation/loss": 1}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text, encoding="utf-8")
    if loss is not None:
        outcome = {"metric": "validation/loss", "mode": "min", "best_value": loss, "best_step": 20}
        (run / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
    return run


def test_runs_are_listed_with_state_and_best_value_the_newest_last(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "new", started="2026-11-25T13:00:00+00:00")
    make_run(project, "study/old", loss=None)
    make_run(project, "throwaway", scratch=True)
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "study/old", "new"]
    assert "unfinished" in lines[1]
    assert "finished" in lines[2]
    assert "validation/loss 0.5 at 20" in lines[2]


ACCURACY = {"value": 0.8123, "low": 0.75, "high": 0.875}


def evaluate(run: Path, **metrics: object) -> None:
    """Write what a project's `evaluate` writes."""
    content = {"step": 20, "examples": 60, "metrics": metrics}
    (run / "metrics.json").write_text(json.dumps(content), encoding="utf-8")


def test_a_run_that_was_evaluated_is_listed_with_its_test_metric_and_interval(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loss = {"value": 0.5, "low": 0.4, "high": 0.6}
    evaluate(make_run(project, "by_loss"), accuracy=ACCURACY, loss=loss)
    evaluate(make_run(project, "first"), accuracy=ACCURACY, f1={"value": 0.7})
    evaluate(make_run(project, "unended", loss=None), accuracy=ACCURACY)
    evaluate(make_run(project, "one_example"), loss={"value": 0.5, "low": None})
    evaluate(make_run(project, "no_metrics"))
    make_run(project, "not_evaluated")
    assert main(["runs"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[-4:] == ["best", "test", "(95%", "interval)"]
    shown = {line.split()[0]: line.rstrip() for line in lines}
    assert shown["by_loss"].endswith("  loss 0.5 (0.4 to 0.6)")
    for name in ("first", "unended"):
        assert shown[name].endswith("  accuracy 0.8123 (0.75 to 0.875)")
    assert shown["one_example"].endswith("  loss 0.5")
    for name in ("no_metrics", "not_evaluated"):
        assert shown[name].endswith("validation/loss 0.5 at 20")


def test_a_narrow_terminal_cuts_nothing_off(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(make_run(project, "long_name/again"), loss={"value": 0.5, "low": 0.4, "high": 0.6})
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["runs"]) == 0
    output = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in output
    assert all(len(line) <= 80 for line in output.splitlines())
    for word in ("long_name/again", "finished", "0.5", "(0.4", "0.6)"):
        assert word in output


def test_a_comparison_shows_every_test_metric(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(make_run(project, "a"), accuracy=ACCURACY)
    evaluate(make_run(project, "b"), accuracy=ACCURACY, f1={"value": 0.7, "low": 0.6, "high": 0.8})
    make_run(project, "c")
    assert main(["runs", "a", "b", "c"]) == 0
    table = capsys.readouterr().out.partition("Test split (95% interval)")[2]
    rows = [line.split("  ") for line in table.splitlines() if line.strip()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells == [
        ["accuracy", "0.8123 (0.75 to 0.875)", "0.8123 (0.75 to 0.875)", "-"],
        ["examples", "60", "60", "-"],
        ["step evaluated", "20", "20", "-"],
        ["f1", "-", "0.7 (0.6 to 0.8)", "-"],
    ]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"step": 1, "examples": 2, "metrics": [0.5]}',
        '{"step": 1, "examples": 2, "metrics": {"a": 0.5}}',
        '{"step": 1, "examples": 2, "metrics": {"a": {"low": 0.5, "high": 0.6}}}',
        '{"step": 1, "examples": 2, "metrics": {"a": {"value": NaN}}}',
        '{"step": 1, "examples": 2, "metrics": {"a": {"value": "0.5"}}}',
        '{"step": null, "examples": 2, "metrics": {}}',
        "\udcff",
    ],
)
def test_invalid_test_metrics_are_one_line(
    content: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "good")
    file = make_run(project, "bad") / "metrics.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert main(["runs"]) == 0
    listed = capsys.readouterr()
    assert "good" in listed.out
    assert main(["runs", "good", "bad"]) == 2
    compared = capsys.readouterr()
    for error in (listed.err, compared.err):
        assert "runs/bad/metrics.json: " in error
        assert error.count("\n") == 1


def test_a_run_is_running_while_its_lock_is_held(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(project, "a", loss=None)
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        main(["runs"])
        assert "running" in capsys.readouterr().out
    main(["runs"])
    assert "unfinished" in capsys.readouterr().out


def test_a_run_that_cannot_be_read_is_reported_and_the_others_are_listed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "good")
    (make_run(project, "corrupt") / "run.json").write_text("{", encoding="utf-8")
    make_run(project, "future", format=2)
    assert main(["runs"]) == 0
    output = capsys.readouterr()
    assert "good" in output.out
    assert "corrupt/run.json" in output.err
    assert "format is 2, expected 1" in output.err
    assert output.err.count("\n") == 2


def test_a_half_written_line_is_skipped(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (make_run(project, "a") / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 30, "train')
    assert main(["runs"]) == 0
    assert " 20 " in capsys.readouterr().out


def test_a_comparison_of_two_runs_shows_what_differs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "a")
    make_run(project, "longer", data="d2", loss=0.25)
    assert main(["runs", "a", "runs/longer"]) == 0
    output = capsys.readouterr().out
    assert "model.width" in output
    assert "seed" not in output
    assert "d2" in output
    assert "validation/loss 0.25 at 20" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "smal"], "smal: no such run; did you mean small?"),
        (["runs", "../small"], "no such run"),
        (["plot", "nothing"], "expected the name of a run"),
        (["plot", "small", "--output", "curves.gif"], "ending in .png, .svg, .pdf"),
        (["plot", "small", "--output", "no/curves.png"], "there is no folder no"),
        (["report", "smal"], "did you mean small?"),
    ],
)
def test_invalid_input_gets_a_one_line_error(
    project: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "small")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_runs_may_be_a_symbolic_link(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(project, "a")
    (project / "runs").rename(project / "disk")
    (project / "runs").symlink_to(project / "disk")
    assert main(["runs", "a"]) == 0
    assert main(["runs"]) == 0
    assert "validation/loss 0.5" in capsys.readouterr().out


def test_a_run_with_an_invalid_outcome_does_not_hide_the_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "good")
    make_run(project, "bad", loss=float("nan"))
    assert main(["runs"]) == 0
    output = capsys.readouterr()
    assert "good" in output.out
    assert "best_value is nan, expected a finite number or null" in output.err


def test_curves_are_plotted_for_several_runs(project: Path) -> None:
    make_run(project, "a$b$c")
    make_run(project, "d", loss=None)
    assert main(["plot", "a$b$c", "d"]) == 0
    assert (project / "runs/curves.png").read_bytes().startswith(b"\x89PNG")


def test_without_runs_the_command_reports_that_there_are_none(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs"]) == 0
    assert "No runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        ("--help", {"copier", "matplotlib", "optuna", "polars", "scipy", "rich", "pydantic"}),
        ("runs", {"copier", "matplotlib", "optuna", "polars", "scipy", "pydantic"}),
        ("plot a", {"copier", "optuna", "polars", "scipy"}),
        ("scale none.toml --command x", {"copier", "optuna", "polars"}),
        ("tune none.toml --command x", {"copier", "polars"}),
    ],
)
def test_a_command_does_not_import_what_it_does_not_need(
    project: Path, arguments: str, unneeded: set[str]
) -> None:
    make_run(project, "a")
    code = (
        "import sys\nfrom ml_architect.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print(sorted({unneeded!r} & sys.modules.keys()), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments.split()]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"


# --- what isn't as documented ---------------------------------------------------------------------

OUTCOME = {"metric": "validation/loss", "mode": "min", "best_value": 0.5, "best_step": 20}
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "zeros": bytes(300),
    "list": b"[]",
    "text": b'"x"',
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 200_000,
    "not UTF-8": b"\xff\xfe{",
    "integer": b'{"a":' + b"9" * 10_000 + b"}",
}
WRONG: list[tuple[str, object]] = [
    *(
        (file, content)
        for file in ("run.json", "outcome.json", "metrics.json")
        for content in CONTENTS.values()
    ),
    *(("run.json", PROVENANCE | {"started": value}) for value in (5, "yesterday", "9999-99-99")),
    *(("run.json", PROVENANCE | {"git": value}) for value in ([1], "x", 5)),
    *(("run.json", PROVENANCE | {key: "x"}) for key in ("device", "packages", "command")),
    *(("outcome.json", OUTCOME | {"metric": value}) for value in (5, ["a"])),
    *(
        ("outcome.json", OUTCOME | {key: value})
        for key in ("best_value", "best_step", "seconds")
        for value in ("5", [1], 10**400, float("inf"))
    ),
    *(
        (file, b'{"step": 1, "a": ' + value + b"}\n")
        for file in ("metrics.jsonl",)
        for value in (b'"x"', b"[1]", b"1" + b"0" * 400, CONTENTS["deep list"])
    ),
    *(("metrics.jsonl", line) for line in (b'{"step": 1e400}\n', b"[1]\n", b"\n", b"\0\n")),
]


@pytest.mark.parametrize(("file", "content"), WRONG)
def test_a_broken_file_is_one_line_and_hides_no_other_run(
    file: str, content: object, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "good")
    given = content if isinstance(content, bytes) else json.dumps(content).encode()
    (make_run(project, "bad") / file).write_bytes(given)
    assert main(["runs"]) == 0
    listed = capsys.readouterr()
    assert re.search(r"^good .* finished ", listed.out, re.MULTILINE)
    assert re.search(r"^bad +broken *$", listed.out, re.MULTILINE)
    assert listed.err.startswith(str(project / "runs/bad" / file))
    assert listed.err.count("\n") == 1
    assert len(listed.err) < 500
    code, error = main(["runs", "good", "bad"]), capsys.readouterr().err
    assert (code, error.count("\n")) in ((0, 0), (2, 1)), error


FILES = ("run.json", "config.toml", "metrics.jsonl", "outcome.json", "metrics.json", ".lock")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "circle"])
@pytest.mark.parametrize("file", FILES)
def test_a_pipe_or_a_device_in_a_run_is_never_waited_for(
    file: str, kind: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "good")
    path = make_run(project, "bad") / file
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    for words in (["runs"], ["plot", "good"]):
        assert main(words) == 0
    assert "good" in capsys.readouterr().out
    for words in (["runs", "good", "bad"], ["plot", "bad"], ["report", "bad"]):
        code, error = main(words), capsys.readouterr().err
        assert (code, error.count("\n")) in ((0, 0), (2, 1)), error


def test_a_huge_file_in_a_run_is_refused_before_it_is_read(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, "good")
    with (make_run(project, "bad") / "run.json").open("wb") as file:
        file.truncate(1 << 40)
    assert main(["runs"]) == 0
    output = capsys.readouterr()
    assert "good" in output.out
    assert "expected a regular file of at most" in output.err


NAMES = ["\x1b[31mred", "new\nline", "rtl\u202egnp", "[bold]x", "\udcff", "日本", "$x$"]


def test_names_of_runs_are_printed_as_text(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        make_run(project, name)
    for words in (["runs"], ["runs", *NAMES], ["plot", *NAMES]):
        assert main(words) == 0
        assert not {"\x1b", "\u202e", "\udcff"} & {*capsys.readouterr().out}
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split("  ")[0] for line in lines[1:]}
    escaped = {"\\x1b[31mred", "new\\nline", "rtl\\u202egnp", "\\udcff"}
    assert shown == escaped | {"[bold]x", "日本", "$x$"}
    assert main(["runs", "\x1b[31mother"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_are_printed_in_any_encoding(encoding: str, project: Path) -> None:
    for name in NAMES:
        make_run(project, name)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for words in (["runs"], ["runs", *NAMES], ["plot", "日本", "--output", "日本.png"]):
        command = [sys.executable, "-m", "ml_architect", *words]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert ("日本".encode() if encoding == "utf-8" else rb"\u65e5\u672c") in done.stdout


@pytest.mark.parametrize("words", ["runs", "runs a b", "plot a"])
def test_a_closed_pipe_ends_the_command_without_a_traceback(words: str, project: Path) -> None:
    make_run(project, "a")
    make_run(project, "b")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ml_architect", *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_stopped_run_that_can_only_be_read_is_not_in_use(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(project, "a", loss=None)
    (run / ".lock").write_bytes(b"")
    open_file = os.open

    def open_for_reading(path: Path, flags: int, *arguments: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system")
        return open_file(path, flags, *arguments)

    monkeypatch.setattr(os, "open", open_for_reading)
    assert main(["runs"]) == 0
    assert "unfinished" in capsys.readouterr().out


def test_no_file_outside_is_written_through_a_link(project: Path, tmp_path: Path) -> None:
    run = make_run(project, "a")
    predictions = "id,loss\n" + "".join(f"{number},{number}.5\n" for number in range(40))
    (run / "predictions.csv").write_text(predictions, encoding="utf-8")
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    for link in (run / ".analysis.html", run / "analysis.html", project / "runs/curves.png"):
        link.symlink_to(outside)
    for words in (["plot", "a"], ["report", "a"]):
        assert main(words) == 0
    assert outside.read_bytes() == b"precious"
    assert (project / "runs/curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "analysis.html").is_symlink()
    assert [path for path in run.iterdir() if path.name.startswith(".")] == [run / ".analysis.html"]


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(project, "a")
    (project / "runs/curves.png").mkdir()
    assert main(["plot", "a"]) == 2
    assert "expected a file to write to" in capsys.readouterr().err
    assert {path.name for path in run.parent.iterdir()} == {"a", "curves.png"}


STORAGES = [
    "postgresql+psycopg://me@srv:SECRET@host/db",
    "postgresql+psycopg://me:SEC RET@host/db",
    "postgresql+psycopg://me@host/db?pwd=SECRET",
    "postgresql+psycopg://me@host/db?token=SECRET",
    "mssql+pyodbc:///?odbc_connect=PWD%3DSECRET",
]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_secret_in_the_address_of_a_database_is_refused_and_never_shown(
    storage: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "none.toml", "--command", "true", "--storage", storage]) == 2
    error = capsys.readouterr().err
    assert "--storage: expected a URL without a password and parameters" in error
    assert "SEC" not in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("secret", ["p@ss:w/rd", "two words", "a%b&c=d", "#?"])
def test_an_error_of_a_database_repeats_no_secret_however_it_is_spelled(secret: str) -> None:
    from urllib.parse import quote, quote_plus

    from sqlalchemy import URL
    from sqlalchemy.exc import OperationalError

    from ml_architect.errors import CommandError
    from ml_architect.studies.database import one_line_errors

    url = URL.create("postgresql", "me", secret, "host", query={"token": (secret, "other")})
    spellings = (secret, quote(secret, safe=""), quote_plus(secret), url.render_as_string(False))
    for spelling in spellings:
        with pytest.raises(CommandError) as error, one_line_errors(url):
            raise OperationalError("connect", {}, Exception(f"can't use {spelling} there"))
        assert secret not in str(error.value)
        assert spelling not in str(error.value)


def test_studies_are_refused_on_windows_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["tune", "configs/tune.toml"]) == 2
    assert capsys.readouterr().err == "tune: studies run on Linux and macOS; on Windows, in WSL\n"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS doesn't limit it")
@pytest.mark.parametrize("words", ["report data", "plot one", "tune a.toml"])
def test_too_little_memory_for_a_report_is_one_line(words: str, project: Path) -> None:
    make_run(project, "one")
    script = f"ulimit -v 600000; exec {sys.executable} -m ml_architect {words}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("out of memory: ")
    assert done.stderr.count("\n") == 1
