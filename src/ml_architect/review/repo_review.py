"""A check for repo-review, which asks one yes-or-no question of a whole repository."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path


class ML001:
    """Training code has no fault that `ml-architect review` finds"""  # noqa: D415 - shown

    family = "ml"

    @staticmethod
    def check(root: Traversable) -> str | None:
        """None if there is nothing to read, an empty string if there is nothing to change."""
        from ..errors import CommandError
        from .review import Options, make_report

        if not isinstance(root, Path):  # a repository that isn't on this machine
            return None
        try:
            report = make_report(Options(path=root))
        except CommandError:
            return None
        return "\n".join(
            f"- `{one.places[0]}` {one.rule.id}: {one.message}" for one in report.findings
        )


def repo_review_checks() -> dict[str, ML001]:
    """The entry point."""
    return {"ML001": ML001()}
