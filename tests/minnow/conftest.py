"""The command line in this process: fast, and through the same door as ``python cli.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import cli


class Said(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    notices: list[str]

    @property
    def complaint(self) -> str:
        """The error: the last line of standard error, and the only one that looks like one."""
        assert self.code == 2, (self.code, self.notices)
        errors = [line for line in self.notices if line.startswith("minnow: error: ")]
        assert errors == self.notices[-1:]
        assert "Traceback" not in "".join(self.notices)
        return errors[0].removeprefix("minnow: error: ")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a search (``runs/found``, three trials, two goals) and a training (``runs/alone``)."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MINNOW_CACHE", str(folder / "cache"))
        patch.setattr("sys.argv", ["cli.py"])
        for command in (
            "search --space toy --trials 3 --epochs 1 --objective f1 --objective macs --out runs/found",
            "train --model runs/found --epochs 1 --out runs/alone",
        ):
            with pytest.raises(SystemExit) as ended:
                cli.main(command.split())
            assert ended.value.code == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path) -> Path:
    """An empty working directory; decoded images are shared between tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINNOW_CACHE", str(finished / "cache"))
    monkeypatch.setattr("sys.argv", ["cli.py"])
    return tmp_path


@pytest.fixture
def there(here: Path, monkeypatch: pytest.MonkeyPatch, finished: Path) -> Path:
    """The finished runs as the working directory, for what does not change them."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def minnow(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command: ``minnow("search --trials 3")`` or ``minnow("predict", "a file.png")``."""

    def run(first: str, *more: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([*first.split(), *more])
        said = capsys.readouterr()
        return Said(ended.value.code or 0, said.out, said.err.splitlines())

    return run


@pytest.fixture
def write_classes() -> Callable[..., Path]:
    """Write dark and light photos of different sizes in two class folders, 12 of each by default."""
    import numpy as np
    from PIL import Image

    def write(root: Path, count: int = 12) -> Path:
        rng = np.random.default_rng(0)
        for label, level in (("dark", 60), ("light", 200)):
            (root / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.normal(level, 20, (40 + index, 48, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / label / f"{index}.jpg")
        return root

    return write
