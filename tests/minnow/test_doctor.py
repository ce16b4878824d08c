"""The diagnosis: right about this machine, and about installations that are damaged."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

import minnow.doctor.installed as installed
from core.runtime import cpu_count
from minnow.doctor import Diagnosis, diagnose
from minnow.doctor.installed import clashes, modules_of, package_states, requirements
from minnow.doctor.machine import cache_state

ROOT = Path(__file__).parents[2]
PROJECT = '[project]\nname = "minnow"\nversion = "9.9"\ndependencies = {required}\n{extras}'


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """The diagnosis of this environment, with an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINNOW_CACHE", str(tmp_path_factory.mktemp("home") / "new" / "cache"))
        return diagnose()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have Minnow require other packages than it does."""

    def require(*required: str, extras: str = "") -> None:
        text = PROJECT.format(required=json.dumps(required), extras=extras)
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        monkeypatch.setattr(installed, "ROOT", tmp_path)

    return require


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a package that cannot be imported before the real one."""

    def spoil(module: str, content: str) -> None:
        (tmp_path / "damaged").mkdir(exist_ok=True)
        (tmp_path / "damaged" / f"{module}.py").write_text(content, encoding="utf-8")
        monkeypatch.setattr("minnow.doctor.diagnosis.ROOT", f"{tmp_path / 'damaged'}{os.pathsep}{ROOT}")
        monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))

    return spoil


def test_a_healthy_installation_has_no_problems(healthy: Diagnosis) -> None:
    assert healthy.problems == ()
    assert [check.name for check in healthy.checks] == [
        "write and read the cache",
        "train a network",
        "export to ONNX",
    ]
    assert all(check.ok for check in healthy.checks)


def test_facts_are_those_of_the_system(healthy: Diagnosis) -> None:
    assert healthy.machine.cores_allowed == cpu_count()
    assert healthy.machine.memory_gb == pytest.approx(psutil.virtual_memory().total / 1e9)
    versions = {package.name: package.version for package in healthy.packages}
    assert versions["torch"] == version("torch")
    assert f"torch {version('torch')}" in healthy.text()
    if sys.platform == "linux":
        flags = Path("/proc/cpuinfo").read_text()
        assert all(feature in flags for feature in healthy.machine.features)


def test_extras_are_those_of_the_project(healthy: Diagnosis) -> None:
    extras = {extra.name: extra for extra in healthy.extras}
    assert {"ray", "mlflow", "tensorboard", "wandb", "openvino", "docs"} <= extras.keys()
    assert "dev" not in extras
    assert extras["cmaes"].packages[0].requirement == "cmaes>=0.10,<1"
    absent = [extra for extra in healthy.extras if not extra.present]
    assert all(f"absent: pip install 'minnow[{extra.name}]'" in healthy.text() for extra in absent)


def test_json_holds_the_same(healthy: Diagnosis) -> None:
    content = json.loads(json.dumps(healthy.to_dict()))
    assert content["problems"] == [] and content["version"] == healthy.version
    assert {extra["name"] for extra in content["extras"] if extra["present"]} == {
        extra.name for extra in healthy.extras if extra.present
    }


def test_neither_home_nor_user_is_said(healthy: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    folder = str(Path(healthy.cache.path).parents[1])
    monkeypatch.setenv("LOGNAME", "nobody-of-this-name")
    assert f"{folder}/new/cache" in healthy.text()
    monkeypatch.setenv("HOME", folder)
    monkeypatch.setenv("LOGNAME", "cache")
    for text in (healthy.text(), json.dumps(healthy.to_dict())):
        assert folder not in text and "~/new/USER" in text


def test_a_user_without_a_home_is_no_obstacle(
    healthy: Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "nobody-of-this-name")
    for home in ("", "/"):
        monkeypatch.setenv("HOME", home)
        assert healthy.cache.path in healthy.text()

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert healthy.cache.path in healthy.text()


def test_a_cache_that_may_not_be_looked_at_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: bool) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert "Permission denied" in (cache_state().problem or "")


def test_a_package_that_is_missing_or_too_old_is_one_line(project: Any) -> None:
    project("no-such-package>=2", "numpy<1", "packaging")
    found = package_states(requirements().required)
    assert [state.fits for state in found] == [False, False, True]
    diagnosis = diagnose(self_test=False)
    missing, old = diagnosis.problems
    assert missing == "no-such-package is missing: pip install 'no-such-package>=2'"
    assert old == f"numpy is {version('numpy')}, which is out of range: pip install 'numpy<1'"
    assert diagnosis.version == "9.9"


def test_an_extra_is_absent_until_all_of_it_is_there(project: Any) -> None:
    project("numpy", extras='[project.optional-dependencies]\nsome = ["numpy", "no-such-package"]\n')
    (extra,) = diagnose(self_test=False).extras
    assert not extra.present and extra.install == "pip install 'minnow[some]'"


def test_torch_that_does_not_import_is_the_only_problem(broken: Any, project: Any) -> None:
    """What needs it fails alike, and is no problem of its own."""
    project("numpy", "torch", "torchvision")
    broken("torch", "raise ImportError('libtorch.so: cannot open')")
    diagnosis = diagnose()
    assert diagnosis.problems == (
        "torch is broken (ImportError: libtorch.so: cannot open): pip install --force-reinstall torch",
    )
    assert diagnosis.gpu is None
    assert {check.name for check in diagnosis.checks if check.ok} == {"write and read the cache"}


def test_a_crash_is_an_answer(broken: Any, project: Any) -> None:
    project("torch", "numpy")
    broken("torch", "import os\nos.abort()")
    diagnosis = diagnose()
    assert diagnosis.problems == (
        "torch is broken (the process crashed (Aborted)): pip install --force-reinstall torch",
    )
    assert not any(check.ok for check in diagnosis.checks if check.name == "train a network")


def test_the_command_has_exit_code_1_where_the_cache_does_not_work(
    tmp_path: Path, minnow: Any, monkeypatch: pytest.MonkeyPatch, project: Any, broken: Any
) -> None:
    project("numpy")
    broken("torch", "raise ImportError('none')")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "file/cache"))
    said = minnow("doctor --json")
    assert said.code == 1
    (problem,) = json.loads(said.output)["problems"]
    assert problem.startswith("the cache does not work") and "set MINNOW_CACHE" in problem


def test_clashes_are_those_of_the_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wants in (("clashing-a", "clashing-b<2"), ("clashing-b", "gone-package")):
        folder = tmp_path / f"{name.replace('-', '_')}-3.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.0\nRequires-Dist: {wants}\n"
            'Requires-Dist: never; python_version < "3"\nRequires-Dist: never; extra == "x"\n'
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert clashes(["clashing_a"]) == (
        "clashing-a 3.0 wants clashing-b<2, but 3.0 is there",
        "clashing-b 3.0 wants gone-package, which is missing",
    )


def test_modules_are_what_is_imported() -> None:
    names = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn", "torch": "torch", "nni": "nni"}
    assert modules_of([*names]) == names


@pytest.mark.slow
def test_it_starts_without_the_packages_of_the_command_line(tmp_path: Path) -> None:
    """Where typer cannot be imported, other commands say so in one line."""
    (tmp_path / "typer.py").write_text("raise ImportError('no typer here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "MINNOW_CACHE": str(tmp_path / "cache")}
    code = "import sys; sys.path.insert(0, {!r}); import cli; cli.main([{!r}])"

    def call(command: str) -> subprocess.CompletedProcess[str]:
        script = code.format(str(ROOT), command)
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path
        )

    search = call("search")
    assert search.returncode == 2 and search.stderr.count("\n") == 1
    assert search.stderr.startswith("minnow: error: no typer here; the installation is incomplete")
    doctor = call("doctor")
    assert doctor.returncode == 1
    assert "typer is broken (ImportError: no typer here)" in doctor.stdout
