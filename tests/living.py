"""A project in use: what its owner does to it, and what is the owner's in it.

The edits leave the project working, can be made to every release, and stand away from lines that
releases have changed; what happens to lines that both sides change is a test of its own.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

from combinations import CHOICES, DEFAULTS, SHAPING
from repository import tree

YOURS = (
    "README.md",
    "configs/*",
    "data/*",
    "scripts/throwaway/*",
    "src/*/data/source.py",
    "src/*/features/transforms.py",
    "src/*/models/network.py",
)
"""What an update never touches."""

OWN = ("src/*/data/mine.py", "tests/test_mine.py")
"""What the template knows nothing of."""

IGNORED = {
    "runs/full/metrics.jsonl": b'{"step": 1}\n',
    "runs/full/checkpoints/step_00000100/model.safetensors": bytes(range(256)),
    "data/cache/records.npy": b"\x93NUMPY",
    ".venv/lib/site.py": b"import this\n",
    "mine/notes.txt": b"Ask Ada.\n",
}
"""What git doesn't see: checkpoints, runs, caches, and what the owner ignores."""


def is_owners(name: str) -> bool:
    """Whether a file's content is the owner's alone."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in (*YOURS, *OWN))


ALIKE = {("license", "Apache-2.0"), ("python_version", "3.13"), ("python_version", "3.14")}
"""Answers that change the same places as another answer to the same question."""


def switches() -> list[tuple[str, str, str]]:
    """Every question that a living project can answer anew, from its default to other answers.

    And back, where going back is another matter than going there: what was added has to go.
    """
    there = [
        (question, DEFAULTS[question], answer)
        for question, answers in CHOICES.items()
        for answer in answers
        if answer != DEFAULTS[question]
        and question != "starter"
        and (question, answer) not in ALIKE
    ]
    back = [
        (question, new, old)
        for question, old, new in there
        if question in {"stage", "config"} or new in {"mlflow", "background"}
    ]
    return there + back


def switched_together() -> list[tuple[dict[str, str], dict[str, str]]]:
    """Few pairs of answers, old and new, in which every answer that decides what runs occurs."""
    names = [name for name in SHAPING if name != "starter"]
    others = {name: [each for each in CHOICES[name] if each != DEFAULTS[name]] for name in names}
    most = max(map(len, others.values()))
    defaults = {name: DEFAULTS[name] for name in names}
    changed = [
        {name: values[number % len(values)] for name, values in others.items()}
        for number in range(most)
    ]
    return [*((defaults, each) for each in changed), *((each, defaults) for each in changed[:2])]


def edit(project: Path) -> None:
    """Do to a project what its owner does in the first weeks."""
    package = next((project / "src").iterdir())
    change_the_model(package)
    add_modules(project, package)
    edit_the_loop(package)
    edit_the_rest(project, package)
    delete_and_rename(project)
    for name, content in IGNORED.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(content)


def change_the_model(package: Path) -> None:
    """Another activation, and a word in each file that is the owner's anyway."""
    network = (package / "models/network.py").read_text(encoding="utf-8")
    relu = "nn.ReLU()" in network  # a transformer has its gates
    old, new = ("nn.ReLU()", "nn.GELU()") if relu else ("silu(gate)", "silu(1.0 * gate)")
    replace(package / "models/network.py", old, new)
    for name in ("data/source.py", "features/transforms.py", "models/network.py"):
        append(package / name, "\n# Mine: see the notebook of 3 March.\n")


def add_modules(project: Path, package: Path) -> None:
    """A module, its test, and a package that it needs."""
    (package / "data/mine.py").write_text('"""Mine."""\n\nMINE = 1\n', encoding="utf-8")
    (project / "tests/test_mine.py").write_text(
        f"from {package.name}.data.mine import MINE\n\n\n"
        "def test_mine_is_one() -> None:\n    assert MINE == 1\n",
        encoding="utf-8",
    )
    insert(project / "pyproject.toml", "\n\n    # The template's:", '\n    "einops>=0.8,<1",')


def edit_the_loop(package: Path) -> None:
    """A line in the middle of the loop, and a function beside it."""
    line = "            set_learning_rate(state.optimizer, rate)\n"
    insert(package / "training/loop.py", line, "            rate *= 1.0  # mine\n")
    mine = 'def mine() -> int:\n    """Mine."""\n    return 1\n\n\n'
    insert(package / "training/loop.py", "def build_network(", mine)


def edit_the_rest(project: Path, package: Path) -> None:
    """A constant, a version, a rule for agents, an ignored folder, a setting."""
    insert(package / "cli.py", "def main(", "MINE = 1\n\n\n")
    replace(project / "pyproject.toml", 'version = "0.1.0"', 'version = "0.7.0"')
    append(project / "AGENTS.md", "\n## Ours\n\nAsk Ada before you touch the loader.\n")
    append(project / ".gitignore", "/mine/\n")
    append(project / "configs/small.toml", "\n# Mine: good enough until May.\n")
    append(project / "README.md", "\nMine.\n")


def delete_and_rename(project: Path) -> None:
    """A starter's script under another name; a config and a test that nobody needed."""
    throwaway = project / "scripts/throwaway"
    (throwaway / "explore.py").rename(throwaway / "look.py")
    (project / "configs/full.toml").unlink()
    (project / "tests/test_configs.py").unlink()


def append(file: Path, text: str) -> None:
    """Add to the end of a file."""
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def insert(file: Path, before: str, text: str) -> None:
    """Add to a file before the first place where something stands."""
    replace(file, before, text + before)


def replace(file: Path, old: str, new: str) -> None:
    """Change the first place where something stands."""
    found = file.read_text(encoding="utf-8")
    assert old in found, f"{file} has no {old!r}"
    file.write_text(found.replace(old, new, 1), encoding="utf-8")


def assert_updated(
    found: dict[str, bytes],
    before: dict[str, bytes],
    fresh: dict[str, bytes],
    untouched: dict[str, bytes],
) -> None:
    """The owner's files are as before, the others as in a fresh copy, and nothing is half merged.

    Args:
        found: the project after the update.
        before: the same, before it.
        fresh: what the new version makes, with the same edits; or untouched, as the project is.
        untouched: what the old version made. An owner's file that it didn't have is brought once.
    """
    expected = {
        name: content
        for name, content in fresh.items()
        if not is_owners(name) or (name not in untouched and name not in before)
    }
    expected |= {name: content for name, content in before.items() if is_owners(name)}
    assert sorted(found) == sorted(expected), sorted(found.keys() ^ expected.keys())
    for name, content in found.items():
        assert content.decode(errors="replace") == expected[name].decode(errors="replace"), name
        assert b"<<<<<<<" not in content, name


def ignored(project: Path) -> dict[str, bytes]:
    """What lies at the ignored paths."""
    return {name: content for name, content in tree(project).items() if name in IGNORED}
