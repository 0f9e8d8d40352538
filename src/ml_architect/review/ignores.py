"""Comments that accept a finding: `# review: ignore[ML107] the seed is set by the launcher`."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from .findings import Finding, Place
from .rules import NO_RULE, RULES

COMMENT = re.compile(r"#\s*review:\s*ignore\b\s*(?:\[([^\]]*)\])?\s*(.*)")

UNUSED = RULES["ML401"]
INVALID = RULES["ML402"]


@dataclass(frozen=True)
class Ignore:
    """One id of a comment, and the line that it is about."""

    id: str
    line: int
    comment: Place


def apply(
    findings: Iterable[Finding],
    sources: Mapping[str, str],
    active: Collection[str],
) -> list[Finding]:
    """Remove what comments accept, and add a finding for each comment that doesn't work.

    Args:
        findings: of the checks.
        sources: text of every file by its path.
        active: ids of the rules that were looked for; comments about others may stay.
    """
    ignores: dict[tuple[str, int, str], Ignore] = {}
    kept: list[Finding] = []
    for path, text in sources.items():
        if "review:" in text:
            valid, invalid = _read(path, text)
            ignores |= {(path, ignore.line, ignore.id): ignore for ignore in valid}
            kept += [finding for finding in invalid if INVALID.id in active]
    used: set[Ignore] = set()
    for finding in findings:
        places: list[Place] = []
        for place in finding.places:
            ignore = ignores.get((place.path, place.line, finding.rule.id))
            if ignore is None:
                places.append(place)
            else:
                used.add(ignore)
        if places:
            kept.append(replace(finding, places=tuple(places)))
    for ignore in ignores.values():
        if ignore not in used and ignore.id in active and UNUSED.id in active:
            message = f"{ignore.id} isn't found on line {ignore.line}"
            kept.append(Finding(UNUSED, (ignore.comment,), message, "this comment and that line"))
    return kept


def _read(path: str, text: str) -> tuple[list[Ignore], list[Finding]]:
    """The comments of a file: those that work, and a finding for each that doesn't."""
    valid: list[Ignore] = []
    invalid: list[Finding] = []
    for line, column, comment, target in _comments(text):
        match = COMMENT.match(comment)
        if match is None:
            continue
        ids = [word.strip() for word in (match[1] or "").split(",") if word.strip()]
        place = Place(path, line, column)
        problems = [f"{word}: {NO_RULE}" for word in ids if word not in RULES]
        if not ids:
            problems.append("it names no rule")
        elif not match[2].strip():
            problems.append("it gives no reason")
        if problems:
            invalid.append(Finding(INVALID, (place,), "; ".join(problems), f"`{comment:.80}`"))
        else:
            valid += [Ignore(word, target, place) for word in ids]
    return valid, invalid


def _comments(text: str) -> list[tuple[int, int, str, int]]:
    """Line, column and text of each comment, and the line of code that it is about.

    A comment that stands alone is about the next line of code.
    """
    found: list[tuple[int, int, str, int]] = []
    alone: list[tuple[int, int, str]] = []
    has_code = False  # on this line, before the comment
    skipped = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            (line, column), is_new_line = token.start, token.type in skipped
            if token.type == tokenize.COMMENT:
                if has_code:
                    found.append((line, column + 1, token.string, line))
                else:
                    alone.append((line, column + 1, token.string))
            elif is_new_line:
                has_code = has_code and token.type not in (tokenize.NL, tokenize.NEWLINE)
            else:
                has_code = True
                found += [(*comment, line) for comment in alone]
                alone.clear()
    except (tokenize.TokenError, SyntaxError):
        return found  # the engine reports a file that can't be read
    return found
