"""The folder of another training of a finished student."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize("option, folder", [("--refit val", "refit"), ("--qat", "qat")])
def test_an_interrupted_one_is_resumed_when_asked_to(finished, alone, minnow, option, folder):
    command = f"train --model {finished}/runs/found --out alone {option}"
    Path("alone", folder).mkdir()
    Path("alone", folder, "checkpoint.pt").write_bytes(b"half")
    assert f"alone/{folder} holds an interrupted training; resume it" in minnow(command).complaint
    assert "checkpoint.pt is damaged" in minnow(f"{command} --resume").complaint
