"""A project in use: the owner's edits, and which files are the owner's.

The edits keep the project working, apply to every release, and don't touch lines that releases have
changed; lines that both sides change have a test of their own.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

from combinations import CATALOGUE, CHOICES, CODE_QUESTIONS, DEFAULTS, is_valid
from history import HISTORY, RemovedFile
from repository import tree

YOURS = (
    "README.md",
    "configs/*",
    "data/*",
    "scripts/throwaway/*",
    "src/*/settings.py",
    "src/*/data/source.py",
    "src/*/features/transforms.py",
    "src/*/models/network.py",
    "src/*/eval/metrics.py",
)
"""Files that an update never changes."""

OWN = ("src/*/data/mine.py", "tests/test_mine.py")
"""Files that the template doesn't have."""

IGNORED = {
    "runs/full/metrics.jsonl": b'{"step": 1}\n',
    "runs/full/checkpoints/step_00000100/model.safetensors": bytes(range(256)),
    "data/cache/inputs.npy": b"\x93NUMPY",
    ".venv/lib/site.py": b"import this\n",
    "mine/notes.txt": b"Ask Ada.\n",
}
"""Files that git ignores: checkpoints, runs, caches, and the owner's own."""

FIXED = {question.name for question in CATALOGUE.questions if not question.can_change}
"""Questions whose answers can't be changed in an existing project."""

SIMILAR = {
    *(("tracker", answer) for answer in CHOICES["tracker"] if answer != "mlflow"),
    ("checkpoint", "rolling"),
    ("license", "Apache-2.0"),
    ("python_version", "3.13"),
    ("python_version", "3.14"),
}
"""Answers that change the same lines and files as another answer to the same question."""


def is_owners(name: str) -> bool:
    """Whether a file belongs to the owner."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in (*YOURS, *OWN))


def switches() -> list[tuple[str, str, str]]:
    """Each change of one answer, from the default to another: question, old and new answer.

    And from another stage, or several devices, back to the default, which removes files again.
    """
    forward = [
        (question, DEFAULTS[question], answer)
        for question, answers in CHOICES.items()
        for answer in answers
        if answer != DEFAULTS[question]
        and question not in FIXED
        and (question, answer) not in SIMILAR
    ]
    backward = [(q, new, old) for q, old, new in forward if q in ("stage", "devices")]
    return forward + backward


def switched_together() -> list[tuple[dict[str, str], dict[str, str]]]:
    """Few pairs of old and new answers that contain every answer that selects code."""
    names = [name for name in CODE_QUESTIONS if name not in FIXED]
    others = {name: [a for a in CHOICES[name] if a != DEFAULTS[name]] for name in names}
    count = max(map(len, others.values()))
    defaults = {name: DEFAULTS[name] for name in names}
    changed = [
        {name: values[number % len(values)] for name, values in others.items()}
        for number in range(count)
    ]
    for answers in changed:
        if not is_valid({**DEFAULTS, **answers}):
            answers["devices"] = "ddp"
    return [*((defaults, answers) for answers in changed), (changed[0], defaults)]


def edit(project: Path) -> None:
    """Edit a project as its owner does in the first weeks."""
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
    """Change the activation, and append a line to each of the owner's files."""
    network = (package / "models/network.py").read_text(encoding="utf-8")
    relu = "nn.ReLU()" in network  # the transformer has gates
    old, new = ("nn.ReLU()", "nn.GELU()") if relu else ("silu(gate)", "silu(1.0 * gate)")
    replace(package / "models/network.py", old, new)
    for pattern in YOURS:
        if pattern.startswith("src/*/"):
            append(package / pattern.removeprefix("src/*/"), "\n# Mine: see the notebook.\n")


def add_modules(project: Path, package: Path) -> None:
    """Add a module, its test, and a requirement."""
    (package / "data/mine.py").write_text('"""Mine."""\n\nMINE = 1\n', encoding="utf-8")
    (project / "tests/test_mine.py").write_text(
        f"from {package.name}.data.mine import MINE\n\n\n"
        "def test_mine_is_one() -> None:\n    assert MINE == 1\n",
        encoding="utf-8",
    )
    insert(project / "pyproject.toml", "\n\n    # The template's:", '\n    "einops>=0.8,<1",')


def edit_the_loop(package: Path) -> None:
    """Add a line inside the training loop, and a function."""
    line = "            for group in state.optimizer.param_groups:\n"
    insert(package / "training/loop.py", line, "            rate *= 1.0  # mine\n")
    mine = 'def mine() -> int:\n    """Mine."""\n    return 1\n\n\n'
    insert(package / "training/loop.py", "def build_model(", mine)


def edit_the_rest(project: Path, package: Path) -> None:
    """Change the version, and add a constant, an ignored folder and notes."""
    insert(package / "cli.py", "class Parser(", "MINE = 1\n\n\n")
    replace(project / "pyproject.toml", 'version = "0.1.0"', 'version = "0.7.0"')
    append(project / ".gitignore", "/mine/\n")
    append(project / "configs/small.toml", "\n# Mine: good enough until May.\n")
    append(project / "README.md", "\nMine.\n")


def delete_and_rename(project: Path) -> None:
    """Rename a script, and delete a config."""
    scripts = project / "scripts/throwaway"
    (scripts / "explore.py").rename(scripts / "look.py")
    (project / "configs/full.toml").unlink()


def append(file: Path, text: str) -> None:
    """Append to a file."""
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def insert(file: Path, before: str, text: str) -> None:
    """Insert into a file, before the first occurrence of a string."""
    replace(file, before, text + before)


def replace(file: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a string."""
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old!r}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def assert_updated(
    after: dict[str, bytes],
    before: dict[str, bytes],
    fresh: dict[str, bytes],
    unedited: dict[str, bytes],
) -> None:
    """Check that the owner's files are unchanged, and that the others match a fresh copy.

    Args:
        after: the project after the update.
        before: the project before it.
        fresh: a fresh copy of the new version, with the same edits, if any.
        unedited: a fresh copy of the old version. The update adds owner's files that it lacks.
    """
    expected = {
        name: content
        for name, content in fresh.items()
        if not is_owners(name) or (name not in unedited and name not in before)
    }
    removed = [entry for entry in HISTORY if isinstance(entry, RemovedFile)]
    stays = {entry.path.removeprefix("src/{package_name}/") for entry in removed if entry.stays}
    expected |= {
        name: content
        for name, content in before.items()
        if is_owners(name) or name.removeprefix("src/digits/") in stays
    }
    assert sorted(after) == sorted(expected), sorted(after.keys() ^ expected.keys())
    for name, content in after.items():
        assert content.decode(errors="replace") == expected[name].decode(errors="replace"), name
        assert b"<<<<<<<" not in content, name


def ignored(project: Path) -> dict[str, bytes]:
    """The contents of the ignored files."""
    return {name: content for name, content in tree(project).items() if name in IGNORED}
