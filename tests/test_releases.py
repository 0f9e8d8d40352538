"""What is published, what the changelog says and what updates are tested from are one list."""

from __future__ import annotations

import re
import tomllib

import pytest
from rendering import ROOT
from repository import Release, has_commit, releases

HEADING = re.compile(r"^## (\d+)\.(\d+)\.(\d+) — (\d{4}-\d{2}-\d{2})$", re.MULTILINE)
RELEASES = releases()


def numbers(version: str) -> tuple[int, ...]:
    """A version as something that can be put in order."""
    return tuple(int(part) for part in version.split("."))


def in_changelog() -> list[tuple[int, ...]]:
    """Every version that the changelog describes, newest first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return [tuple(map(int, found.groups()[:3])) for found in HEADING.finditer(text)]


def test_the_changelog_is_about_the_present_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert in_changelog()[:1] == [numbers(project["version"])]


def test_every_heading_of_the_changelog_is_a_version_and_a_date() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("## ") and not HEADING.match(line)] == []


def test_the_changelog_goes_from_the_newest_version_to_the_oldest() -> None:
    versions = in_changelog()
    assert versions == sorted(set(versions), reverse=True)


def test_releases_are_listed_from_the_oldest_to_the_newest() -> None:
    versions = [numbers(release.version) for release in RELEASES]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("release", RELEASES, ids=lambda each: each.version)
def test_a_release_has_its_place_in_the_changelog(release: Release) -> None:
    assert numbers(release.version) in in_changelog()


@pytest.mark.parametrize("release", RELEASES, ids=lambda each: each.version)
def test_a_release_is_part_of_the_history(release: Release) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", release.commit)
    assert has_commit(ROOT, release.commit), (
        f"the commit of {release.version} isn't an ancestor of HEAD; where the history is cut off, "
        "fetch the rest: git fetch --unshallow"
    )
