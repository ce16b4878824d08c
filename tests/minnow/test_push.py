"""Uploads to the hub: what is prepared without a connection, and what a hub receives.

The hub here is a stand-in: a local HTTP server with the few addresses that huggingface_hub calls. It tells
what is sent and how errors are reported, not that the real hub takes it.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import minnow as api
from core.errors import UserError
from minnow.exported_files import CARD, LIST
from minnow.hub_upload import prepare_upload

Said = Any  # of conftest.py
REPOSITORY = "me/digits"


class Hub(ThreadingHTTPServer):
    """Stands in for the hub: one repository, and what was done to it.

    ``files``: on the main branch; ``None``: there is no repository. ``refs``: files of others. ``refusal``: status that a commit gets.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] | None = None
        self.refs: dict[str, dict[str, bytes]] = {}
        self.refusal: int | None = None
        self.created: list[dict[str, Any]] = []
        self.branches: list[str] = []
        self.committed_to: list[str] = []
        self.tokens: set[str | None] = set()

    def at(self, ref: str) -> dict[str, bytes] | None:
        """Return the files of a branch, if there is one."""
        return self.files if ref == "main" else self.refs.get(ref)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{REPOSITORY}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(200, {})

    def do_GET(self) -> None:
        listing = self.path.startswith(f"/api/models/{REPOSITORY}/tree/")
        if self.server.files is None or not listing:  # huggingface_hub asks for more than it needs
            self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif (files := self.server.at(self.path.partition("?")[0].rpartition("/")[2])) is None:
            self.answer(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        else:
            entries = [{"type": "file", "path": p, "size": 1, "oid": "0"} for p in files]
            self.answer(200, entries)

    def do_POST(self) -> None:
        hub, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        hub.tokens.add(self.headers["Authorization"])
        if self.path == "/api/repos/create":
            hub.created.append(json.loads(body))
            hub.files = hub.files or {}
            self.answer(200, {"url": hub.url})
        elif "/branch/" in self.path:
            hub.branches.append(self.path.rpartition("/")[2])
            hub.refs.setdefault(hub.branches[-1], {**(hub.files or {})})
            self.answer(200, {})
        elif self.path == "/api/validate-yaml":
            errors = [{"message": "license is wrong"}] if hub.refusal == 400 else []
            self.answer(400 if errors else 200, {"errors": errors})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self.answer(200, {"files": modes})
        elif hub.refusal is not None:
            self.answer(hub.refusal, {"error": "no such luck"})
        else:
            assert "/commit/" in self.path, self.path
            hub.committed_to.append(self.path.rpartition("/")[2])
            lines = [json.loads(line) for line in body.splitlines()]
            files = hub.at(hub.committed_to[-1])
            assert files is not None
            for line in lines:
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del files[line["value"]["path"]]
            self.answer(200, {"commitUrl": hub.url, "commitOid": "0" * 40})

    def answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        # $HF_ENDPOINT is read when huggingface_hub is imported, which it is by now.
        monkeypatch.setattr(
            "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}"
        )
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an ONNX file, and a folder for ONNX Runtime that was exported after it."""
    run = Path(shutil.copytree(finished / "runs/alone", tmp_path_factory.mktemp("exported") / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINNOW_CACHE", str(finished / "cache"))
        student = api.load(run)
        student.export()
        student.ship("onnxruntime")
    return run


@pytest.fixture
def run(exported: Path, here: Path) -> Path:
    """A copy, in the working directory."""
    return Path(shutil.copytree(exported, here / "run"))


FILES = {CARD, "model.onnx", "inference.json", "labels.txt", "predict.py", "runner.py"}


def test_a_dry_run_needs_nothing(
    run: Path, minnow: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    folder = run / "student/export/onnxruntime"
    said = minnow("push run hf:me/digits --dry-run")
    assert said.code == 0
    assert said.output.rstrip("\n") == (folder / CARD).read_text(encoding="utf-8").rstrip("\n")
    listed = {line.split()[-1] for line in said.notices[1:-1]}
    assert listed == FILES
    assert said.notices[-1] == "dry run: nothing was uploaded to me/digits"


def test_what_is_uploaded(run: Path, minnow: Callable[..., Said], hub: Hub) -> None:
    folder = run / "student/export/onnxruntime"
    (folder / "photo.jpg").write_bytes(b"mine")
    (folder / CARD).write_text(
        (folder / CARD).read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8"
    )
    said = minnow("push run hf:me/digits --private")
    assert said.code == 0, said.notices
    assert hub.files == {name: (folder / name).read_bytes() for name in FILES}
    assert hub.files[CARD].endswith(b"\nMine.\n")
    assert [one["name"] for one in hub.created] == ["digits"]
    assert "private" in json.dumps(hub.created) and hub.committed_to == ["main"]
    assert hub.tokens == {"Bearer hf_test"}
    assert "me/digits" in said.notices[-1] and "Traceback" not in "".join(said.notices)


def test_a_second_upload_replaces_the_files(run: Path, hub: Hub) -> None:
    hub.files = {".gitattributes": b"", CARD: b"old", "model.onnx": b"old"}
    api.push(run, "hf:me/digits")
    assert hub.files["model.onnx"] == (run / "student/export/onnxruntime/model.onnx").read_bytes()
    assert hub.committed_to == ["main"]


def test_a_new_revision_holds_the_export_alone(run: Path, hub: Hub) -> None:
    hub.files = {".gitattributes": b"", CARD: b"old", "model.float": b"old"}
    before = {**hub.files}
    for _ in range(2):
        api.push(run, "hf:me/digits", revision="v2")
    assert hub.files == before and {*hub.refs["v2"]} == {".gitattributes", *FILES}
    assert {*hub.branches} == {"v2"} and hub.committed_to == ["v2", "v2"]


def test_a_repository_of_other_files_is_left_alone(
    run: Path, minnow: Callable[..., Said], hub: Hub
) -> None:
    hub.files = {CARD: b"theirs", "pytorch_model.bin": b"theirs"}
    complaint = minnow("push run hf:me/digits").complaint
    assert "me/digits holds other files ('pytorch_model.bin')" in complaint
    assert hub.files[CARD] == b"theirs" and not hub.created


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "token"),
        (403, "may write there"),
        (413, "too large"),
        (409, "answers 409"),
        (400, "refuses README.md: "),
    ],
)
def test_refusals_of_the_hub(
    run: Path, minnow: Callable[..., Said], hub: Hub, status: int, words: str
) -> None:
    hub.refusal = status
    assert words in minnow("push run hf:me/digits").complaint


def test_no_token(
    run: Path, minnow: Callable[..., Said], hub: Hub, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(here / "none"))
    complaint = minnow("push run hf:me/digits").complaint
    assert "https://huggingface.co/settings/tokens" in complaint and "hf auth login" in complaint


def test_no_connection(run: Path, minnow: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "no server answers at http://127.0.0.1:9" in minnow("push run hf:me/digits").complaint
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in minnow("push run hf:me/digits").complaint


def test_it_asks_on_a_terminal(
    run: Path, minnow: Callable[..., Said], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    said = minnow("push run hf:me/digits --dry-run")  # asks nothing
    assert said.code == 0
    for answer, uploaded in (("", False), ("n\n", False), ("y\n", True)):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        monkeypatch.setattr("sys.stderr", written := Terminal())
        assert minnow("push run hf:me/digits --private").code == 0
        question = "Upload them to me/digits (privately, if it is new)?"
        assert question in " ".join(written.getvalue().split())
        assert ("nothing was uploaded" in written.getvalue()) is not uploaded
        assert (hub.files is not None) is uploaded
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert minnow("push run hf:me/digits --yes").code == 0
    assert hub.committed_to == ["main", "main"]


def test_which_export(run: Path) -> None:
    onnx, folder = run / "student", run / "student/export/onnxruntime"
    assert prepare_upload(run, "hf:me/x").folder == folder
    assert {*prepare_upload(run, "hf:me/x", target="onnx").files} == {CARD, "model.onnx", "labels.txt"}
    os.utime(onnx / LIST, (2e9, 2e9))
    assert prepare_upload(run, "hf:me/x").folder == onnx
    assert prepare_upload(run, "hf:me/x", target="onnxruntime").folder == folder


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("me/x", "write hf:USER/NAME"),
        ("hf:x", "write hf:USER/NAME"),
        ("hf:me/a..b", "is no repository"),
        ("hf:me/x --target ncnn", "no export for 'ncnn': export it first"),
    ],
)
def test_wrong_words(run: Path, minnow: Callable[..., Said], options: str, words: str) -> None:
    assert words in minnow(f"push run {options} --dry-run").complaint


def test_a_student_that_was_not_exported(alone: Path, minnow: Callable[..., Said]) -> None:
    assert "was not exported yet" in minnow("push alone hf:me/x --dry-run").complaint


@pytest.mark.parametrize("card", [b"# mine\n", b"\xff\xfe"])
def test_a_card_without_its_head(run: Path, card: bytes) -> None:
    (run / "student/export/onnxruntime" / CARD).write_bytes(card)
    with pytest.raises(UserError, match=r"README\.md (does not begin with|is no UTF-8)"):
        prepare_upload(run, "hf:me/x")
