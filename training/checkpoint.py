"""The state of an interrupted training, written whole or not at all."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from core.errors import UserError, one_line
from core.files import write_bytes


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors and plain data) atomically.

    Raises:
        UserError: the disk is full or read-only.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """What :func:`save_checkpoint` wrote, or ``None`` where there is nothing.

    Args:
        path: the file.
        identity: must equal ``state["identity"]``: what network, data and recipe it belongs to.

    Raises:
        UserError: the file is damaged, or belongs to another training.
    """
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if (damaged := archive.testzip()) is not None:  # torch does not look at the checksums
                raise ValueError(f"the checksum of {damaged} is wrong")
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        known = state.get("identity")
    except Exception as error:  # zipfile, torch and pickle raise many kinds for a damaged file
        reason = one_line(error)[:120]
        raise UserError(
            f"checkpoint {path} is damaged ({type(error).__name__}: {reason}); delete it to start again"
        ) from error
    if known != identity:
        raise UserError(
            f"checkpoint {path} belongs to another network, data set or recipe; "
            f"resume with the settings it was made with, or choose another --out"
        )
    return state
