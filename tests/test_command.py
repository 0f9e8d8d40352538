"""The commands new, update and explain of `ml-architect`, with the same results as Copier."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import CATALOGUE
from repository import ADDED, CHANGELOG, EARLIER, NEWEST, commit, copy, git, tree, update
from test_interactive import AS_ADA

from ml_architect.cli import main
from ml_architect.generate.worker import newest

FROM = "--template="


@pytest.fixture(scope="session")
def template(repository: Path) -> Path:
    """The template's repository, with every release and the working tree."""
    return repository


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A project of the earlier version, committed."""
    return copy(template, tmp_path / "digits", EARLIER)


@pytest.fixture
def run(template: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command in an empty folder, with the test's template."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> int:
        return main([*map(str, arguments), "--template", str(template)])

    return command


def one_line(text: str) -> str:
    """Check that an output is one line."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


# --- explain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", CATALOGUE.questions, ids=lambda question: question.name)
def test_explain_shows_what_every_option_buys_and_costs(
    question: Any, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", question.name) == 0
    output = " ".join(capsys.readouterr().out.split())
    for option in question.options:
        for text in (option.buys, option.costs, option.prefer):
            assert text in output
        for requirement in option.requirements:
            assert f"{requirement.name} {requirement.versions}" in output


def test_explain_in_a_project_shows_its_choices_and_how_to_change_them(
    run: Any, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy(template, tmp_path / "digits", NEWEST, tracker="mlflow")
    os.chdir(project / "src")  # monkeypatch in `run` restores it
    assert run("explain") == 0
    output = " ".join(capsys.readouterr().out.split())
    for question in CATALOGUE.questions:
        answer = "mlflow" if question.name == "tracker" else question.default
        chosen = question.option(answer)
        for text in (f"({question.name})", chosen.buys, chosen.costs, chosen.prefer):
            assert text in output
        for option in question.options:
            command = f"ml-architect update --data={question.name}={option.value} {FROM}{template}"
            assert (command in output) == (question.can_change and option is not chosen)
            if option is not chosen and question.can_change:
                assert f"{option.title}: buys {option.buys}; costs {option.costs}" in output
    assert run("explain", "tracker") == 0
    assert "mlflow (chosen here)" in capsys.readouterr().out


def test_explain_accepts_an_option_and_suggests_the_most_similar_name(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", "wandb") == 0
    assert "mlflow" not in capsys.readouterr().out
    assert run("explain", "wadb") == 2
    assert "did you mean wandb?" in one_line(capsys.readouterr().err)
    assert run("explain") == 0
    assert "checkpoint_writer" in capsys.readouterr().out


# --- new ----------------------------------------------------------------------------------------


def test_new_writes_the_same_files_as_copier_with_any_git_user(
    run: Any,
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in AS_ADA.items():
        monkeypatch.setenv(name, value)
    assert run("new", "made/digits", "--defaults", "--data", "tracker=mlflow") == 0
    expected = tree(copy(template, tmp_path / "copied" / "digits", NEWEST, tracker="mlflow"))
    assert tree(tmp_path / "made/digits") == expected
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["digits"]
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert len(commands) == 7
    assert commands[0].strip().startswith(f"cd {tmp_path / 'made/digits'} && git init")


@pytest.mark.slow
def test_a_project_that_new_made_is_updated_by_plain_copier(
    run: Any, template: Path, tmp_path: Path
) -> None:
    assert run("new", "digits", "--defaults", "--version", f"v{EARLIER}") == 0
    commit(tmp_path / "digits")
    update(tmp_path / "digits", NEWEST)
    recorded = yaml.safe_load((tmp_path / "digits/.copier-answers.yml").read_text("utf-8"))
    assert recorded["_commit"] == f"v{NEWEST}"
    assert recorded["_src_path"] == str(template)


def test_answers_are_read_from_another_projects_file(run: Any, tmp_path: Path) -> None:
    assert run("new", "one", "--defaults", "--data", "stage=production") == 0
    assert run("new", "two", "--answers", "one/.copier-answers.yml", "--data", "tracker=wandb") == 0
    recorded = yaml.safe_load((tmp_path / "two/.copier-answers.yml").read_text("utf-8"))
    assert (recorded["stage"], recorded["tracker"]) == ("production", "wandb")
    assert recorded["package_name"] == "one"


def test_a_folder_that_contains_only_git_counts_as_empty(run: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    git(tmp_path / "made", "init", "--quiet")
    assert run("new", "made", "--defaults") == 0
    assert (tmp_path / "made/pyproject.toml").exists()
    assert (tmp_path / "made/.git/HEAD").exists()


DIGITS = "9" * 6000
INVALID = {
    "new full --defaults": "full isn't empty: here",
    "new full/here --defaults": "here is a file",
    "new full/here/made --defaults": "full/here, which is a file",
    "new made --answers missing.yml": "missing.yml: No such file",
    "new made --answers full/here": "expected lines such as",
    "new made --defaults --version v77": "--version v77: the template",
    "new made": "there is no terminal to ask at",
    "new": "arguments are required: DEST",
    "nwe": "nwe: no such command; did you mean new?",
    "zzz": "zzz: no such command; expected one of new, update, adopt, explain",
    **{
        f"{command} ~nosuch/x": "~nosuch is no user; for a folder, ./~nosuch/x"
        for command in ("new", "update", "adopt")
    },
}
INVALID_DATA = {
    "stage": "expected NAME=ANSWER",
    "\u202e": "--data \\u202e: expected NAME=ANSWER",
    "stge=last": "did you mean stage?",
    "zzz=last": "expected one of project_name,",
    "st\x1b[31mage=x": "st\\x1b[31mage: no such question",
    "stage=last": "'last' isn't an option",
    f"stage={DIGITS}": "isn't an option",
    "started=9999-12-31": "isn't a date that a project can start at",
    f"package_name={DIGITS}": "isn't a valid package name",
    f"python_version={DIGITS}": "isn't supported",
    f"yours={'[' * 3000}": "nested too deeply; expected a list",
    f"yours={DIGITS}": "expected a list, such as",
    "yours=[2026-99-99]": "month must be in 1..12; expected a list",
    f"description={'x' * 100_000}": "has 100000 characters: at most 200 are allowed",
    "description=\x1b[31m": "has a line break or a control character",
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *((line.split(), message) for line, message in INVALID.items()),
        *((["new", "made", "--defaults", "--data", x], text) for x, text in INVALID_DATA.items()),
    ],
    ids=[*INVALID, *(name[:20] for name in INVALID_DATA)],
)
def test_invalid_input_is_reported_in_part_and_escaped_and_nothing_is_written(
    arguments: list[str],
    message: str,
    run: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/here").write_text("- mine\n", encoding="utf-8")
    assert run(*arguments) == 2
    error = one_line(capsys.readouterr().err)
    assert message in error
    assert len(error) < 5000
    assert not set(error) & {"\x1b", "\u202e"}
    assert tree(tmp_path) == {"full/here": b"- mine\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"description: {'[' * 5000}", "is nested too deeply"),
        (f"started: {DIGITS}", "a date or a number in it is invalid"),
        ("started: 2026-99-99", "a date or a number in it is invalid"),
        ("started: !!timestamp nonsense", "a date or a number in it is invalid"),
        ("starter: {a: b}", "starter isn't a string or a list of strings"),
        ("yours: [[a]]", "yours isn't a string or a list of strings"),
        ("starter: 2026-01-01", "starter '2026-01-01' isn't an option"),
        (f"description: {'x' * 5_000_000}", "has 5000000 characters"),
    ],
    ids=range(8),
)
def test_a_hostile_file_of_answers_is_refused_in_one_line(
    text: str, message: str, run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "answers.yml").write_text(text, encoding="utf-8")
    assert run("new", "made", "--answers", "answers.yml") == 2
    error = one_line(capsys.readouterr().err)
    assert message in error
    assert len(error) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["answers.yml"]


def test_a_date_without_quotes_is_read_from_a_file_of_answers(run: Any, tmp_path: Path) -> None:
    (tmp_path / "answers.yml").write_text("started: 2026-01-02\n", encoding="utf-8")
    assert run("new", "made", "--answers", "answers.yml") == 0
    recorded = yaml.safe_load((tmp_path / "made/.copier-answers.yml").read_text("utf-8"))
    assert recorded["started"] == "2026-01-02"


def test_suggested_commands_are_quoted_for_a_shell(
    run: Any, tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("new", "it's mine/digits", "--defaults") == 0
    words = shlex.split(capsys.readouterr().out.partition("    ")[2].partition(" && ")[0])
    assert words == ["cd", str(tmp_path / "it's mine/digits")]
    address = tmp_path / "old; template"
    address.mkdir()
    replace_address(project, str(address))
    assert run("update", project) == 2
    assert f"--template '{address}'" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("missing", "--template ADDRESS"),
        ("https://localhost:1/template.git", "--template ADDRESS"),
        ("~nosuch/x", "there is no such user"),
    ],
)
def test_a_template_that_does_not_exist_is_reported(
    address: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "deep/made"
    assert main(["new", str(made), "--defaults", "--template", address]) == 2
    assert message in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_without_git_the_message_says_to_install_it(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for arguments in (["new", "made", "--defaults"], ["update", "."], ["explain"]):
        assert run(*arguments) == 2
        assert "Install git" in one_line(capsys.readouterr().err)


# --- update -------------------------------------------------------------------------------------


def test_a_preview_shows_changes_and_reasons_and_changes_nothing(
    run: Any, project: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    assert run("update", project, "--preview") == 0
    assert tree(project) == before
    output = capsys.readouterr().out
    last = output.rstrip().rpartition("\n\n")[2]
    command = f"ml-architect update {project} {FROM}{template}"
    assert last == f"Nothing was changed. To apply it: {command}"
    assert f"From {EARLIER} to {NEWEST}." in output
    assert re.search(rf"^{NEWEST} — ", output, re.MULTILINE)
    first, second = paragraphs(CHANGELOG)[1:3]
    assert first in output
    assert second not in output, "only with --why"
    assert f"For a project made with {EARLIER}" in output
    assert re.search(r"changed +src/digits/training/loop\.py", output)
    assert re.search(rf"new +{ADDED}", output)


def paragraphs(text: str) -> list[str]:
    """Split a text into paragraphs, without surrounding whitespace."""
    return [paragraph.strip() for paragraph in text.strip().split("\n\n")]


@pytest.mark.slow
def test_update_applies_the_previewed_changes_like_copier(
    run: Any, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "README.md").write_text("Mine.\n", encoding="utf-8")
    commit(project)
    plain = tmp_path / "plain" / "digits"
    git(tmp_path, "clone", "--quiet", str(project), str(plain))
    update(plain, NEWEST)
    assert run("update", project, "--preview") == 0
    preview = capsys.readouterr().out
    assert run("update", project, "--yes") == 0
    assert tree(project) == tree(plain)
    assert capsys.readouterr().out.startswith(preview.rstrip().rpartition("\n\n")[0])


@pytest.mark.slow
def test_conflicts_are_listed_and_set_the_exit_code(
    run: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = project / "src/digits/training/loop.py"
    mine = re.sub(r"\A.*", "# My own first line.", loop.read_text("utf-8"))
    loop.write_text(mine, encoding="utf-8")
    commit(project)
    assert run("update", project, "--preview") == 1
    assert git(project, "status", "--porcelain") == ""
    assert run("update", project, "--yes") == 1
    output = capsys.readouterr().out
    assert "conflict  src/digits/training/loop.py" in output
    assert "\n1 file conflicts: you and the template" in output
    assert "<<<<<<< in src/digits/training/loop.py" in output
    assert "    git add src/digits/training/loop.py\n    pip install" in output
    git(project, "reset", "--quiet", "--hard")
    git(project, "clean", "--quiet", "-d", "--force")
    assert loop.read_text("utf-8") == mine
    assert git(project, "status", "--porcelain") == ""


def edit_without_committing(project: Path) -> None:
    (project / "AGENTS.md").write_text("Mine.\n", encoding="utf-8")


def leave_an_unresolved_merge(project: Path) -> None:
    for branch in ("theirs", "mine"):
        git(project, "switch", "--quiet", "-c", branch, "HEAD~0" if branch == "theirs" else "@{-1}")
        (project / "AGENTS.md").write_text(f"{branch}\n", encoding="utf-8")
        commit(project, branch)
    subprocess.run(["git", "merge", "theirs"], cwd=project, capture_output=True, check=False)


def ignore_the_answers(project: Path) -> None:
    git(project, "rm", "--quiet", "--cached", ".copier-answers.yml")
    (project / ".gitignore").write_text(".copier-answers.yml\n", encoding="utf-8")
    commit(project)


def write_answers(project: Path, pattern: str, text: str) -> None:
    """Replace a part of the file of answers, and commit it."""
    file = project / ".copier-answers.yml"
    file.write_text(re.sub(pattern, lambda _: text, file.read_text("utf-8"), count=1), "utf-8")
    commit(project)


def replace_address(project: Path, address: str) -> None:
    write_answers(project, "_src_path: .*", f"_src_path: {address}")


def remove_git(project: Path) -> None:
    (project / ".git").rename(project.parent / "lost")


def hide_a_change_from_git(project: Path) -> None:
    git(project, "update-index", "--skip-worktree", "AGENTS.md")
    (project / "AGENTS.md").write_text("Mine.\n", encoding="utf-8")


def remove_the_answers(project: Path) -> None:
    (project / ".copier-answers.yml").unlink()
    commit(project)


def require_a_program_that_is_absent(project: Path) -> None:
    (project / ".gitattributes").write_text("*.py filter=lfs\n", encoding="utf-8")
    commit(project)
    for name in ("clean", "smudge", "process"):
        git(project, "config", f"filter.lfs.{name}", "nosuch-program")
    git(project, "config", "filter.lfs.required", "true")


def require_it_for_the_present_files(project: Path) -> None:
    require_a_program_that_is_absent(project)
    for file in project.rglob("*.py"):
        os.utime(file, (1, 1))  # git looks at their content


def name_a_file_in_another_encoding(project: Path) -> None:
    (project / os.fsdecode(b"caf\xe9.txt")).touch()
    commit(project)


def use_sha256(project: Path) -> None:
    remove_git(project)
    git(project, "init", "--quiet", "--object-format=sha256")
    commit(project)


def make_bare(project: Path) -> None:
    git(project, "config", "core.bare", "true")


WHOLE = r"(?s)\A.*\Z"
ANSWERS = [
    ("_src_path: .*", "_src_path: ../template", "from ../template, which is relative"),
    ("_src_path: .*", "_src_path: /gone/x", "from /gone/x, which doesn't exist any more"),
    ("_commit: .*", "_commit: v88.0.0", "v88.0.0"),
    ("started: .*", "started: 2026-99-99", "a date or a number in it is invalid"),
    ("stage: .*", "stage: {a: b}", "stage isn't a string or a list of strings"),
    ("email: .*", "email: nonsense", "author_email 'nonsense' isn't an e-mail address"),
    (WHOLE, "_src_path: gh:somebody/else\n_commit: v1.0.0\n", "was made from gh:somebody/else"),
    (WHOLE, "_src_path: somewhere\n", "has no _commit"),
    (WHOLE, "_commit: [\n", "can't be read"),
    (WHOLE, f"_commit: {'[' * 4000}\n", "can't be read (it is nested too deeply)"),
]


@pytest.mark.parametrize(
    ("make_unusable", "message"),
    [
        *((partial(write_answers, pattern=p, text=text), message) for p, text, message in ANSWERS),
        (remove_the_answers, "has no .copier-answers.yml"),
        (ignore_the_answers, "First: git add --force .copier-answers.yml"),
        (edit_without_committing, "has uncommitted changes (1 file)"),
        (leave_an_unresolved_merge, "First resolve them: look for <<<<<<< in AGENTS.md, then"),
        (remove_git, "isn't under git"),
        (hide_a_change_from_git, "git ignores changes to AGENTS.md"),
        (require_a_program_that_is_absent, "lfs failed. Install the program that it runs"),
        (require_it_for_the_present_files, "filter 'lfs' failed. Install the program that it runs"),
        (name_a_file_in_another_encoding, "the name caf\\udce9.txt, which isn't UTF-8"),
        (use_sha256, "whose objects have SHA-256 names"),
        (make_bare, "must be run in a work tree"),
    ],
)
def test_a_project_that_cannot_be_updated_is_not_changed(
    make_unusable: Any, message: str, run: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_unusable(project)
    before = tree(project)
    assert run("update", project, "--yes") == 2
    assert message in one_line(capsys.readouterr().err)
    assert tree(project) == before


@pytest.mark.slow
def test_the_message_about_a_moved_template_says_how_to_find_it_again(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    git(tmp_path, "clone", "--quiet", str(template), str(old))
    project = copy(old, tmp_path / "digits", EARLIER)
    new = old.rename(tmp_path / "new")
    message = ""
    for address in (old, new):
        assert main(["update", str(project), "--yes", "--template", str(address)]) == 2
        message = one_line(capsys.readouterr().err)
    match = re.search(r"write `(_src_path: .*)` into (.*) and commit that", message)
    assert match
    assert Path(match[2]) == project / ".copier-answers.yml"
    write_answers(project, "_src_path: .*", match[1])
    assert main(["update", str(project), "--yes", "--template", str(new)]) == 0
    assert (project / ADDED).exists()


@pytest.mark.slow
def test_a_folder_whose_name_ends_in_a_space_is_reported(
    run: Any, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = copy(template, tmp_path / "work " / "digits", EARLIER)
    assert run("update", good, "--yes") == 0
    capsys.readouterr()
    bad = copy(template, tmp_path / "digits ", EARLIER, package_name="digits")
    assert run("update", bad, "--yes") == 2
    assert "whose name ends in a space. First rename it" in one_line(capsys.readouterr().err)


def test_a_repository_of_another_user_is_reported_with_gits_remedy(
    run: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert run("update", project, "--yes") == 2
    message = one_line(capsys.readouterr().err)
    assert f"git config --global --add safe.directory {project}" in message
    assert "git init" not in message


@pytest.mark.slow
def test_only_the_shown_changes_are_applied_and_new_commits_are_refused(
    template: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "newer"
    git(tmp_path, "clone", "--quiet", str(template), str(newer))
    replace_address(project, str(newer))

    def confirm_after(action: Any) -> None:
        def confirm(question: str) -> bool:
            action()
            return True

        monkeypatch.setattr("ml_architect.generate.update.confirm", confirm)

    before = tree(project)
    confirm_after(
        lambda: git(project, "commit", "--quiet", "--allow-empty", "--message", "Meanwhile")
    )
    assert main(["update", str(project), "--template", str(newer)]) == 2
    assert tree(project) == before
    confirm_after(lambda: commit(newer, "Meanwhile", "v10000.0.0"))
    assert main(["update", str(project), "--template", str(newer)]) == 0
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    assert recorded["_commit"] == f"v{NEWEST}"


def test_update_works_in_a_subfolder_and_reports_committed_conflicts(
    run: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    markers = "<<<<<<< before updating\nMine.\n=======\n>>>>>>> after updating\n"
    (project / "README.md").write_text(markers, encoding="utf-8")
    commit(project)
    monkeypatch.chdir(project / "src/digits")
    assert run("update", "--preview", "--why") == 0
    output = capsys.readouterr().out
    assert "Committed with the conflict markers of an earlier update: README.md" in output
    assert f"Testing the update in a copy of {project} " in output
    assert paragraphs(CHANGELOG)[2] in output


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
@pytest.mark.parametrize("command", ["new", "update"])
def test_sigterm_leaves_no_files(
    command: str, template: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    path = tmp_path / "made" if command == "new" else project
    option = "--defaults" if command == "new" else "--yes"
    before, listed = tree(project), sorted(tmp_path.iterdir())
    words = [sys.executable, "-m", "ml_architect", command, path, option, "--template", template]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, encoding="utf-8")
    pattern = ".ml-architect-*/made/*" if command == "new" else "temporary/ml-architect-*/*"
    while running.poll() is None and not any(tmp_path.glob(pattern)):
        pass
    running.terminate()
    assert "stopped; nothing was written" in running.communicate()[1]
    assert running.returncode == 143
    assert sorted(tmp_path.iterdir()) == listed
    assert tree(project) == before
    assert list(temporary.glob("ml-architect-*")) == []


def test_a_version_that_is_unknown_or_older_is_refused(
    run: Any, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy(template, tmp_path / "digits", NEWEST)
    before = tree(project)
    assert run("update", project, "--yes", "--version", f"v{EARLIER}") == 2
    assert f"newer than {EARLIER}" in one_line(capsys.readouterr().err)
    assert run("update", project, "--yes", "--version", "v77") == 2
    assert "--version v77: the template" in one_line(capsys.readouterr().err)
    assert run("update", project, "--yes") == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert tree(project) == before


@pytest.mark.slow
def test_ignored_files_stay_and_a_new_file_that_is_ignored_becomes_part_of_the_commit(
    run: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (project / ".gitignore").open("a", encoding="utf-8") as file:
        file.write(f"/runs/\n{ADDED}\n")
    commit(project)
    weights = project / "runs/mine/weights.bin"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"precious")
    (project / "runs/AGENTS.md.rej").write_text("Mine.\n", encoding="utf-8")
    assert run("update", project, "--yes") == 0
    assert f"new       {ADDED}" in capsys.readouterr().out
    commit(project)
    assert git(project, "ls-files", ADDED)
    assert weights.read_bytes() == b"precious"
    assert (project / "runs/AGENTS.md.rej").exists()


def test_another_template_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.txt").touch()
    made = str(tmp_path / "made")
    assert main(["new", made, "--defaults", "--template", str(tmp_path / "other")]) == 2
    assert "it is another template" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


# --- the output of Copier ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_template_without_tags_is_used_without_a_warning(
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    untagged = tmp_path / "untagged"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(template), str(untagged))
    monkeypatch.setenv("COPIER_SETTINGS_PATH", str(tmp_path / "missing.yml"))
    made, existing = tmp_path / "digits", tmp_path / "spam"
    existing.mkdir()
    (existing / "pyproject.toml").write_text('[project]\nname = "spam"\n', encoding="utf-8")
    commit(existing)
    for name in ("name", "email"):
        git(existing, "config", f"user.{name}", "ada@host.example")
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    for arguments in (
        ["new", str(made), "--defaults"],
        ["update", str(made), "--yes", "--data", "tracker=mlflow"],
        ["adopt", str(existing), "--defaults"],
        ["explain", "tracker"],
    ):
        assert main([*arguments, "--template", str(untagged)]) == 0
        assert capfd.readouterr().err == ""
        if arguments[0] == "new":
            commit(made)
            (untagged / "template/AGENTS.md.jinja").write_text("# Other rules\n", encoding="utf-8")
            commit(untagged, "Other rules")
            capfd.readouterr()
    assert (made / "AGENTS.md").read_text("utf-8") == "# Other rules\n"


def test_other_output_of_copier_is_shown(
    template: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def get_latest_tag(_: str) -> str:
        print("\x1b[31mNo git tags found in template; using HEAD as ref\x1b[0m", file=sys.stderr)
        print("something else", file=sys.stderr)
        return "HEAD"

    monkeypatch.setattr("ml_architect.generate.worker.get_latest_tag", get_latest_tag)
    assert newest(str(template), None) == "HEAD"
    assert capsys.readouterr().err == "something else\n"
