"""ONNX Runtime Web from npm: a pinned version, checked, and kept in the cache.

The package holds many builds. Two files are enough for one thread on WebAssembly: the module that has
the loader inside, and the WebAssembly code.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from core.cache import cache_dir
from core.errors import UserError, disk_errors, one_line
from core.files import staged_folder, write_bytes
from core.locks import locked_file

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
#: Digest of the package's archive, as lock files of npm write it.
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
MODULE = "ort.wasm.bundle.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"
_NO_REASON = ("code ", "errno ", "syscall ", "npm warn", "A complete log")  # starts of npm's lines
_OPTIONS = ("--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=2000")
_SECONDS = 300  # for a download of 35 MB


@dataclass(frozen=True)
class WebRuntime:
    """The files of ONNX Runtime Web that a page needs.

    Attributes:
        version: of the package.
        module: JavaScript module.
        wasm: WebAssembly code.
    """

    version: str
    module: Path
    wasm: Path


def web_runtime(cache: Path | None = None) -> WebRuntime:
    """Return the runtime's files, from the cache or else from npm.

    Args:
        cache: cache directory, ``cache_dir()`` by default. Once the files are there, neither npm nor a
            network is needed.

    Raises:
        UserError: npm is missing, its registry cannot be reached or sends another package, or the cache
            cannot be written.
    """
    folder = (cache or cache_dir()) / PACKAGE / VERSION
    if not folder.is_dir():
        busy = f"another process is downloading {PACKAGE}; wait for it and try again"
        with disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked_file(folder.parent / f"{VERSION}.lock", busy, _SECONDS):
                if not folder.is_dir():
                    _download(folder)
    return WebRuntime(VERSION, folder / MODULE, folder / WASM)


def _download(folder: Path) -> None:
    """Write the runtime's files into a new folder.

    Raises:
        UserError: the package cannot be downloaded, or is another one.
    """
    with tempfile.TemporaryDirectory(prefix="minnow-") as work, staged_folder(folder) as staged:
        archive = _archive(Path(work), folder)
        with tarfile.open(archive) as package:
            for name in (MODULE, WASM):
                file = package.extractfile(f"package/dist/{name}")
                if file is None:
                    raise UserError(f"{PACKAGE} {VERSION} has no file dist/{name}")
                write_bytes(staged / name, file.read())


def _archive(work: Path, folder: Path) -> Path:
    """Return the package's archive in ``work``, checked; ``folder`` is where its files will be.

    Raises:
        UserError: see :func:`_download`.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"npm is not installed, which downloads {PACKAGE}: install Node.js, or copy {folder} from a "
            "machine that has it"
        )
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(work), *_OPTIONS]
    try:
        ended = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"npm did not download {PACKAGE} within {_SECONDS} s; try again") from None
    archive = work / f"{PACKAGE}-{VERSION}.tgz"
    if ended.returncode != 0 or not archive.is_file():
        raise UserError(
            f"npm cannot download {PACKAGE} {VERSION}, check the connection: {_reason(ended.stderr)}"
        )
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != INTEGRITY:
        raise UserError(
            f"npm sent another file than {PACKAGE} {VERSION} (its sha512 differs); check npm's setting "
            "'registry'"
        )
    return archive


def _reason(stderr: str) -> str:
    """Return the line of npm's messages that says the reason."""
    lines = [re.sub(r"^npm (error|ERR!) ?", "", line).strip() for line in stderr.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(_NO_REASON)]
    return one_line(reasons[0]) if reasons else "npm gives no reason"
