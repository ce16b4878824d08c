"""The files of a page that classifies images in a browser, offline.

The page opens by double click and from any static web server. Model and runtime become scripts, since a
page that was opened as a file may not read other files.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.files import staged_files, write_bytes
from deploy.web.onnx_runtime_web import WebRuntime
from training.onnx_graph import onnx_runtime

INDEX = "index.html"
MODEL = "model.js"
PAGE = Path(__file__).with_name("page")
PAGE_FILES = tuple(sorted(path.name for path in PAGE.iterdir()))
_LICENCES = {
    "LICENSE": "onnxruntime-licence.txt",
    "ThirdPartyNotices.txt": "onnxruntime-third-parties.txt",
}


def write_page(
    folder: Path, *, name: str, onnx: bytes, inference: Mapping[str, Any], runtime: WebRuntime
) -> int:
    """Write the page and return its size in bytes; files of an earlier one are replaced.

    Args:
        folder: made if it is missing.
        name: of the model, as people see it.
        onnx: the model file.
        inference: see :func:`deploy.shipping.inference_spec`.
        runtime: files of ONNX Runtime Web.

    Raises:
        UserError: the disk is full or read-only.
    """
    content = {path.name: path.read_bytes() for path in map(PAGE.joinpath, PAGE_FILES)}
    packed_runtime = {
        "version": runtime.version,
        "module": _packed(runtime.module.read_bytes()),
        "wasm": _packed(runtime.wasm.read_bytes()),
    }
    notice = f"// ONNX Runtime Web {runtime.version}, Copyright (c) Microsoft Corporation, MIT License\n"
    content["onnxruntime.js"] = notice.encode() + _script("minnowRuntime", packed_runtime)
    model = {"name": name, "inference": dict(inference), "onnx": _packed(onnx)}
    content[MODEL] = _script("minnowModel", model)
    # The package on npm has no texts of its own; those of the Python package are of the same project.
    for source, licence in _LICENCES.items():
        content[licence] = files(onnx_runtime()).joinpath(source).read_bytes()
    with staged_files(folder, last=INDEX) as staged:
        for file, data in content.items():
            write_bytes(staged / file, data)
    return sum(map(len, content.values()))


def _packed(content: bytes) -> str:
    """Return bytes compressed, as text; equal bytes give equal text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


def _script(variable: str, value: Mapping[str, Any]) -> bytes:
    """Return a script that sets a variable; it is ASCII, and so the same in any encoding."""
    return f"window.{variable} = {json.dumps(value)};\n".encode("ascii")
