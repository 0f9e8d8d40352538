"""releases.toml, the changelog and the current version are consistent."""

from __future__ import annotations

import re
import tomllib

from packaging.version import Version
from rendering import ROOT
from repository import has_commit, releases

HEADING = re.compile(r"^## (\d+)\.(\d+)\.(\d+) — (\d{4}-\d{2}-\d{2}|unreleased)$", re.MULTILINE)
RELEASES = releases()
CURRENT = Version(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
)


def numbers(version: str) -> tuple[int, ...]:
    """A version as a tuple that can be compared."""
    return tuple(int(part) for part in version.split("."))


def in_changelog() -> list[tuple[int, ...]]:
    """Every version that the changelog describes, newest first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return [tuple(map(int, heading.groups()[:3])) for heading in HEADING.finditer(text)]


def test_the_changelog_begins_with_the_current_version_or_the_one_before_it() -> None:
    newest = in_changelog()[0]
    if CURRENT.is_devrelease:  # its section may be missing until it is released
        assert newest <= CURRENT.release
    else:
        assert newest == CURRENT.release


def test_every_heading_of_the_changelog_is_a_version_and_a_date() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = list(HEADING.finditer(text))
    lines = [line for line in text.splitlines() if line.startswith("## ")]
    assert lines == [heading[0] for heading in headings]
    undated = {heading.groups()[:3] for heading in headings if heading[4] == "unreleased"}
    assert undated <= ({tuple(map(str, CURRENT.release))} if CURRENT.is_devrelease else set())


def test_the_changelog_goes_from_the_newest_version_to_the_oldest() -> None:
    versions = in_changelog()
    assert versions == sorted(set(versions), reverse=True)


def test_releases_are_listed_from_the_oldest_to_the_newest() -> None:
    versions = [numbers(release.version) for release in RELEASES]
    assert versions == sorted(set(versions))


def test_no_release_is_newer_than_the_current_version() -> None:
    assert [release for release in RELEASES if Version(release.version) > CURRENT] == []


def test_each_release_has_a_section_in_the_changelog() -> None:
    assert {numbers(release.version) for release in RELEASES} <= set(in_changelog())


def test_each_release_is_part_of_the_history() -> None:
    for release in RELEASES:
        assert re.fullmatch(r"[0-9a-f]{40}", release.commit)
        assert has_commit(ROOT, release.commit), (
            f"the commit of {release.version} isn't an ancestor of HEAD; if this is a shallow "
            "clone: git fetch --unshallow"
        )


def test_the_ci_of_a_project_pins_the_version_that_comes_with_it() -> None:
    workflow = (ROOT / "template/.github/workflows/ci.yml.jinja").read_text(encoding="utf-8")
    assert re.findall(r"ml-architect\[review\]==([0-9.]+)", workflow) == [CURRENT.base_version]
