"""What the tests share: a copy of the template, and a Copier without anybody's own settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rendering import copy_template
from repository import with_releases

collect_ignore = ["golden"]  # whole generated projects, with tests of their own


@pytest.fixture(scope="session", autouse=True)
def no_personal_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the defaults and the trust of a person's own settings out, in subprocesses too."""
    settings = tmp_path_factory.mktemp("settings") / "settings.yml"
    settings.write_text("{}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPIER_SETTINGS_PATH", str(settings))
        yield


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a repository, with every release and the working tree as the newest."""
    return with_releases(tmp_path_factory.mktemp("repository") / "template")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it lies in the working tree, outside git."""
    return copy_template(tmp_path_factory.mktemp("template"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what tests have measured and don't judge: their `record_property`."""
    reports = terminalreporter.getreports("passed")
    if found := [each for report in reports for each in report.user_properties]:
        terminalreporter.section("measured")
        for name, value in found:
            terminalreporter.write_line(f"{name}: {value}")
