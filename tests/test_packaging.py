"""The wheel: what it holds, and that it runs outside the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "nas", "training", "teachers", "distill", "deploy", "minnow")
SEARCH = "search --data digits --space toy --strategy annealing --trials 2 --epochs 1 --out found".split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of."""
    source = tmp_path_factory.mktemp("source")
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE", "cli.py"):
        shutil.copy(ROOT / name, source)
    wheels = source / "wheels"
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(wheels), str(source)], check=True, timeout=300)
    (built,) = wheels.glob("*.whl")
    return built


def test_it_holds_all_files_of_the_packages_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file())
    wanted = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert inside == {*wanted, "cli.py"}
    assert {f"{name}/py.typed" for name in PACKAGES} < inside


@pytest.mark.system
def test_it_runs_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    """With the dependencies of this environment."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    plugin = tmp_path / "plugin"
    shutil.copytree(ROOT / "examples" / "strategy_plugin", plugin)
    subprocess.run([*pip, "--target", str(site), str(wheel), str(plugin)], check=True, timeout=300)
    environment = {**os.environ, "PYTHONPATH": str(site), "MINNOW_CACHE": str(tmp_path / "cache")}
    _try_out([sys.executable, str(site / "bin" / "minnow")], environment, tmp_path, site)


@pytest.mark.slow
def test_it_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """With its own dependencies alone."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    plugin = tmp_path / "plugin"
    shutil.copytree(ROOT / "examples" / "strategy_plugin", plugin)
    install = [str(python), "-m", "pip", "install", "--quiet", str(wheel), str(plugin)]
    subprocess.run(install, check=True, timeout=1800)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MINNOW_CACHE"] = str(tmp_path / "cache")
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    _try_out([str(python.with_name("minnow"))], environment, tmp_path, site)
    check = [str(python), "-m", "pip", "check"]
    assert "minnow" not in subprocess.run(check, capture_output=True, text=True, timeout=60).stdout


def _try_out(minnow: list[str], environment: dict[str, str], folder: Path, site: Path) -> None:
    """Search with a plugin, train, export, all with the code in ``site``."""

    def run(program: list[str], *arguments: str) -> str:
        program = [*program, *arguments]
        settings = {"env": environment, "cwd": folder, "capture_output": True, "text": True}
        done = subprocess.run(program, **settings, timeout=600)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
        return done.stdout

    python = [str(site.parents[2] / "bin" / "python")] if len(minnow) == 1 else minnow[:1]
    assert run([*python, "-c"], "import minnow; print(minnow.__file__)").startswith(str(site))
    assert "annealing" in run(minnow, "plugins")
    run(minnow, *SEARCH)
    run(minnow, "train", "--model", "found", "--epochs", "1", "--out", "trained")
    run(minnow, "export", "trained")
    assert "</html>" in (folder / "found" / "report.html").read_text()
