"""ONNX Runtime as the product opens it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_runtime_leaves_no_identifier_of_the_machine_behind(tmp_path):
    """Telemetry begins by writing one below the home directory."""
    code = "from deploy.latency_measurement import runtime_name; print(runtime_name())"
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "onnxruntime" in done.stdout, done.stderr
    assert not list(tmp_path.rglob("*"))
