"""Names to classes: built-ins, modules, files, and everything that can go wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from nas.strategies import Strategy
from nas.strategies.random import RandomSearch

GOOD = """
from nas.strategies.base import Strategy

class Mine(Strategy):
    \"\"\"My own.\"\"\"

    def propose(self, rng):
        return self.space.sample(rng)

class Other:
    pass

value = 3
"""


def test_builtins_load_and_say_what_they_are() -> None:
    for registry in (nas.spaces.REGISTRY, nas.strategies.REGISTRY):
        assert list(registry.builtins) == registry.names()[: len(registry.builtins)]
        for name in registry.builtins:
            assert issubclass(registry.load(name), registry.base)
        for plugin in registry.describe():
            assert plugin.summary
            assert not plugin.summary.startswith("broken")


def test_a_family_is_listed_once_and_its_members_are_loaded_by_name() -> None:
    rows = {plugin.name: plugin for plugin in nas.strategies.REGISTRY.describe()}
    assert rows["optuna:NAME"].origin == "built in"
    assert "optuna:nsgaii" in rows["optuna:NAME"].summary
    assert issubclass(nas.strategies.load("optuna:random"), Strategy)


def test_a_class_of_a_module() -> None:
    assert nas.strategies.load("nas.strategies.random:RandomSearch") is RandomSearch


def test_a_class_of_a_file_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    kind = nas.strategies.load("./mine.py:Mine")
    assert issubclass(kind, Strategy)
    assert nas.strategies.load(f"{tmp_path}/mine.py:Mine") is kind


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    kinds = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(GOOD)
        kinds.append(nas.strategies.load(f"{tmp_path}/{folder}/mine.py:Mine"))
    assert kinds[0] is not kinds[1]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("tpee", "unknown strategy 'tpee'; did you mean 'tpe'"),
        ("zzz", "unknown strategy 'zzz'; known: gp, random, tpe, nni-evolution"),
        ("zzz", "optunahub:NAME; or give package.module:Class"),
        ("optuna:zzz", "unknown Optuna sampler 'zzz'; known: "),
        ("optuna.samplers:TPESampler", "is not a subclass of Strategy"),
        ("no.such.module:Thing", "cannot import 'no.such.module'"),
        ("nas.strategies.random:Nothing", "has no 'Nothing'"),
        ("nas.spaces.toy:Toy", "is not a subclass of Strategy"),
        ("nas.strategies.random:np", "is not a subclass of Strategy"),
        (":Class", "cannot import ''"),
        (".random:RandomSearch", "cannot import '.random'"),
        ("./none.py:Mine", "file none.py does not exist"),
        ("{folder}/mine.py:Nothing", "has no 'Nothing'"),
        ("{folder}/mine.py:Other", "is not a subclass of Strategy"),
        ("{folder}/mine.py:value", "is not a subclass of Strategy"),
        ("{folder}/broken.py:Mine", "ZeroDivisionError: division by zero"),
        ("{folder}/syntax.py:Mine", "SyntaxError"),
        ("broken_module_for_test:Mine", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str
) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "broken_module_for_test.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("def\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    with pytest.raises(UserError) as error:
        nas.strategies.load(name.format(folder=tmp_path))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    broken = {module for module in set(sys.modules) - before if "broken" in module}
    assert not broken, "a module that failed must not stay"


def test_unknown_spaces_list_the_known() -> None:
    with pytest.raises(UserError, match="mobilenet, macro, stages7, elastic, toy"):
        nas.spaces.load("resnet")


def test_a_class_that_lacks_a_method_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text(
        "from nas.strategies.base import Strategy\nclass Part(Strategy): pass\n"
    )
    with pytest.raises(UserError, match="cannot be made: it lacks propose"):
        nas.strategies.load(f"{tmp_path}/part.py:Part")
