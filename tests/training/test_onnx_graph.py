"""ONNX Runtime as the product opens it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_one_place_imports_the_runtime():
    """An import elsewhere may be the first, before telemetry is turned off."""
    packages = ("core", "nas", "training", "teachers", "distill", "deploy", "minnow")
    importing = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if (name or "").split(".")[0] == "onnxruntime"
    }
    assert importing == {
        "training/onnx_graph.py",
        "deploy/device/runners/run_onnxruntime.py",  # turns it off itself
        "deploy/targets/onnx_runtime.py",  # its tools for quantisation, after the runtime
    }


def test_the_runtime_leaves_no_identifier_of_the_machine_behind(tmp_path):
    """Telemetry begins by writing one below the home directory."""
    code = "from deploy.competition_score import runtime_name; print(runtime_name())"
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "onnxruntime" in done.stdout, done.stderr
    assert not list(tmp_path.rglob("*"))
