"""Checkpoints of a study's trainings, from which promotions continue."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.files import write_bytes
from nas.trial import Proposal
from training.state import load_checkpoint


def identity_of(proposal: Proposal) -> str:
    """Return what a proposal's training shares with its parent's: network and seed."""
    return f"{proposal.architecture.key} {proposal.seed}"


@dataclass(frozen=True)
class Checkpoints:
    """One file per trial, written after every epoch.

    Attributes:
        directory: of the files; made when needed.
        warn: callback for a training that begins anew because its checkpoint is gone.
    """

    directory: Path
    warn: Callable[[str], None]

    def of(self, proposal: Proposal) -> Path:
        """Return the proposal's file: its own after an interruption, else its parent's, else none yet.

        Damaged files are deleted. Where a continuation finds no file, it calls :attr:`warn`, and the
        training begins anew.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        own = self._path(proposal.number)
        if _usable(own, proposal) or proposal.parent is None:
            return own
        parent = self._path(proposal.parent)
        if _usable(parent, proposal):
            write_bytes(own, parent.read_bytes())
        else:
            self.warn(
                f"trial {proposal.number}: the checkpoint of trial {proposal.parent} is gone or damaged; "
                f"training its network from scratch"
            )
        return own

    def keep(self, numbers: Collection[int]) -> None:
        """Delete the files of all other trials."""
        for path in self.directory.glob("*.pt"):
            if path.stem.isdigit() and int(path.stem) not in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:04d}.pt"


def _usable(path: Path, proposal: Proposal) -> bool:
    """Tell if a file is there and whole; delete it if it is damaged or of another training."""
    with contextlib.suppress(UserError):
        return load_checkpoint(path, identity_of(proposal)) is not None
    path.unlink()
    return False
