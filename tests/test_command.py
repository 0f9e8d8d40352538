"""`ml-architect`: what a person runs instead of plain Copier, with the same projects."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml
from combinations import CATALOGUE
from repository import ADDED, EARLIER, NEWEST, commit, copy, git, tree, update

from ml_architect.cli import main
from ml_architect.errors import CommandError
from ml_architect.generate.origin import address_of
from ml_architect.generate.template import changes

DRAWN = "\x1b[?7h"  # what prompt_toolkit sends last when it has drawn a prompt
CLEAR, DOWN, ENTER, ESCAPE = "\x15", "\x1b[B", "\r", "\x1b"
RUN = "import sys; from ml_architect.cli import main; sys.exit(main())"
FROM = "--template="
AS_ADA = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "user.name",
    "GIT_CONFIG_VALUE_0": "Ada Lovelace",
    "GIT_CONFIG_KEY_1": "user.email",
    "GIT_CONFIG_VALUE_1": "ada@localhost",  # which git takes, and the template doesn't
}

in_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")


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
    """Runs the command in a folder of its own, with the test's template."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> int:
        return main([*map(str, arguments), "--template", str(template)])

    return command


def one_line(text: str) -> str:
    """What was said, which has to be one line."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


# --- explain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", CATALOGUE.questions, ids=lambda each: each.name)
def test_explain_says_what_every_option_buys_and_costs(
    question: Any, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", question.name) == 0
    said = " ".join(capsys.readouterr().out.split())
    for option in question.options:
        assert option.buys in said
        assert option.costs in said
        assert all(f"{each.name} {each.versions}" in said for each in option.requirements)


def test_explain_takes_an_option_and_offers_the_nearest_name(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", "wandb") == 0
    assert "mlflow" not in capsys.readouterr().out
    assert run("explain", "wadb") == 2
    assert "did you mean wandb?" in one_line(capsys.readouterr().err)
    assert run("explain") == 0
    assert "checkpoint_writer" in capsys.readouterr().out


# --- new ----------------------------------------------------------------------------------------


def test_new_writes_what_copier_writes_whoever_git_knows(
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
    said = capsys.readouterr().out
    commands = [line for line in said.splitlines() if line.startswith("    ")]
    assert len(commands) == 3
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


def test_answers_of_another_project_are_taken_from_its_file(run: Any, tmp_path: Path) -> None:
    assert run("new", "one", "--defaults", "--data", "stage=production") == 0
    assert run("new", "two", "--answers", "one/.copier-answers.yml", "--data", "tracker=wandb") == 0
    recorded = yaml.safe_load((tmp_path / "two/.copier-answers.yml").read_text("utf-8"))
    assert (recorded["stage"], recorded["tracker"]) == ("production", "wandb")
    assert recorded["package_name"] == "one"


def test_a_folder_with_nothing_but_git_in_it_is_room_enough(run: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    git(tmp_path / "made", "init", "--quiet")
    assert run("new", "made", "--defaults") == 0
    assert (tmp_path / "made/pyproject.toml").exists()
    assert (tmp_path / "made/.git/HEAD").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new", "full", "--defaults"], "full isn't empty: here"),
        (["new", "full/here", "--defaults"], "here is a file"),
        (["new", "full/here/made", "--defaults"], "full/here, which is a file"),
        (["new", "made", "--defaults", "--data", "stage=last"], "'last' is no option"),
        (["new", "made", "--defaults", "--data", "stge=last"], "did you mean stage?"),
        (["new", "made", "--defaults", "--data", "zzz=last"], "expected one of project_name,"),
        (["new", "made", "--defaults", "--data", "stage"], "expected NAME=ANSWER"),
        (["new", "made", "--answers", "missing.yml"], "missing.yml: No such file"),
        (["new", "made", "--answers", "full/here"], "expected lines such as"),
        (["new", "made", "--defaults", "--version", "v77"], "--version v77: the template"),
        (["new", "made"], "there is no terminal to ask at"),
        (["new"], "arguments are required: DEST"),
        (["nwe"], "nwe: no such command; did you mean new?"),
        (["zzz"], "zzz: no such command; expected one of new, update, adopt, explain"),
    ],
    ids=str,
)
def test_what_new_cannot_use_is_said_and_nothing_is_written(
    arguments: list[str], said: str, run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/here").write_text("- mine\n", encoding="utf-8")
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert said in one_line(error)
    assert tree(tmp_path) == {"full/here": b"- mine\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize("address", ["missing", "https://localhost:1/template.git"])
def test_a_template_that_is_not_there_is_named(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "deep/made"
    assert main(["new", str(made), "--defaults", "--template", address]) == 2
    assert "--template ADDRESS" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_without_git_the_way_out_is_said(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for arguments in (["new", "made", "--defaults"], ["update", "."], ["explain"]):
        assert run(*arguments) == 2
        assert "Install git" in one_line(capsys.readouterr().err)


def person(template: Path, folder: Path, *arguments: str, columns: int = 160) -> Any:
    """The command, waiting for a person."""
    spawn: Any = pexpect.spawn  # typed in part only
    return spawn(
        sys.executable,
        [
            "-c",
            "import sys; from ml_architect.cli import main; sys.exit(main())",
            *arguments,
            "--template",
            str(template),
        ],
        cwd=str(folder),
        env={**os.environ, **AS_ADA, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        dimensions=(120, columns),
        encoding="utf-8",
        timeout=60,
    )


def answer(terminal: Any, shown: str, typed: str, end: str = ENTER) -> None:
    """Wait until something is shown and the prompt is drawn, then type."""
    terminal.expect_exact(shown)
    terminal.expect_exact(DRAWN)  # what is typed before would be lost
    terminal.send(typed + end)


@in_a_terminal
def test_a_person_goes_back_sees_prices_and_tree_and_confirms(
    template: Path, tmp_path: Path
) -> None:
    terminal = person(template, tmp_path, "new", "made")
    answer(terminal, "What is the project called?", CLEAR + "Iris")
    answer(terminal, "And its Python package?", "", ESCAPE)
    answer(terminal, "What is the project called?", CLEAR + "Iris Flowers")
    answer(terminal, "iris_flowers", "")  # the default follows from the answer that was changed
    answer(terminal, "in one line?", "")
    answer(terminal, "Ada Lovelace", "")  # whom git knows
    answer(terminal, "e-mail address?", "ada@host.example")
    for question in ("stage", "starter", "config"):
        answer(terminal, CATALOGUE.question(question).help, "")
    answer(terminal, CATALOGUE.question("tracker").help, DOWN)
    answer(terminal, CATALOGUE.question("checkpoint").help, "", ESCAPE)
    answer(terminal, CATALOGUE.question("tracker").help, DOWN)  # from what was chosen before
    for question in ("checkpoint", "checkpoint_writer"):
        answer(terminal, CATALOGUE.question(question).help, "")
    answer(terminal, "the oldest Python", "")
    answer(terminal, CATALOGUE.question("license").help, "")
    third = CATALOGUE.question("tracker").options[2]
    terminal.expect_exact(third.costs)
    terminal.expect_exact("tracking.py")
    assert not (tmp_path / "made").exists()
    answer(terminal, "Write this?", "")
    terminal.expect_exact("train --config configs/small.toml")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    recorded = yaml.safe_load((tmp_path / "made/.copier-answers.yml").read_text("utf-8"))
    assert recorded["project_name"] == "Iris Flowers"
    assert recorded["author_name"] == "Ada Lovelace"
    assert recorded["author_email"] == "ada@host.example"
    assert recorded["tracker"] == third.value
    assert (tmp_path / "made/src/iris_flowers").is_dir()


@in_a_terminal
def test_a_narrow_terminal_shows_the_whole_price_of_an_option(
    template: Path, tmp_path: Path
) -> None:
    terminal = person(template, tmp_path, "new", "made", "--data=package_name=iris", columns=80)
    for shown in ("project called?", "in one line?", "Who writes", "e-mail"):
        answer(terminal, shown, "")
    stage = CATALOGUE.question("stage")
    terminal.expect_exact(stage.help)
    terminal.expect_exact(DRAWN)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.before)
    chosen = stage.option(stage.default)
    said = " ".join(shown.split())
    for words in (f"{chosen.title} ", f"buys {chosen.buys}; costs {chosen.costs}"):
        assert words in said
    terminal.close(force=True)


@pytest.mark.slow
@in_a_terminal
@pytest.mark.parametrize(("leave", "code"), [(DOWN * 2 + ENTER, 1), ("\x03", 130)])
def test_a_person_who_leaves_leaves_nothing(
    leave: str, code: int, template: Path, tmp_path: Path
) -> None:
    terminal = person(template, tmp_path, "new", "made")
    for shown in ("project called?", "Python package?", "in one line?", "Who writes", "e-mail"):
        answer(terminal, shown, "")
    for question in CATALOGUE.questions:
        if question.name == "license":
            answer(terminal, "the oldest Python", "")
        answer(terminal, question.help, "")
    answer(terminal, "Write this?", leave, "")
    terminal.expect_exact("nothing was written")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == code
    assert list(tmp_path.iterdir()) == []


# --- update -------------------------------------------------------------------------------------


def test_a_preview_shows_what_and_why_and_changes_nothing(
    run: Any, project: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    assert run("update", project, "--preview") == 0
    assert tree(project) == before
    said = capsys.readouterr().out
    last = said.rstrip().rpartition("\n\n")[2]
    assert last == f"Nothing was changed. To do it: ml-architect update {project} {FROM}{template}"
    assert f"From {EARLIER} to {NEWEST}." in said
    assert re.search(rf"^{NEWEST} — ", said, re.MULTILINE)
    assert "What the working tree brings." in said
    assert f"For a project made with {EARLIER}" in said
    assert "What only the whole changelog says." not in said
    assert re.search(r"changed +src/digits/training/loop\.py", said)
    assert re.search(rf"new +{ADDED}", said)


@pytest.mark.slow
def test_update_does_what_its_preview_shows_and_what_copier_does(
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
def test_conflicts_are_listed_and_the_exit_code_says_so(
    run: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = project / "src/digits/training/loop.py"
    mine = re.sub(r"\A.*", "# My own first line.", loop.read_text("utf-8"))
    loop.write_text(mine, encoding="utf-8")
    commit(project)
    assert run("update", project, "--preview") == 1
    assert git(project, "status", "--porcelain") == ""
    assert run("update", project, "--yes") == 1
    said = capsys.readouterr().out
    assert "conflict  src/digits/training/loop.py" in said
    assert "\n1 file conflicts: you and the template" in said
    assert "<<<<<<< in src/digits/training/loop.py" in said
    assert "    git add src/digits/training/loop.py\n    pip install" in said
    git(project, "reset", "--quiet", "--hard")
    git(project, "clean", "--quiet", "-d", "--force")
    assert loop.read_text("utf-8") == mine
    assert git(project, "status", "--porcelain") == ""


def spoil_by_editing(project: Path) -> None:
    (project / "AGENTS.md").write_text("Mine.\n", encoding="utf-8")


def spoil_by_a_merge_that_is_open(project: Path) -> None:
    for branch in ("theirs", "mine"):
        git(project, "switch", "--quiet", "-c", branch, "HEAD~0" if branch == "theirs" else "@{-1}")
        (project / "AGENTS.md").write_text(f"{branch}\n", encoding="utf-8")
        commit(project, branch)
    subprocess.run(["git", "merge", "theirs"], cwd=project, capture_output=True, check=False)


def spoil_by_ignoring_the_answers(project: Path) -> None:
    git(project, "rm", "--quiet", "--cached", ".copier-answers.yml")
    (project / ".gitignore").write_text(".copier-answers.yml\n", encoding="utf-8")
    commit(project)


def spoil_by_a_relative_address(project: Path) -> None:
    replace_address(project, "../template")


def spoil_by_an_address_that_is_gone(project: Path) -> None:
    replace_address(project, "/gone/template")


def replace_address(project: Path, address: str) -> None:
    text = (project / ".copier-answers.yml").read_text("utf-8")
    write_answers(project, re.sub(r"_src_path: .*", f"_src_path: {address}", text))


def spoil_by_forgetting_git(project: Path) -> None:
    (project / ".git").rename(project.parent / "lost")


def spoil_by_hiding_a_change_from_git(project: Path) -> None:
    git(project, "update-index", "--skip-worktree", "AGENTS.md")
    (project / "AGENTS.md").write_text("Mine.\n", encoding="utf-8")


def spoil_by_a_rejected_patch(project: Path) -> None:
    (project / ".gitignore").write_text("*.rej\n", encoding="utf-8")
    commit(project)
    (project / "AGENTS.md.rej").write_text("Mine.\n", encoding="utf-8")


def spoil_by_removing_the_answers(project: Path) -> None:
    (project / ".copier-answers.yml").unlink()
    commit(project)


def write_answers(project: Path, text: str) -> None:
    (project / ".copier-answers.yml").write_text(text, encoding="utf-8")
    commit(project)


def spoil_by_answers_that_are_no_yaml(project: Path) -> None:
    write_answers(project, "_commit: [\n")


def spoil_by_answers_without_a_version(project: Path) -> None:
    write_answers(project, "_src_path: somewhere\n")


def spoil_by_answers_of_another_template(project: Path) -> None:
    write_answers(project, "_src_path: gh:somebody/else\n_commit: v1.0.0\n")


def spoil_by_answers_of_a_version_that_never_was(project: Path) -> None:
    text = (project / ".copier-answers.yml").read_text("utf-8")
    write_answers(project, re.sub(r"_commit: .*", "_commit: v88.0.0", text))


def spoil_by_an_answer_that_is_no_option(project: Path) -> None:
    text = (project / ".copier-answers.yml").read_text("utf-8")
    write_answers(project, text.replace("author_email: ''", "author_email: nonsense"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_by_editing, "changes that aren't committed (1 file)"),
        (spoil_by_a_merge_that_is_open, "First resolve them: look for <<<<<<< in AGENTS.md, then"),
        (spoil_by_ignoring_the_answers, "First: git add --force .copier-answers.yml"),
        (spoil_by_a_relative_address, "from ../template, which is relative"),
        (spoil_by_an_address_that_is_gone, "from /gone/template, which isn't there any more"),
        (spoil_by_forgetting_git, "isn't under git"),
        (spoil_by_hiding_a_change_from_git, "git was told not to look at AGENTS.md"),
        (spoil_by_a_rejected_patch, "AGENTS.md.rej is a left-over of a patch"),
        (spoil_by_removing_the_answers, "has no .copier-answers.yml"),
        (spoil_by_answers_that_are_no_yaml, "can't be read"),
        (spoil_by_answers_without_a_version, "has no _commit"),
        (spoil_by_answers_of_another_template, "was made from gh:somebody/else"),
        (spoil_by_answers_of_a_version_that_never_was, "v88.0.0"),
        (spoil_by_an_answer_that_is_no_option, "author_email 'nonsense' isn't an e-mail address"),
    ],
)
def test_a_project_that_cannot_be_updated_is_left_as_it_is(
    spoil: Any, said: str, run: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(project)
    before = tree(project)
    assert run("update", project, "--yes") == 2
    assert said in one_line(capsys.readouterr().err)
    assert tree(project) == before


@pytest.mark.slow
def test_a_template_that_has_moved_is_found_again_as_the_message_says(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    git(tmp_path, "clone", "--quiet", str(template), str(there))
    project = copy(there, tmp_path / "digits", EARLIER)
    here = there.rename(tmp_path / "here")
    for insisted in (there, here):
        given = ["update", str(project), "--yes", "--template", str(insisted)]
        assert main(given) == 2
        said = one_line(capsys.readouterr().err)
    found = re.search(r"write `(_src_path: .*)` into (.*) and commit that", said)
    assert found
    text = Path(found[2]).read_text("utf-8")
    write_answers(project, re.sub(r"_src_path: .*", found[1], text))
    assert main(["update", str(project), "--yes", "--template", str(here)]) == 0
    assert (project / ADDED).exists()


@pytest.mark.slow
def test_a_folder_whose_name_ends_in_a_space_is_no_riddle(
    run: Any, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = copy(template, tmp_path / "work " / "digits", EARLIER)
    assert run("update", good, "--yes") == 0
    capsys.readouterr()
    bad = copy(template, tmp_path / "digits ", EARLIER, package_name="digits")
    assert run("update", bad, "--yes") == 2
    assert "whose name ends in a space. First rename it" in one_line(capsys.readouterr().err)


def test_a_repository_of_another_user_leads_to_gits_own_way_out(
    run: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert run("update", project, "--yes") == 2
    said = one_line(capsys.readouterr().err)
    assert f"git config --global --add safe.directory {project}" in said
    assert "git init" not in said


@pytest.mark.slow
def test_what_was_shown_is_what_is_done_and_other_commits_are_refused(
    template: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = tmp_path / "growing"
    git(tmp_path, "clone", "--quiet", str(template), str(growing))
    replace_address(project, str(growing))

    def agree(and_then: Any) -> None:
        def confirmed(question: str) -> bool:
            and_then()
            return True

        monkeypatch.setattr("ml_architect.generate.update.confirmed", confirmed)

    before = tree(project)
    agree(lambda: git(project, "commit", "--quiet", "--allow-empty", "--message", "Meanwhile"))
    assert main(["update", str(project), "--template", str(growing)]) == 2
    assert tree(project) == before
    agree(lambda: commit(growing, "Meanwhile", "v10000.0.0"))
    assert main(["update", str(project), "--template", str(growing)]) == 0
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    assert recorded["_commit"] == f"v{NEWEST}"


def test_a_subfolder_leads_to_its_project_and_forgotten_conflicts_are_named(
    run: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = "<<<<<<< before updating\nMine.\n=======\n>>>>>>> after updating\n"
    (project / "README.md").write_text(marks, encoding="utf-8")
    commit(project)
    monkeypatch.chdir(project / "src/digits")
    assert run("update", "--preview", "--why") == 0
    said = capsys.readouterr().out
    assert "Committed with the marks of an earlier conflict in it: README.md" in said
    assert f"Trying it in a copy of {project} " in said
    assert "What only the whole changelog says." in said


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to be caught")
@pytest.mark.parametrize("command", ["new", "update"])
def test_sigterm_leaves_nothing_behind(
    command: str, template: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    place = tmp_path / "made" if command == "new" else project
    insist = "--defaults" if command == "new" else "--yes"
    before, listed = tree(project), sorted(tmp_path.iterdir())
    code = [sys.executable, "-c", RUN, command, str(place), insist, "--template", str(template)]
    running = subprocess.Popen(code, stderr=subprocess.PIPE, encoding="utf-8")
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
    assert run("update", project, "--yes") == 0
    assert f"new       {ADDED}" in capsys.readouterr().out
    commit(project)
    assert git(project, "ls-files", ADDED)
    assert weights.read_bytes() == b"precious"


def test_a_folder_that_is_no_template_of_ours_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.txt").touch()
    made = str(tmp_path / "made")
    assert main(["new", made, "--defaults", "--template", str(tmp_path / "other")]) == 2
    assert "it is another template" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["other"]


# --- where the template is ----------------------------------------------------------------------


def test_an_installation_from_a_repository_leads_to_it() -> None:
    plain = {"url": "https://host.example/us/template", "vcs_info": {"vcs": "git"}}
    assert address_of(plain) == "git+https://host.example/us/template"
    ending = {"url": "https://host.example/us/template.git", "vcs_info": {"vcs": "git"}}
    assert address_of(ending) == "https://host.example/us/template.git"


def test_an_installation_from_a_folder_leads_to_it_or_to_its_remote(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "copier.yml").touch()
    commit(folder)
    said = {"url": folder.as_uri(), "dir_info": {"editable": True}}
    assert address_of(said) == str(folder)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "a folder", str(clone))
    assert address_of({"url": clone.as_uri(), "dir_info": {}}) == str(folder)
    git(clone, "remote", "set-url", "origin", "git@host.example:us/template.git")
    assert address_of({"url": clone.as_uri(), "dir_info": {}}) == "git@host.example:us/template.git"


@pytest.mark.parametrize(
    "said", [{}, {"url": "file:///nowhere", "dir_info": {}}, {"url": "https://a", "hash": ""}]
)
def test_an_installation_that_leads_nowhere_asks_for_the_address(said: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="--template ADDRESS"):
        address_of(said)


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).with_name("ml-architect")
    done = subprocess.run([command, "--help"], capture_output=True, encoding="utf-8", check=True)
    assert "explain" in done.stdout


def test_the_installed_command_says_its_version() -> None:
    command = Path(sys.executable).with_name("ml-architect")
    done = subprocess.run([command, "--version"], capture_output=True, encoding="utf-8", check=True)
    assert re.fullmatch(r"ml-architect \d+\.\d+\.\d+(\.dev\d+|rc\d+)?\n", done.stdout)


def test_a_release_candidate_has_its_place_among_the_versions() -> None:
    text = "# C\n\n## 0.4.0 — d\n\nfour\n\n## 0.4.0rc1 — d\n\nsoon\n\n## 0.3.0 — d\n\nthree\n"
    assert [said for _, said in changes(text, "0.4.0rc1", "0.4.0")] == ["four"]
    assert [said for _, said in changes(text, "0.3.0", "0.4.0rc1")] == ["soon"]


def test_the_changelog_is_read_from_one_version_to_another() -> None:
    text = "# C\n\n## 0.3.0 — d\n\nthree\n\n## 0.2.10 — d\n\nten\n\n## 0.2.9 — d\n\nnine\n"
    found = [(heading, said) for heading, said in changes(text, "0.2.9", "0.3.0")]
    assert found == [("0.3.0 — d", "three"), ("0.2.10 — d", "ten")]
