"""Installed packages, against what Minnow's own metadata asks for; read, not imported."""

from __future__ import annotations

import importlib.metadata as metadata
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = "minnow"


@dataclass(frozen=True)
class PackageState:
    """A required package.

    Attributes:
        name: of the distribution.
        requirement: as in the metadata, such as ``torch>=2.9,<2.16``.
        version: installed; ``None``: missing.
        fits: whether that version meets the requirement.
    """

    name: str
    requirement: str
    version: str | None
    fits: bool


@dataclass(frozen=True)
class ExtraState:
    """An optional group of packages."""

    name: str
    packages: tuple[PackageState, ...]

    @property
    def present(self) -> bool:
        """True if all of its packages are installed, in versions that fit."""
        return all(package.fits for package in self.packages)

    @property
    def install(self) -> str:
        """Command that installs it."""
        return f"pip install '{NAME}[{self.name}]'"


@dataclass(frozen=True)
class Requirements:
    """The version of Minnow and its requirements, as texts; those of extras by name."""

    version: str
    required: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]


def requirements() -> Requirements:
    """Return what the checkout's pyproject.toml states, else the metadata of the installed package."""
    file = ROOT / "pyproject.toml"
    if file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == NAME:
            extras = project.get("optional-dependencies", {})
            groups = {name: tuple(texts) for name, texts in extras.items() if name != "dev"}
            return Requirements(project["version"], tuple(project["dependencies"]), groups)
    required, groups = [], {}
    distribution = metadata.distribution(NAME)
    for text in distribution.requires or ():
        requirement, _, condition = (part.strip() for part in text.partition(";"))
        if "extra ==" not in condition:
            required.append(requirement)
        elif (extra := condition.rpartition("==")[2].strip(" \"')")) != "dev":
            groups[extra] = (*groups.get(extra, ()), requirement)
    return Requirements(distribution.version, tuple(required), groups)


def package_states(texts: Iterable[str]) -> tuple[PackageState, ...]:
    """Compare requirements with what is installed.

    Raises:
        ImportError: the package ``packaging`` is missing.
    """
    from packaging.requirements import Requirement

    states = []
    for text in texts:
        requirement = Requirement(text)
        version = _version(requirement.name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        states.append(PackageState(requirement.name, text, version, fits))
    return tuple(states)


def clashes(names: Iterable[str]) -> tuple[str, ...]:
    """Return one line per installed package that wants another version of a package than is installed.

    Args:
        names: of distributions; what they require is looked at, too.

    Raises:
        ImportError: the package ``packaging`` is missing.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    waiting, seen, lines = [canonicalize_name(name) for name in names], set[str](), []
    while waiting:
        name = waiting.pop()
        if name in seen or (version := _version(name)) is None:
            continue
        seen.add(name)
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            waiting.append(canonicalize_name(requirement.name))
            other = _version(requirement.name)
            if other is None:
                lines.append(f"{name} {version} wants {requirement.name}, which is missing")
            elif not requirement.specifier.contains(other, prereleases=True):
                wanted = f"{requirement.name}{requirement.specifier}"
                lines.append(f"{name} {version} wants {wanted}, but {other} is there")
    return tuple(sorted(lines))


def modules_of(names: Sequence[str]) -> dict[str, str]:
    """Return the module that each installed distribution is imported by: ``pillow`` → ``PIL``."""
    provided: dict[str, list[str]] = {}
    for module, owners in metadata.packages_distributions().items():
        for owner in owners:
            provided.setdefault(_plain(owner), []).append(module)
    modules = {}
    for name in names:
        public = [module for module in provided.get(_plain(name), ()) if not module.startswith("_")]
        if public:
            modules[name] = min(public, key=lambda module: (_plain(module) != _plain(name), len(module)))
    return modules


def commit() -> str | None:
    """Return the short Git commit of a checkout; ``None`` where there is none."""
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(".", "")
