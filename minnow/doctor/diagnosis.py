"""The diagnosis as one object: for programs, and as a text to paste into a bug report."""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from minnow.doctor.installed import (
    NAME,
    ROOT,
    ExtraState,
    PackageState,
    clashes,
    commit,
    modules_of,
    package_states,
    requirements,
)
from minnow.doctor.machine import CacheState, Machine, cache_state, machine

_TIMEOUT = 180  # seconds of all checks together
_TITLES = {"cache": "write and read the cache", "network": "train a network", "onnx": "export to ONNX"}
_SHORTEST_USER = 3  # characters of a user name that can be told from other words
_SHOWN = ("torch", "torchvision", "timm", "optuna", "nni", "numpy", "scikit-learn", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it passed, how long it took and what it says."""

    name: str
    ok: bool
    seconds: float
    detail: str


@dataclass(frozen=True)
class Gpu:
    """Accelerators that torch sees, what it is built for (a version of CUDA or ROCm), and its threads."""

    names: tuple[str, ...]
    built_for: str | None
    threads: int


@dataclass(frozen=True)
class Diagnosis:
    """The result of :func:`diagnose`; home folder and user name are left out of all texts.

    Attributes:
        version: of Minnow, with the Git commit of a checkout.
        machine: facts about the machine.
        gpu: what torch says of accelerators; ``None``: it does not work, or was not asked.
        cache: the cache folder.
        packages: required packages.
        extras: optional groups of packages.
        clashes: one line per package that wants another version of one that is there.
        checks: imports that failed, and the self-test.
        problems: one line each, with its remedy; empty where everything needed works.
    """

    version: str
    machine: Machine
    gpu: Gpu | None
    cache: CacheState
    packages: tuple[PackageState, ...]
    extras: tuple[ExtraState, ...]
    clashes: tuple[str, ...]
    checks: tuple[Check, ...]
    problems: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, texts and numbers, ready for JSON."""
        content = asdict(self)
        for extra, record in zip(self.extras, content["extras"], strict=True):
            record |= {"present": extra.present, "install": extra.install}
        anonymous: dict[str, Any] = _anonymous(content)
        return anonymous

    def text(self) -> str:
        """Return lines for people."""
        here, cache = self.machine, self.cache
        features = " ".join(here.features) or "unknown instructions"
        physical = "unknown" if here.cores_physical is None else here.cores_physical
        quota = "" if here.core_quota is None else f", {here.core_quota:g} granted"
        threads = "".join(f", {name}={value}" for name, value in here.environment.items())
        limit = "no limit" if here.memory_limit_gb is None else f"limit {here.memory_limit_gb:.1f} GB"
        by_name = {package.name: package for package in self.packages}
        shown = [by_name[name] for name in _SHOWN if name in by_name]
        rows = [
            ("Minnow", self.version),
            ("Python", here.python),
            ("system", here.system),
            ("CPU", f"{here.cpu}: {features}"),
            (
                "cores",
                f"{here.cores_allowed} allowed of {here.cores} ({physical} physical){quota}{threads}",
            ),
            ("memory", f"{_gb(here.memory_gb)}, {_gb(here.memory_free_gb)} free, {limit}"),
            ("GPU", self._gpu_text()),
            ("cache", f"{cache.path}: {_gb(cache.size_gb)}, {_gb(cache.disk_free_gb)} free on its disk"),
            ("packages", ", ".join(f"{item.name} {item.version or 'missing'}" for item in shown)),
        ]
        lines = [f"{name:<10}{value}" for name, value in rows]
        lines += ["", "extras"]
        for extra in self.extras:
            there = ", ".join(f"{item.name} {item.version}" for item in extra.packages if item.version)
            state = there if extra.present else f"absent: {extra.install}"
            lines.append(f"  {extra.name:<14}{state}")
        lines += ["", "self-test"]
        for check in self.checks:
            mark = "ok" if check.ok else "FAILED"
            lines.append(f"  {mark:<8}{check.name} ({check.seconds:.1f} s): {check.detail}")
        if self.clashes:
            lines += [
                "",
                "clashes (harmless unless something fails)",
                *(f"  {line}" for line in self.clashes),
            ]
        lines += ["", *(f"problem: {line}" for line in self.problems)]
        if not self.problems:
            lines.append("no problems found")
        text: str = _anonymous("\n".join(lines))
        return text

    def _gpu_text(self) -> str:
        if self.gpu is None:
            return "unknown: torch does not work, or was not asked"
        build = (
            f"torch is built for {'CUDA/ROCm ' + self.gpu.built_for if self.gpu.built_for else 'the CPU'}"
        )
        return f"{', '.join(self.gpu.names) or 'none'} ({build}, {self.gpu.threads} threads)"


def diagnose(*, self_test: bool = True) -> Diagnosis:
    """Look at the machine, the packages and the cache.

    Args:
        self_test: also import the packages, train a network and export it, and use the cache, in
            processes of their own; it takes some ten seconds.
    """
    problems: list[str] = []
    version, lines = "unknown", tuple[str, ...]()
    packages: tuple[PackageState, ...] = ()
    extras: tuple[ExtraState, ...] = ()
    try:
        wanted = requirements()
        at = commit()
        version = wanted.version if at is None else f"{wanted.version} (commit {at})"
        packages = package_states(wanted.required)
        extras = tuple(ExtraState(name, package_states(texts)) for name, texts in wanted.extras.items())
        lines = clashes([package.name for package in packages])
    except PackageNotFoundError:
        problems.append(f"{NAME} is not installed: pip install {NAME}, or 'make setup' in a checkout")
    except ImportError as error:
        problems.append(f"{error}: pip install packaging")
    problems += [_package_problem(package) for package in packages if not package.fits]
    modules = modules_of([package.name for package in packages if package.version is not None])
    cache = cache_state()
    if cache.problem is not None:
        problems.append(cache.problem)
    gpu, checks = _probe(list(modules.values())) if self_test else (None, ())
    owners = {f"import {module}": name for name, module in modules.items()}
    explained = {
        f"No module named '{_module(package.name)}'" for package in packages if not package.version
    }
    for check in checks:
        if check.ok or any(words in check.detail for words in explained):
            continue
        if check.name in owners or check.name == _TITLES["cache"] or not problems:
            problems.append(_check_problem(check, owners.get(check.name)))
            explained.add(check.detail)  # what imports a broken package fails alike
    tested = tuple(check for check in checks if not check.ok or check.name not in owners)
    return Diagnosis(version, machine(), gpu, cache, packages, extras, lines, tested, tuple(problems))


def _probe(modules: Sequence[str]) -> tuple[Gpu | None, tuple[Check, ...]]:
    """Run the checks in a process of their own, and again without a module that ends it."""
    waiting, outcomes = list(modules), dict[str, Check]()
    gpu = None
    while True:
        records, ended = _outcomes(waiting)
        unfinished = ""
        for record in records:
            name = _TITLES.get(record["name"], record["name"])
            if record.get("begun"):
                unfinished = name
            else:
                unfinished, detail = "", record["detail"]
                if record["name"] == "gpu":
                    gpu = (
                        Gpu(tuple(detail["names"]), detail["built_for"], detail["threads"])
                        if record["ok"]
                        else None
                    )
                else:
                    outcomes[name] = Check(name, record["ok"], record["seconds"], str(detail or ""))
        if unfinished:
            outcomes[unfinished] = Check(unfinished, False, 0.0, ended)
        module = unfinished.removeprefix("import ")
        if module not in waiting:
            break
        waiting.remove(module)
    for title in _TITLES.values():
        outcomes.setdefault(
            title, Check(title, False, 0.0, "not run, since an earlier check ended the process")
        )
    return gpu, tuple(outcomes.values())


def _outcomes(modules: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """Return what one process found, and how it ended."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "minnow.doctor.probe", *modules]
    pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **pipes)
    try:
        output, _ = process.communicate(timeout=_TIMEOUT)
        ended = f"the process ended with exit code {process.returncode}"
        if process.returncode < 0:
            ended = f"the process crashed ({signal.strsignal(-process.returncode)})"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        ended = f"no end in {_TIMEOUT} s"
    return [json.loads(line) for line in output.decode("utf-8").splitlines() if line.endswith("}")], ended


def _package_problem(package: PackageState) -> str:
    state = "missing" if package.version is None else f"{package.version}, which is out of range"
    return f"{package.name} is {state}: pip install '{package.requirement}'"


def _module(package: str) -> str:
    """Return the usual module of a package that is missing."""
    return package.replace("-", "_")


def _check_problem(check: Check, package: str | None) -> str:
    if package is not None:
        return f"{package} is broken ({check.detail}): pip install --force-reinstall {package}"
    if check.name == _TITLES["cache"]:
        return (
            f"the cache does not work ({check.detail}): set MINNOW_CACHE to a folder that can be written"
        )
    return f"the self-test '{check.name}' failed ({check.detail}): report it, with this text"


def _anonymous(value: Any) -> Any:
    """Return texts without home folder and user name, in lists and dictionaries, too."""
    if isinstance(value, str):
        home = _home()
        text = value.replace(home, "~") if home else value
        user = _user()
        if len(user) < _SHORTEST_USER:
            return text
        return re.sub(rf"(?<![A-Za-z0-9]){re.escape(user)}(?![A-Za-z0-9])", "USER", text)
    if isinstance(value, dict):
        return {name: _anonymous(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_anonymous(item) for item in value]
    return value


def _home() -> str:
    """Return the home folder; nothing if there is none of its own."""
    try:
        home = str(Path.home())
    except (OSError, RuntimeError):  # a container's user without a name
        return ""
    return home if home not in ("/", ".") else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return ""


def _gb(size: float | None) -> str:
    return "unknown" if size is None else f"{size:.1f} GB"
