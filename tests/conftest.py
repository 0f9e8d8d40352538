"""Shared fixtures: a copy of the template, and Copier without the user's settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rendering import copy_template
from repository import with_releases
from reviews import Review

collect_ignore = ["golden"]  # generated files, with tests of their own


@pytest.fixture(scope="session", autouse=True)
def no_user_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the defaults and trusted addresses in the user's settings, from subprocesses too."""
    settings = tmp_path_factory.mktemp("settings") / "settings.yml"
    settings.write_text("{}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPIER_SETTINGS_PATH", str(settings))
        yield


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a repository, with every release, and the working tree as the newest."""
    return with_releases(tmp_path_factory.mktemp("repository") / "template")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it is in the working tree, outside git."""
    return copy_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Review:
    """`ml-architect review` in an empty project."""
    root = tmp_path / "project"
    root.mkdir()
    return Review(root, capsys)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the measurements that tests have recorded with `record_property`."""
    reports = terminalreporter.getreports("passed")
    if properties := [pair for report in reports for pair in report.user_properties]:
        terminalreporter.section("measured")
        for name, value in properties:
            terminalreporter.write_line(f"{name}: {value}")
