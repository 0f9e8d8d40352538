"""What a project's metadata and configuration files say."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

MAX_BYTES = 200_000
MAX_TOTAL = 3_000_000
MAX_SETTINGS = 50_000
SAFE_LOADS = Version("2.6")  # from here on `torch.load` refuses what isn't tensors by default
LATER = [Version(f"{major}.{minor}") for major in (2, 3) for minor in range(6, 40)]


@dataclass(frozen=True)
class Setting:
    """One value of a configuration file."""

    path: str
    key: str
    """With dots: `trainer.max_epochs`."""
    value: object


@dataclass
class Metadata:
    """Scripts, requirements and settings."""

    scripts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """`package.module:function` with the file that names it."""
    torch: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Version specifiers of torch with the file that holds them."""
    settings: list[Setting] = field(default_factory=list[Setting])
    total: int = 0

    @property
    def torch_may_refuse(self) -> bool:
        """Whether a torch of 2.6 or later may be installed, as far as the requirements say."""
        for specifier, _ in self.torch:
            try:
                allowed = SpecifierSet(specifier)
            except InvalidSpecifier:
                continue
            if not any(version in allowed for version in LATER) and SAFE_LOADS not in allowed:
                return False
        return True

    @property
    def torch_text(self) -> str:
        """What the requirements say of torch, for a reader."""
        if not self.torch:
            return "no requirement bounds torch"
        return ", ".join(
            f"torch{specifier or ' (any version)'} in {path}" for specifier, path in self.torch
        )

    def has_key(self, pattern: str) -> Setting | None:
        """The first setting whose key matches."""
        compiled = re.compile(pattern)
        return next((each for each in self.settings if compiled.search(each.key)), None)


def add_file(metadata: Metadata, path: str, data: bytes) -> None:
    """Read one metadata or configuration file; what can't be read is left out."""
    name = path.rpartition("/")[2]
    is_requirements = (
        bool(re.match(r"(requirements|constraints|environment)", name)) or "requirements" in path
    )
    if name.endswith(".txt") and not is_requirements:
        return
    if len(data) > MAX_BYTES or metadata.total > MAX_TOTAL:
        return
    metadata.total += len(data)
    text = data.decode(errors="replace")
    try:
        if name.endswith(".txt"):
            add_requirements(metadata, path, text.splitlines())
        elif name == "setup.cfg":
            add_setup_cfg(metadata, path, text)
        elif name.endswith(".toml"):
            add_toml(metadata, path, tomllib.loads(text))
        elif name.endswith((".yaml", ".yml")):
            add_yaml(metadata, path, text)
    except (ValueError, yaml.YAMLError, configparser.Error, RecursionError):
        return


def add_requirements(metadata: Metadata, path: str, lines: list[str]) -> None:
    """Keep what a list of requirements says of torch."""
    for line in lines:
        bare = line.partition("#")[0].strip().rstrip(",").strip("\"'")
        bare = re.sub(r"^[\w-]+::", "", bare)  # conda's channel
        if not re.match(r"(torch|pytorch)\b(?![-_.]?\w)", bare.lower()):
            continue
        bare = re.sub(r"^pytorch", "torch", bare, flags=re.IGNORECASE)
        bare = re.sub(r"^torch\s*=\s*([\d.]+).*$", r"torch==\1.*", bare)  # conda's `pytorch=1.13`
        try:
            metadata.torch.append((str(Requirement(bare).specifier), path))
        except InvalidRequirement:
            continue


def add_setup_cfg(metadata: Metadata, path: str, text: str) -> None:
    """Read requirements and scripts of a setup.cfg."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    add_requirements(
        metadata, path, parser.get("options", "install_requires", fallback="").splitlines()
    )
    for line in parser.get("options.entry_points", "console_scripts", fallback="").splitlines():
        if "=" in line:
            metadata.scripts.append((line.partition("=")[2].strip(), path))


def add_setup_py(metadata: Metadata, path: str, strings: list[str]) -> None:
    """Read requirements and scripts among the string constants of a setup.py."""
    add_requirements(metadata, path, strings)
    for string in strings:
        for line in string.splitlines():
            if match := re.fullmatch(r"\s*[\w.-]+\s*=\s*([\w.]+:[\w.]+)\s*", line):
                metadata.scripts.append((match[1], path))


def add_toml(metadata: Metadata, path: str, table: dict[str, Any]) -> None:
    """Read a pyproject.toml, or settings."""
    if path.rpartition("/")[2] != "pyproject.toml":
        metadata.settings.extend(flatten(path, table, MAX_SETTINGS - len(metadata.settings)))
        return
    project = cast(dict[str, Any], table.get("project", {}))
    extras = cast(dict[str, list[str]], project.get("optional-dependencies", {}))
    groups = [project.get("dependencies", []), *extras.values()]
    add_requirements(metadata, path, [str(line) for group in groups for line in group])
    poetry = cast(dict[str, Any], table.get("tool", {}).get("poetry", {}))
    if "torch" in (found := cast(dict[str, Any], poetry.get("dependencies", {}))):
        version = found["torch"]
        text = str(version["version"] if isinstance(version, dict) else version).replace("^", ">=")
        metadata.torch.append((text if text[:1] in "<>=!~" else f"=={text}", path))
    for scripts in (project.get("scripts", {}), poetry.get("scripts", {})):
        metadata.scripts.extend((str(target), path) for target in scripts.values())


def add_yaml(metadata: Metadata, path: str, text: str) -> None:
    """Read settings or a conda environment."""
    loader = cast(type[yaml.SafeLoader], getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for document in yaml.load_all(text, Loader=loader):
        name = path.rpartition("/")[2]
        if name.startswith("env") and isinstance(document, dict) and "dependencies" in document:
            lines = [str(each.value) for each in flatten(path, document, 1000)]
            add_requirements(metadata, path, lines)
            return
        metadata.settings.extend(flatten(path, document, MAX_SETTINGS - len(metadata.settings)))


def flatten(path: str, document: object, limit: int) -> Iterator[Setting]:
    """Values with their dotted keys; an anchor that is used twice is visited once."""
    seen: set[int] = set()
    stack: list[tuple[str, object]] = [("", document)]
    while stack and limit > 0:
        key, value = stack.pop()
        if isinstance(value, dict | list):
            if id(value) in seen:
                continue
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            children = [(f"{key}.{name}" if key else str(name), each) for name, each in items]
            stack.extend(reversed(children))
        else:
            limit -= 1
            yield Setting(path, key, value)
