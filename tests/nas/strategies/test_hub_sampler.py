"""Samplers of OptunaHub: from a folder, from its cache, and everything that can go wrong with a package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import nas.strategies
from core.errors import UserError
from nas.objectives import Objectives
from nas.spaces.macro import Macro
from nas.strategies import Strategy
from nas.strategies.testing.strategy_case import made_up_metrics, run_trials

pytest.importorskip("optunahub")

SAMPLER = """
from __future__ import annotations

from optuna.samplers import NSGAIISampler


class Mine(NSGAIISampler):
    def __init__(self, *, seed: int | None = None, population_size: int = 5) -> None:
        super().__init__(seed=seed, population_size=population_size)


class Plain(NSGAIISampler):
    def __init__(self) -> None:
        super().__init__(seed=1)


class Numbers(NSGAIISampler):
    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)

    def sample_independent(self, study, trial, param_name, param_distribution):
        return param_distribution.low
"""
CACHED = "github.com/optuna/optunahub-registry/main/package/samplers"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, and a proxy that nothing listens on."""
    monkeypatch.setenv("OPTUNAHUB_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    def written(where: str = "registry/package/samplers/mine", exported: str = "Mine") -> Path:
        folder = tmp_path / where
        folder.mkdir(parents=True)
        names = [name for name in exported.split(",") if name]
        lines = [f"from .sampler import {name}" for name in names]
        (folder / "__init__.py").write_text("\n".join([*lines, f"__all__ = {names}"]) + "\n")
        (folder / "sampler.py").write_text(SAMPLER)
        return folder

    return written


def make(name: str, goals: tuple[str, ...] = ("f1",), **options: object) -> Strategy:
    strategy = nas.strategies.REGISTRY.load_with(name, options)(
        Macro(), Objectives.parse(goals, ["train_seconds<=1"]), num_classes=10, seed=3, **options
    )
    assert isinstance(strategy, Strategy)
    return strategy


@pytest.mark.parametrize("goals", [("f1",), ("f1", "macs")])
def test_a_package_proposes_what_its_sampler_does(
    package: Callable[..., Path], goals: tuple[str, ...]
) -> None:
    """The hub's NSGA-II with generations of 5 is Optuna's, generations, limits and goals included."""
    package()
    ours = make("optunahub:./registry/package/samplers/mine", goals, population_size=4)
    optunas = make("optuna:nsgaii", goals, population_size=4)
    draws = [
        [trial.choices for trial in run_trials(strategy, 13, lambda p: p.complete(made_up_metrics(p)))]
        for strategy in (ours, optunas)
    ]
    assert draws[0] == draws[1]
    generations = [t.system_attrs["Mine:generation"] for t in ours._history.trials]  # type: ignore[attr-defined]
    assert generations == [0] * 4 + [1] * 4 + [2] * 4 + [3]


def test_options_are_the_samplers(package: Callable[..., Path]) -> None:
    name = f"optunahub:{package()}"
    assert nas.strategies.REGISTRY.option_names(nas.strategies.load(name)) == ["population_size"]
    with pytest.raises(UserError, match=r"no option 'mutation'; it has: population_size"):
        make(name, mutation=1)
    with pytest.raises(UserError, match="population_size must be int, got 'x'"):
        make(name, population_size="x")


@pytest.mark.parametrize(
    ("name", "folder"), [("optunahub:mine", "mine"), ("optuna:auto", "auto_sampler")]
)
def test_a_package_of_the_cache_needs_no_network(
    package: Callable[..., Path], name: str, folder: str
) -> None:
    from nas.strategies import hub_sampler

    hub_sampler._module.cache_clear()
    hub_sampler._strategy.cache_clear()
    package(f"cache/{CACHED}/{folder}")
    assert len(run_trials(make(name), 3)) == 3


def test_two_folders_of_one_name_are_two_packages(package: Callable[..., Path]) -> None:
    first, second = package("a/mine"), package("b/mine")
    (second / "sampler.py").write_text(
        SAMPLER.replace("population_size: int = 5", "population_size: int = 9")
    )
    defaults = [
        nas.strategies.load(f"optunahub:{folder}").__signature__.parameters["population_size"].default  # type: ignore[attr-defined]
        for folder in (first, second)
    ]
    assert defaults == [5, 9]


@pytest.mark.parametrize(
    ("exported", "suffix", "complaint"),
    [
        ("Mine,Plain", "", "not one sampler in __all__, but: Mine, Plain; name one after a colon"),
        ("Mine", ":Other", "no sampler 'Other' in __all__, but: Mine"),
        ("", "", "not one sampler in __all__, but: none"),
        ("Mine,Plain", ":Plain", "Plain takes no seed"),
        ("Nothing", "", "cannot be imported: ImportError: cannot import name 'Nothing'"),
    ],
)
def test_wrong_packages(package: Callable[..., Path], exported: str, suffix: str, complaint: str) -> None:
    package(exported=exported)
    with pytest.raises(UserError, match=complaint) as error:
        nas.strategies.load(f"optunahub:./registry/package/samplers/mine{suffix}")
    assert "\n" not in str(error.value)


def test_one_of_several_samplers_is_named(package: Callable[..., Path]) -> None:
    assert make(f"optunahub:{package(exported='Plain,Mine')}:Mine").ask().number == 0


def test_a_sampler_that_knows_no_categories_is_refused_before_the_search(
    package: Callable[..., Path],
) -> None:
    with pytest.raises(UserError, match=r"its sampler fails in this space: AttributeError: .*low"):
        make(f"optunahub:{package(exported='Numbers')}")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("optunahub:missing", r"cache has no samplers/missing, and its download failed \(offline, or"),
        ("optunahub:", "names no package; give optunahub:NAME"),
        ("optunahub:..", "names no package"),
        ("optunahub:mine:", "names no package"),
        ("optunahub:./missing", "missing is no package, it has no __init__.py"),
    ],
)
def test_wrong_names(name: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        nas.strategies.load(name)
    assert "\n" not in str(error.value)


def test_names_that_run_code_of_no_installed_package() -> None:
    names_code = nas.strategies.REGISTRY.names_code
    assert (
        names_code("optunahub:auto_sampler") and names_code("optunahub:./x") and names_code("optuna:auto")
    )
    assert not names_code("optuna:gp") and not names_code("gp")
