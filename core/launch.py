"""How this process was started: alone, or by a launcher as one of several that train together.

Reads the environment alone, so that asking costs nothing. ``torchrun``, and ``accelerate launch``, which
calls it, set RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE.
"""

from __future__ import annotations

import os

from core.errors import UserError


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    return int(os.environ.get("RANK", 0)) == 0


def process_count() -> int:
    """Processes that were launched together, 1 without a launcher.

    Raises:
        UserError: ``accelerate launch --cpu`` was asked for several and started one.
    """
    # It starts more than one only through MPI; the address is set where more were asked for.
    if "WORLD_SIZE" not in os.environ and {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= os.environ.keys():
        raise UserError(
            "accelerate launch --cpu started a single process (several need MPI there); give --multi_gpu "
            "instead of --cpu, which serves CPUs too where there is no GPU, or use torchrun"
        )
    return int(os.environ.get("WORLD_SIZE", 1))


def check_alone(command: str) -> None:
    """Refuse a command that does not train one network on several processes.

    Raises:
        UserError: several processes were launched.
    """
    if process_count() == 1:
        return
    if command == "search":
        raise UserError(
            "search trains each network in one process; start it without a launcher, with --workers N "
            "to train N at a time"
        )
    raise UserError(f"{command} runs in one process; start it without a launcher")
