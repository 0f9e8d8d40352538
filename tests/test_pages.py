"""The pages of generated projects, in a real browser that has no network."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from combinations import CHOICES
from rendering import render
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from test_projects import ENVIRONMENT, run

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
STUDIES = {"image": ("scale", "tune", "ablate"), "blank": ("tune",)}
"""They take longer and write the same pages whatever they study, so not each starter has them."""

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


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes one of a starter, once, after two steps of training, with every page it writes."""

    @functools.cache
    def make(starter: str) -> Path:
        assert ENVIRONMENT.exists(), f"{ENVIRONMENT} isn't there: make test creates it"
        folder = tmp_path_factory.mktemp(starter) / "digits"
        render(template, folder, starter=starter, package_name="digits")
        words = ["validate --report", "train --debug", "evaluate runs/debug --debug"]
        words += [
            f"{name} --config configs/{name}.toml --debug --processes 2"
            for name in STUDIES.get(starter, ())
        ]
        for each in words:
            run(folder, "python", "-m", "digits.cli", *each.split())
        return folder

    return make


@pytest.mark.slow
@needs_environment
@pytest.mark.parametrize("starter", CHOICES["starter"])
def test_every_page_can_be_read_offline_on_a_telephone_and_at_a_desk(
    starter: str, project: Callable[[str], Path], browser: webdriver.Chrome
) -> None:
    runs = project(starter) / "runs"
    pages = [runs / "debug/report.html", *sorted(runs.rglob("*.html"))]
    assert len(set(pages)) == 2 + len(STUDIES.get(starter, ()))
    for page in pages:
        for width in WIDTHS:
            assert problems(browser, page, width) == [], f"{page.name} at {width} pixels"
    assert problems(browser, pages[0], WIDTHS[0]) == []
    said = pages[0].read_text(encoding="utf-8")
    for heading in ("Training", "Parts of the split", "Where it came from"):
        assert f"<h2>{heading}</h2>" in said
    assert len(browser.find_elements("tag name", "img")) >= 4


@pytest.mark.slow
@needs_environment
@pytest.mark.parametrize(("starter", "fact"), [("image", "contrast"), ("language_model", "lines")])
def test_a_fact_is_chosen_by_name_and_a_misspelt_one_answered_in_a_line(
    starter: str, fact: str, project: Callable[[str], Path]
) -> None:
    folder = project(starter)
    command = ["python", "-m", "digits.cli", "evaluate", "runs/debug", "--slice-by"]
    run(folder, *command, fact, "--debug")
    page = (folder / "runs/debug/report.html").read_text(encoding="utf-8")
    assert f"<th>{fact}</th><th>records</th>" in page
    assert page.count("<th>records</th><th>") == 1
    done = subprocess.run(
        [*command, f"{fact}s"],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"--slice-by {fact}s: unknown fact; did you mean {fact}?\n"


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
