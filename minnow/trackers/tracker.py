"""Contract of a tracker: one recorded run of a service."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from core.errors import UserError

#: How a run ended: ``stopped`` by the user.
Status = Literal["finished", "failed", "stopped"]
Value = str | int | float | bool


class Tracker(ABC):
    """One recorded run of a service, new or continued.

    A tracker is made and called by one thread, which is not the main one, and calls do not overlap. Any
    exception ends the tracking of the run and nothing else. Nothing is printed.

    Args:
        place: where the service is, as the user typed it; ``None``: where the service has its default.
        run: run directory; its name is the default name of the recorded run.
        identifier: of the recorded run to continue; ``None``: a new one.

    Attributes:
        package: name of the module that it needs.
        extra: Minnow's extra that installs it; empty: there is none.
        password_variable: environment variable that a password or key goes into.
    """

    package: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    password_variable: ClassVar[str] = "see its documentation"

    @abstractmethod
    def __init__(self, place: str | None, run: Path, identifier: str | None) -> None: ...

    @property
    @abstractmethod
    def identifier(self) -> str:
        """Name by which the recorded run can be continued: letters, digits, ``_``, ``.``, ``-``."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Address of the recorded run, for people."""

    @abstractmethod
    def parameters(self, values: Mapping[str, Value]) -> None:
        """Record settings by dotted name; a continued run may have other values, or more of them."""

    @abstractmethod
    def metrics(self, series: str, values: Mapping[str, float], step: int) -> None:
        """Record finite numbers as ``series/NAME`` at a step; steps may come in any order."""

    @abstractmethod
    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value | None]]) -> None:
        """Record a table; a later one of this name replaces it."""

    @abstractmethod
    def file(self, path: Path, name: str) -> None:
        """Record a file as ``name``, such as ``student/metrics.json``; a later one replaces it."""

    @abstractmethod
    def close(self, status: Status) -> None:
        """End the recorded run, after everything was stored."""

    @classmethod
    def check(cls) -> None:
        """Check that what it needs is installed, without importing it.

        Raises:
            UserError: it is not; says how to install it.
        """
        if cls.package and importlib.util.find_spec(cls.package) is None:
            install = f"minnow[{cls.extra}]" if cls.extra else cls.package
            raise UserError(f"the tracker needs the package {cls.package!r}: pip install '{install}'")
