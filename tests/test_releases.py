"""What is published, what the changelog says and what updates are tested from are one list."""

from __future__ import annotations

import re
import tomllib

from packaging.version import Version
from rendering import ROOT
from repository import has_commit, releases

HEADING = re.compile(r"^## (\d+)\.(\d+)\.(\d+) — (\d{4}-\d{2}-\d{2}|unreleased)$", re.MULTILINE)
RELEASES = releases()
PRESENT = Version(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
)


def numbers(version: str) -> tuple[int, ...]:
    """A version as something that can be put in order."""
    return tuple(int(part) for part in version.split("."))


def in_changelog() -> list[tuple[int, ...]]:
    """Every version that the changelog describes, newest first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return [tuple(map(int, found.groups()[:3])) for found in HEADING.finditer(text)]


def test_the_changelog_is_about_the_present_version_or_the_one_before_it() -> None:
    newest = in_changelog()[0]
    if PRESENT.is_devrelease:  # its changes are written down by the time that it is released
        assert newest <= PRESENT.release
    else:
        assert newest == PRESENT.release


def test_every_heading_of_the_changelog_is_a_version_and_a_date() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [each for each in text.splitlines() if each.startswith("## ")] == [
        found[0] for found in HEADING.finditer(text)
    ]
    undated = {found.groups()[:3] for found in HEADING.finditer(text) if found[4] == "unreleased"}
    assert undated <= ({tuple(map(str, PRESENT.release))} if PRESENT.is_devrelease else set())


def test_the_changelog_goes_from_the_newest_version_to_the_oldest() -> None:
    versions = in_changelog()
    assert versions == sorted(set(versions), reverse=True)


def test_releases_are_listed_from_the_oldest_to_the_newest() -> None:
    versions = [numbers(release.version) for release in RELEASES]
    assert versions == sorted(set(versions))


def test_no_release_is_newer_than_the_present_version() -> None:
    assert [each.version for each in RELEASES if Version(each.version) > PRESENT] == []


def test_each_release_has_its_place_in_the_changelog() -> None:
    assert {numbers(each.version) for each in RELEASES} <= set(in_changelog())


def test_each_release_is_part_of_the_history() -> None:
    for release in RELEASES:
        assert re.fullmatch(r"[0-9a-f]{40}", release.commit)
        assert has_commit(ROOT, release.commit), (
            f"the commit of {release.version} isn't an ancestor of HEAD; where the history is cut "
            "off, fetch the rest: git fetch --unshallow"
        )
