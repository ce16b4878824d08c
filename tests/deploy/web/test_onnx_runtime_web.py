"""The runtime comes from npm once, checked, and then from the cache."""

from __future__ import annotations

import pytest

from core.errors import UserError
from deploy.web import onnx_runtime_web
from deploy.web.onnx_runtime_web import PACKAGE, VERSION, web_runtime


def test_cache_needs_no_npm(runtime, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert web_runtime(runtime.module.parents[2]) == runtime
    with pytest.raises(UserError, match="npm is not installed"):
        web_runtime(tmp_path / "empty")


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Replace npm by a shell script."""

    def write(script: str) -> None:
        program = tmp_path / "npm"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


@pytest.mark.parametrize(
    "script, message",
    [
        ("echo 'npm error code E1\nnpm error no route' >&2; exit 1", "check the connection: no route"),
        ("exit 1", "npm gives no reason"),
        (f"touch $4/{PACKAGE}-{VERSION}.tgz", "its sha512 differs"),
    ],
)
def test_other_packages_are_refused(npm, script, message, tmp_path):
    npm(script)
    with pytest.raises(UserError, match=message) as raised:
        web_runtime(tmp_path / "cache")
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "cache" / PACKAGE).iterdir()) == []


def test_npm_that_hangs_is_ended(npm, tmp_path, monkeypatch):
    npm("exec sleep 60")
    monkeypatch.setattr(onnx_runtime_web, "_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"within 0\.2 s; try again"):
        web_runtime(tmp_path / "cache")


def test_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"cannot write {tmp_path}/file"):
        web_runtime(tmp_path / "file")
