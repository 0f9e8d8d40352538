"""Every rule of a review, as its page in `pages` describes it."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from ..errors import CommandError
from ..generate.origin import PACKAGE
from .findings import Category, Rule, Stage, title

PAGES = Path(__file__).with_name("pages")
PAGE = re.compile(
    r"---\n(?P<table>.+?)---\n# (?P<id>\w+) (?P<title>.+?)\n\n"
    r"(?P<why>.+?) \(\[source\]\((?P<source>\S+)\)\)\n\n"
    r"\*\*Fix\.\*\* (?P<fix>.+?)\n\n\*\*Verify\.\*\* (?P<verify>.+?)\n"
    r"(\n## Found\n\n```python\n(?P<bad>.+?)```\n\n## Not found\n\n```python\n(?P<good>.+?)```\n)?",
    re.DOTALL,
)
NO_RULE = "no such rule; to list them: ml-architect review --explain ML"


def read_rule(page: Path) -> Rule:
    """The rule that a page describes."""
    match = PAGE.fullmatch(page.read_text(encoding="utf-8"))
    assert match, page
    parts = match.groupdict(default="")
    table = dict(line.split(": ", 1) for line in parts.pop("table").splitlines())
    return Rule(
        category=Category[table["category"].upper().replace(" ", "_")],
        stage=Stage[table["stage"].upper()],
        lines_to_fix=int(table["lines to fix"]),
        is_default=table["default"] == "on",
        ruff=table.get("ruff", ""),
        **parts,
    )


RULES = {page.stem: read_rule(page) for page in sorted(PAGES.glob("*.md"))}
"""By id."""


def explain(word: str) -> str:
    """The page of a rule, or a list of the rules whose ids begin with a word.

    Raises:
        CommandError: no id does.
    """
    listed = [rule for rule in RULES.values() if rule.id.startswith(word)]
    if not listed:
        raise CommandError(f"--explain {word}: {NO_RULE}")
    if len(listed) == 1:
        return (PAGES / f"{listed[0].id}.md").read_text(encoding="utf-8").rstrip()
    return "\n".join(
        f"{rule.id} {rule.title} [{title(rule.category)}]{'' if rule.is_default else ', off'}"
        for rule in listed
    )


def more(rule: Rule) -> str:
    """Where a rule's page is: an address if the package names its repository, else a command."""
    address = repository()
    page = f"blob/HEAD/src/ml_architect/review/pages/{rule.id}.md"
    return f"{address}/{page}" if address else f"{PACKAGE} review --explain {rule.id}"


@cache
def repository() -> str:
    """The address in the package's metadata; empty if there is none."""
    try:
        urls = metadata(PACKAGE).get_all("Project-URL") or []
    except PackageNotFoundError:  # it runs from a folder
        return ""
    return next((url[len("Repository, ") :] for url in urls if url.startswith("Repository, ")), "")
