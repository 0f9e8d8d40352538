"""The pages of generated projects, in a real browser that has no network."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from combinations import CHOICES
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from studies import ENVIRONMENT, example_project, finish, generated_project
from test_run_format import documented

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDTHS = (400, 1200)  # pixels: a telephone, a desk

SHOWN = """
const pictures = [...document.images].map(each => ({
  alternative: each.alt,
  loaded: each.complete && each.naturalWidth > 0,
  share: each.clientWidth / each.getAttribute("width"),
}));
const sizes = [...document.querySelectorAll("body, body *")].map(
  each => parseFloat(getComputedStyle(each).fontSize));
return {pictures, smallest: Math.min(...sizes), wide: document.documentElement.scrollWidth};
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
    """What is wrong with a page on a display so many pixels wide."""
    display = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    command(driver, "Emulation.setDeviceMetricsOverride", **display)
    log(driver, "browser")
    log(driver, "performance")
    driver.get(page.as_uri())
    shown: dict[str, Any] = driver.execute_script(SHOWN)  # pyright: ignore[reportUnknownMemberType]
    found = [f"console: {line['message']}" for line in log(driver, "browser")]
    for line in log(driver, "performance"):
        event: dict[str, Any] = json.loads(line["message"])["message"]
        of_page = event["params"].get("documentURL") == page.as_uri()
        if event["method"] == "Network.requestWillBeSent" and of_page:
            address: str = event["params"]["request"]["url"]
            if not address.startswith(("file:", "data:")):
                found.append(f"asks for {address}")
    for at, picture in enumerate(shown["pictures"]):
        name = picture["alternative"] or f"picture {at}"
        found += [f"{name}: no alternative text"] if not picture["alternative"] else []
        found += [f"{name}: can't be seen"] if not picture["loaded"] else []
        found += [f"{name}: too small to read"] if not picture["share"] > 0.5 else []
    if shown["wide"] > width:  # a telephone's `innerWidth` would grow with the page
        found.append(f"{shown['wide']} pixels wide, in {width}")
    if shown["smallest"] < 14:
        found.append(f"text of {shown['smallest']} pixels")
    return found


@pytest.mark.slow
@needs_environment
@pytest.mark.parametrize("starter", CHOICES["starter"])
def test_a_project_keeps_the_contracts_and_its_pages_can_be_read_offline_on_a_phone(
    starter: str, template: Path, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    project = generated_project(template, tmp_path / "digits", starter=starter)
    runs = project.folder / "runs"
    options = ["--config", "configs/small.toml", "--training.max-steps=6"]
    options += ["--training.warmup-steps=1", "--training.log-every=2"]
    options += ["--training.evaluate-every=2"]
    resolved = project.call("train", *options, "--dry-run")
    assert resolved.returncode == 0, resolved.stdout
    trained = project.call("train", *options, "--run-name", "study/one", "--or-resume")
    assert trained.returncode == 0, trained.stdout
    evaluated = project.call("evaluate", "runs/study/one")
    assert evaluated.returncode == 0, evaluated.stdout

    (cache,) = project.folder.glob("data/cache/*/")
    assert_documented(runs / "study/one", cache)
    config = (runs / "study/one/config.toml").read_text(encoding="utf-8")
    assert tomllib.loads(config) == tomllib.loads(resolved.stdout)

    for words in (["runs"], ["plot", "study/one"], ["report", "study/one"], ["report", "data"]):
        done = finish(project.start(*words))
        assert done.returncode == 0, done.stdout
    pages = [runs / name for name in ("study/one/report.html", "study/one/analysis.html")]
    assert_readable(browser, [*pages, runs / "data.html"])


@pytest.mark.slow
@needs_environment
def test_the_pages_of_studies_can_be_read_offline_on_a_phone(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    project = example_project("torch_regression", tmp_path / "project")
    for kind, heading in (
        ("scale", "Scaling curve"),
        ("tune", "Hyperparameter importance"),
        ("ablate", "Effects"),
    ):
        done = finish(project.study(kind, "--jobs", "2"))
        assert done.returncode == 0, done.stdout
        page = project.folder / "runs" / kind / "report.html"
        assert f"<h2>{heading}</h2>" in page.read_text(encoding="utf-8")
        assert_readable(browser, [page])


def assert_documented(run: Path, cache: Path) -> None:
    """A run and the cached examples have what docs/run-format.md says, and no other keys."""
    provenance = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert provenance["format"] == 1
    later = {"continued", "changes", "repeats"}  # of a run that was resumed, or repeats another
    assert provenance.keys() == set(documented("### run.json")) - later
    outcome = json.loads((run / "outcome.json").read_text(encoding="utf-8"))
    assert outcome.keys() == set(documented("### outcome.json"))
    for line in (run / "timings.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line).keys() == set(documented("### timings.jsonl"))
    names = {
        name
        for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        for name in json.loads(line)
    }
    assert outcome["metric"] in names
    assert all(name.startswith(("step", "train/", "validation/")) for name in names)
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        predictions = list(csv.DictReader(file))
    with (cache / "examples.csv").open(encoding="utf-8", newline="") as file:
        examples = list(csv.DictReader(file))
    assert {"id", "loss"} <= predictions[0].keys()
    assert set(documented("## The cached examples")) <= examples[0].keys()
    tested = [example["id"] for example in examples if example["split"] == "test"]
    assert [prediction["id"] for prediction in predictions] == tested


def assert_readable(driver: webdriver.Chrome, pages: Sequence[Path]) -> None:
    """Nothing is wrong with any of the pages, on a phone and on a desk."""
    for page in pages:
        for width in WIDTHS:
            assert problems(driver, page, width) == [], f"{page.name} at {width} pixels"
        assert driver.find_elements("tag name", "img"), f"{page.name} has no figure"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<p>Well.</p>", None),
        ("<script>console.error('torn')</script>", "console"),
        ("<img alt='far' width='9' src='https://host.example/a.png'>", "asks for https://host"),
        ("<img alt='torn' width='9' src='data:image/png;base64,AAAA'>", "torn: can't be seen"),
        ("<img width='9' src='data:image/png;base64,AAAA'>", "no alternative text"),
        ("<div style='width: 500px'>wide</div>", "500 pixels wide, in 400"),
        ("<p style='font-size: 11px'>small</p>", "text of 11 pixels"),
    ],
)
def test_the_check_would_find_it(
    body: str, problem: str | None, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    page.write_text(f"<!doctype html>{head}<body style='margin: 0'>{body}", encoding="utf-8")
    found = problems(browser, page, 400)
    assert any(problem in each for each in found) if problem else found == []
