"""Copier's Worker as all commands use it: trusted, quiet, independent of the user's settings, fast.

Without the overrides Copier gives the same result; it repeats work for every file and checks out
the template's tests and documents, too. Nearly all that is imported here is private to Copier.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from functools import cached_property
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from copier._jinja_ext import SandboxedEnvironment
from copier._main import Worker
from copier._settings import SettingsModel
from copier._template import Template
from copier._vcs import CLONE_PREFIX, _resolve_ref, get_git, get_latest_tag, get_repo
from plumbum import local

from .repository import git, git_line, require_free

NOT_RENDERED = ("benchmarks", "docs", "examples", "src", "tests")
"""Folders of the template's repository that no project needs: two thirds of its files."""

NO_TAGS = "No git tags found in template; using HEAD as ref"


class LocalTemplate(Template):
    """A template in a repository on this machine, of which only the needed folders are checked out.

    Not used for HEAD, since Copier then includes changes that aren't committed.
    """

    @cached_property
    def local_abspath(self) -> Path:
        """The folder of the checkout, which Copier removes in the end."""
        folder = Path(mkdtemp(prefix=CLONE_PREFIX)).resolve()
        self._temp_clone_path = folder
        git = get_git(folder)
        git("clone", "--shared", "--no-checkout", "--", Path(self.url_expanded).resolve(), ".")
        patterns = ["/*", *(f"!/{name}/" for name in NOT_RENDERED)]
        sparse = folder / ".git" / "info" / "sparse-checkout"
        sparse.parent.mkdir(exist_ok=True)
        sparse.write_text("\n".join(patterns) + "\n", encoding="utf-8")
        with local.cwd(folder):
            commit = _resolve_ref(str(self.ref))
        git("-c", "core.sparseCheckout=true", "checkout", "--force", commit)
        return folder


class TemplateWorker(Worker):
    """Copier's Worker without repeated work."""

    @cached_property
    def template(self) -> Template:
        """The template, checked out in part if that is possible."""
        template = super().template
        ref = self.resolved_vcs_ref
        is_local = template.vcs == "git" and Path(template.url_expanded).is_dir()
        if not is_local or ref in (None, "HEAD"):
            return template
        partial = LocalTemplate(url=template.url, ref=ref, use_prereleases=template.use_prereleases)
        self._cleanup_hooks.append(partial._cleanup)
        return partial

    @cached_property
    def jinja_env(self) -> SandboxedEnvironment:
        """The environment, which compiles each distinct string once instead of once per file."""
        environment = super().jinja_env
        vars(environment)["from_string"] = functools.cache(environment.from_string)
        return environment

    def _render_string(self, string: str, extra_context: dict[str, Any] | None = None) -> str:
        """Render a string; most are names of files, of which Jinja would change nothing."""
        if "{" in string or "\r" in string:
            return super()._render_string(string, extra_context)
        return string

    @property
    def answers_relpath(self) -> Path:
        """The path of the answers, which is no Jinja expression in this template."""
        return Path(self.answers_file or self.template.answers_relpath)

    def _render_template(self) -> None:
        """Render, unless the files would be written through links or into other repositories."""
        require_free(self.subproject.local_abspath, self._destinations())
        super()._render_template()

    def _destinations(self) -> Iterator[str]:
        """Every file that these answers lead to."""
        root = self.template_copy_root
        for source in root.rglob("*"):
            if source.is_file():
                for path, _ in self._render_path(source.relative_to(root)):
                    if not self.match_exclude(path):
                        yield path.as_posix()

    @cached_property
    def old(self) -> dict[str, bytes]:
        """The template's files that an update begins with, without the owner's changes."""
        return {}

    def _git_initialize_repo(self) -> None:
        """Copier calls it with the old version as the current folder, then with the new one."""
        if not self.old:
            prefix = git_line(self.subproject.local_abspath, "rev-parse", "--show-prefix")
            folder = Path.cwd() / prefix
            files = [path for path in folder.rglob("*") if path.is_file()]
            self.old.update(
                {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
            )
            require_free(self.subproject.local_abspath, self.old)  # some may be deleted
        super()._git_initialize_repo()

    @cached_property
    def _is_mode_ignored(self) -> bool:
        folder = self.subproject.local_abspath
        setting = git(folder, "config", "--type=bool", "--get", "core.fileMode", none=1)
        return setting.strip() == "false"

    def _sync_git_index_executable_bit(self, dst_relpath: Path, src_mode: int) -> None:
        if self._is_mode_ignored:
            super()._sync_git_index_executable_bit(dst_relpath, src_mode)


def open_template(address: str | None, version: str | None, **options: Any) -> TemplateWorker:
    """A worker for one version of the template; None is the address that the project recorded.

    Args:
        address: of the template.
        version: of the template.
        options: as Copier's.
    """
    return TemplateWorker(
        src_path=address,
        vcs_ref=version,
        settings=SettingsModel(),  # not the user's, which would change defaults
        quiet=True,
        unsafe=True,  # only addresses that are as trusted as this package
        **options,
    )


def newest(address: str, version: str | None) -> str | None:
    """The version that was asked for, or the newest tag, or HEAD if nothing is tagged.

    Copier looks for the newest tag itself, but prints a red line if there is none.
    """
    repository = get_repo(address)
    if version is not None or repository is None:
        return version
    with redirect_stderr(StringIO()) as printed:
        tag = get_latest_tag(repository)
    for line in printed.getvalue().splitlines():
        if NO_TAGS not in line:
            print(line, file=sys.stderr)
    return tag
