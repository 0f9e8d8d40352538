"""The pages of generated projects, in a real browser that has no network."""

import csv
import json
import os
import random
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import tomli_w
from combinations import CHOICES
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from rich.console import Console
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from studies import ENVIRONMENT, finish, generated_project, stub_project
from test_run_format import documented, documented_files

from ml_architect.cli import main
from ml_architect.runs.run import flatten
from ml_architect.studies.project import Project
from ml_architect.studies.scale import Point, ScaleTable, scale
from ml_architect.studies.space import Range, Space
from ml_architect.studies.study import Study, nest
from ml_architect.studies.tune_report import FAILURE, SETTINGS, write_results

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDTHS = (400, 1200)  # pixels: a phone, a desktop

SHOWN = """
const images = [...document.images].map(image => ({
  alternative: image.alt,
  loaded: image.complete && image.naturalWidth > 0,
  fraction: image.clientWidth / (image.getAttribute("width") ?? image.naturalWidth / 2),
}));
const sizes = [...document.querySelectorAll("body, body *")].map(
  element => parseFloat(getComputedStyle(element).fontSize));
return {images, smallest: Math.min(...sizes), width: document.documentElement.scrollWidth};
"""

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and "CI" not in os.environ,
    reason="no chromium or chromedriver: apt-get install chromium chromium-driver",
)
needs_environment = pytest.mark.skipif(
    not ENVIRONMENT.exists() and "CI" not in os.environ,
    reason=f"{ENVIRONMENT} isn't there: make test creates it",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium without a window, a profile or a network."""
    assert CHROMIUM, "no chromium: apt-get install chromium"
    assert DRIVER, "no chromedriver: apt-get install chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",  # as root there is none
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        command(driver, "Network.enable")
        no_network = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        command(driver, "Network.emulateNetworkConditions", **no_network)
        yield driver
    finally:
        driver.quit()


def command(driver: webdriver.Chrome, name: str, **parameters: Any) -> None:
    """One of the DevTools protocol."""
    driver.execute_cdp_cmd(name, parameters)  # pyright: ignore[reportUnknownMemberType]


def log(driver: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """What was logged since the last look."""
    return driver.get_log(kind)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def problems(driver: webdriver.Chrome, page: Path, width: int) -> list[str]:
    """What is wrong with a page on a display of so many pixels."""
    display = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    command(driver, "Emulation.setDeviceMetricsOverride", **display)
    log(driver, "browser")
    log(driver, "performance")
    driver.get(page.as_uri())
    shown: dict[str, Any] = driver.execute_script(SHOWN)  # pyright: ignore[reportUnknownMemberType]
    problems = [f"console: {line['message']}" for line in log(driver, "browser")]
    for line in log(driver, "performance"):
        event: dict[str, Any] = json.loads(line["message"])["message"]
        of_page = event["params"].get("documentURL") == page.as_uri()
        if event["method"] == "Network.requestWillBeSent" and of_page:
            address: str = event["params"]["request"]["url"]
            if not address.startswith(("file:", "data:")):
                problems.append(f"requests {address}")
    for number, image in enumerate(shown["images"]):
        name = image["alternative"] or f"image {number}"
        problems += [f"{name}: no alternative text"] if not image["alternative"] else []
        problems += [f"{name}: not shown"] if not image["loaded"] else []
        problems += [f"{name}: too small to read"] if not image["fraction"] > 0.5 else []
    if shown["width"] > width:  # a phone's `innerWidth` would grow with the page
        problems.append(f"{shown['width']} pixels wide, in {width}")
    if shown["smallest"] < 14:
        problems.append(f"text of {shown['smallest']} pixels")
    return problems


@pytest.mark.slow
@needs_environment
@pytest.mark.parametrize("starter", CHOICES["starter"])
def test_a_project_keeps_the_contracts_and_its_pages_can_be_read_offline_on_a_phone(
    starter: str,
    template: Path,
    browser: webdriver.Chrome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = generated_project(template, tmp_path / "digits", starter=starter)
    runs = project.folder / "runs"
    options = ["--config", "configs/small.toml", "--training.max-steps=6"]
    options += ["--training.warmup-steps=1", "--training.log-every=2"]
    options += ["--training.evaluate-every=2"]
    if starter == "language_model":
        options += ["--data.context=32", "--model.size=1", "--model.ngrams=1"]
    resolved = project.call("train", *options, "--dry-run")
    assert resolved.returncode == 0, resolved.stdout
    trained = project.call("train", *options, "--run-name", "study/one", "--or-resume")
    assert trained.returncode == 0, trained.stdout
    evaluated = project.call("evaluate", "runs/study/one")
    assert evaluated.returncode == 0, evaluated.stdout

    (cache,) = project.folder.glob("data/cache/*/")
    assert_documented(runs / "study/one", cache)
    config = tomllib.loads((runs / "study/one/config.toml").read_text(encoding="utf-8"))
    assert config == tomllib.loads(resolved.stdout)
    assert config["checkpoint"]["mode"] in ("min", "max")

    monkeypatch.chdir(project.folder)
    for words in (["runs"], ["report", "study/one"], ["report", "data"]):
        assert main(words) == 0
    assert_readable(browser, [runs / "study/one/analysis.html", runs / "data.html"])


STUDIES = {
    "scale": (
        'fractions = [0.25, 0.5, 1.0]\nsetting = "fraction"\nsizes.small = { size = 3 }\n'
        "sizes.large = { size = 9 }\n",
        "Scaling curve",
    ),
    "tune": (
        "trials = 6\nspace.x = { low = 0.0, high = 1.0 }\nspace.size = { options = [4, 8] }\n",
        "Hyperparameter importance",
    ),
    "ablate": ("seeds = [0, 1, 2]\nchanges.bad = { x = 1.0 }\n", "Effects"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STUDIES)
def test_the_page_of_a_study_can_be_read_offline_on_a_phone(
    kind: str, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    project, (text, heading) = stub_project(tmp_path / "stub"), STUDIES[kind]
    config = project.folder / f"configs/{kind}.toml"
    config.write_text(f"[{kind}]\n{text}", encoding="utf-8")
    result = finish(project.study(kind, "--jobs", "2"))
    assert result.returncode == 0, result.stdout
    page = project.folder / "runs" / kind / "report.html"
    assert f"<h2>{heading}</h2>" in page.read_text(encoding="utf-8")
    assert_readable(browser, [page])


HOSTILE = {
    "script": "<script>owned = true</script>",
    "event": "<img src=x onerror='owned = true'>",
    "attribute": "' onload='owned = true' \" autofocus onfocus=\"owned = true",
    "end of the style": "</style></title></table><script>owned = true</script>",
    "right to left": "rtl \u202egnp.exe \u2066 isolated",
    "ten thousand letters": "L" * 10_000,
    "formula": "$\\frac$",
    "control": "\x1b[31mred\x07",
    "newline": "two\nlines",
    "entity": "&lt;b&gt; &amp;",
    "Chinese": "日本",
    "empty": " ",
}
"""Names of classes, examples, columns, metrics, settings and packages."""

INJECTED = """
const attributes = [...document.querySelectorAll("*")].flatMap(element => [...element.attributes]);
return {
  owned: window.owned ?? false,
  scripts: document.scripts.length,
  handlers: attributes.filter(({name}) => name.startsWith("on")).length,
  text: document.body.textContent,
};
"""


def write_hostile_run(project: Path) -> Path:
    """An evaluated run, and the cache of its examples, with every hostile name everywhere."""
    names = list(HOSTILE.values())
    run = project / "runs" / "<img src=x onerror='owned = true'> \u202e \x1b[31m \udcff"
    cache = project / "data/cache/0"
    for folder in (run, cache):
        folder.mkdir(parents=True)
    (project / "pyproject.toml").write_text("", encoding="utf-8")
    git = {"commit": HOSTILE["script"], "diff": "", "untracked": names}
    provenance: dict[str, Any] = {"format": 1, "started": "2026-11-20T09:30:00+01:00", "git": git}
    provenance |= {"command": names, "data": HOSTILE["event"], "device": dict.fromkeys(names, "x")}
    provenance["packages"] = {"torch": HOSTILE["event"]}
    (run / "run.json").write_text(json.dumps(provenance), encoding="utf-8")
    settings = {name: name for name in names if name.strip()}
    (run / "config.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    lines = [{"step": 1, **{f"train/{name}": number for number, name in enumerate(names)}}]
    (run / "metrics.jsonl").write_text(json.dumps(lines[0]) + "\n", encoding="utf-8")
    metrics = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in names}
    evaluation = {"step": 1, "examples": 240, "metrics": metrics}
    (run / "metrics.json").write_text(json.dumps(evaluation), encoding="utf-8")
    outcome = {"metric": f"train/{names[0]}", "mode": "min", "best_value": 0.5, "best_step": 1}
    (run / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")

    predictions, examples = run / "predictions.csv", cache / "examples.csv"
    columns = [f"{name}{number}" for number, name in enumerate(names)]
    rng = random.Random(0)
    with (
        predictions.open("w", encoding="utf-8", newline="") as predicted_file,
        examples.open("w", encoding="utf-8", newline="") as examples_file,
    ):
        predicted, known = csv.writer(predicted_file), csv.writer(examples_file)
        predicted.writerow(["id", "loss", "label", "predicted", "confidence", *columns])
        known.writerow(["id", "split", "label", "group", *columns])
        for number in range(240):
            label, guess, cell = names[number % 9], rng.choice(names[:9]), rng.choice(names)
            id_ = f"{rng.choice(names)} {number}"
            cells = [cell] * len(columns)
            predicted.writerow([id_, rng.random(), label, guess, 0.5, *cells])
            split = ("train", "validation", "test")[number % 3]
            known.writerow([id_, split, label, "", *cells])
    return run


def test_hostile_names_are_text_on_every_page_and_in_every_table(
    browser: webdriver.Chrome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = write_hostile_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in (["runs"], ["runs", run.name], ["plot", run.name], ["report", run.name]):
        assert main(words) == 0, capsys.readouterr().err
    assert main(["report", "data"]) == 0
    output = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e", "\udcff"} & {*output.out, *output.err}
    assert "\\x1b[31m" in output.out
    for page in (run / "analysis.html", tmp_path / "runs/data.html"):
        for width in WIDTHS:
            assert problems(browser, page, width) == [], f"{page.name} at {width} pixels"
        assert_escaped(browser)


def test_hostile_names_are_text_on_the_page_of_a_study(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    project = stub_project(tmp_path / "stub")
    changes = {text: {"size": 8} for name, text in HOSTILE.items() if name != "empty"}
    study = {"ablate": {"seeds": [0, 1], "changes": changes}}
    (project.folder / "configs/ablate.toml").write_text(tomli_w.dumps(study), encoding="utf-8")
    result = finish(project.study("ablate", "--jobs", "8"))
    assert result.returncode == 0, result.stdout
    assert not {"\x1b", "\x07", "\u202e"} & {*result.stdout}
    assert "missing from font" not in result.stdout
    assert "\\x1b[31m" in result.stdout
    table = (project.folder / "runs/ablate/table.md").read_text(encoding="utf-8")
    assert len(table.splitlines()) == 2 + 2 + 1 + len(changes)
    page = project.folder / "runs/ablate/report.html"
    for width in WIDTHS:
        assert problems(browser, page, width) == [], f"at {width} pixels"
    assert_escaped(browser)


def test_hostile_names_are_text_on_the_pages_of_scale_and_tune(
    browser: webdriver.Chrome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [text for name, text in HOSTILE.items() if name != "empty"]

    def study_of(kind: str) -> Study:
        folder = tmp_path / f"{kind} {HOSTILE['event']} \u202e"
        project, config = Project(tmp_path, ("train",)), nest(dict.fromkeys(names, 0.5))
        return Study(kind, project, folder, {}, config, f"{HOSTILE['newline']} $\\frac$", "min", 1)

    def trained(_: Study, runs: Sequence[str], *__: object) -> tuple[dict[str, Point], Any]:
        outcomes = [(50, 1.0), (100, 0.5)] * len(names)
        points = zip(runs, outcomes, strict=True)
        return {name: Point(name, examples, loss, {}) for name, (examples, loss) in points}, {}

    monkeypatch.setattr(Study, "train_all", trained)
    monkeypatch.setattr(Project, "resolve_all", list)
    sizes = {name: {"size": number} for number, name in enumerate(names)}
    scaling = ScaleTable(fractions=[0.5, 1.0], sizes=sizes)
    assert scale(study_of("scale"), scaling, Console(), dry_run=False) == 0

    space: Space = {name: Range(low=0.0, high=1.0) for name in names}
    trials = optuna.create_study()
    for number in range(8):
        settings = {name: (number + index) % 7 / 7 for index, name in enumerate(names)}
        trial = optuna.trial.create_trial(
            state=TrialState.FAIL if number == 7 else TrialState.COMPLETE,
            value=None if number == 7 else settings[names[0]],
            params=settings,
            distributions=dict.fromkeys(names, FloatDistribution(0, 1)),
            user_attrs={SETTINGS: settings, FAILURE: HOSTILE["script"] if number == 7 else ""},
        )
        trials.add_trial(trial)
    assert write_results(study_of("tune"), trials, trials.trials, space) == 0

    output = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & {*output.out, *output.err}
    best = tomllib.loads((study_of("tune").folder / "best.toml").read_text(encoding="utf-8"))
    assert flatten(best) == {name: index % 7 / 7 for index, name in enumerate(names)}
    for kind in ("scale", "tune"):
        page = study_of(kind).folder / "report.html"
        for width in WIDTHS:
            assert problems(browser, page, width) == [], f"{kind} at {width} pixels"
        assert_escaped(browser)


def assert_escaped(browser: webdriver.Chrome) -> None:
    """The hostile names on the page are text."""
    found: dict[str, Any] = browser.execute_script(INJECTED)  # pyright: ignore[reportUnknownMemberType]
    assert (found["owned"], found["scripts"], found["handlers"]) == (False, 0, 0)
    for name in ("script", "event"):
        assert HOSTILE[name] in found["text"], name
    assert "\u202e" not in found["text"]
    assert "\\u202e" in found["text"]


def assert_documented(run: Path, cache: Path) -> None:
    """A run and the cached examples have the files and keys of docs/run-format.md only."""
    provenance = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert provenance["format"] == 1
    # The tracker's id, and the keys of a run that was resumed.
    optional = {"tracker", "continued", "changes"}
    assert provenance.keys() - optional == set(documented("### run.json")) - optional
    outcome = json.loads((run / "outcome.json").read_text(encoding="utf-8"))
    assert outcome.keys() == set(documented("### outcome.json"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics.keys() == set(documented("### metrics.json"))
    for entry in metrics["metrics"].values():
        assert entry.keys() == {"value", "low", "high"}
    for line in (run / "timings.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line).keys() == set(documented("### timings.jsonl"))
    names = {
        name
        for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        for name in json.loads(line)
    }
    assert outcome["metric"] in names
    assert all(name.startswith(("step", "train/", "validation/")) for name in names)
    files = documented_files()
    assert {path.name for path in run.iterdir()} <= files

    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        predictions = list(csv.DictReader(file))
    with (cache / "examples.csv").open(encoding="utf-8", newline="") as file:
        examples = list(csv.DictReader(file))
    assert {"id", "loss"} <= predictions[0].keys()
    assert set(documented("## The cached examples")) <= examples[0].keys()
    tested = [example["id"] for example in examples if example["split"] == "test"]
    assert [prediction["id"] for prediction in predictions] == tested


def assert_readable(driver: webdriver.Chrome, pages: Sequence[Path]) -> None:
    """No page has a problem, on a phone and on a desktop."""
    for page in pages:
        for width in WIDTHS:
            assert problems(driver, page, width) == [], f"{page.name} at {width} pixels"
        assert driver.find_elements("tag name", "img"), f"{page.name} has no figure"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<p>Well.</p>", None),
        ("<script>console.error('torn')</script>", "console"),
        ("<img alt='far' width='9' src='https://host.example/a.png'>", "requests https://host"),
        ("<img alt='torn' width='9' src='data:image/png;base64,AAAA'>", "torn: not shown"),
        ("<img width='9' src='data:image/png;base64,AAAA'>", "no alternative text"),
        ("<div style='width: 500px'>wide</div>", "500 pixels wide, in 400"),
        ("<p style='font-size: 11px'>small</p>", "text of 11 pixels"),
    ],
)
def test_the_check_finds(
    body: str, problem: str | None, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    page.write_text(f"<!doctype html>{head}<body style='margin: 0'>{body}", encoding="utf-8")
    listed = problems(browser, page, 400)
    assert any(problem in line for line in listed) if problem else listed == []


def test_a_review_can_be_read_offline_on_a_phone(browser: webdriver.Chrome, tmp_path: Path) -> None:
    project, page = tmp_path / "project", tmp_path / "review.html"
    project.mkdir()
    code = f"def f(x, seen=[]):\n    seen.append({'x + ' * 60}missing_{'m' * 200})\n"
    (project / f"{'n' * 200}.py").write_text(code, encoding="utf-8")
    (project / f"{'o' * 200}.py").write_text('print "x"\n', encoding="utf-8")
    assert main(["review", str(project), "--format=html", "--select=ML", f"--output={page}"]) == 1
    assert [problems(browser, page, width) for width in WIDTHS] == [[], []]
