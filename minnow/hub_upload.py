"""Uploading an export to a model repository of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.connection import reachable
from core.errors import UserError, one_line, short
from minnow.exported_files import CARD, LIST, exported_files
from minnow.student import EXPORTS, FORMATS, Student
from training.data.hub_opening import HUB_PREFIX

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_OWN = frozenset({".gitattributes"})  # of a repository, which the hub makes
_TOO_LARGE = 413  # HTTP


@dataclass(frozen=True)
class Upload:
    """Files that are ready to be uploaded.

    Attributes:
        repository: ``USER/NAME``.
        folder: of the export.
        files: content by name, the card first.
        private: whether a new repository is private.
        revision: branch to upload to, made if it is missing; ``None``: ``main``.
    """

    repository: str
    folder: Path
    files: Mapping[str, bytes]
    private: bool = False
    revision: str | None = None

    @property
    def card(self) -> str:
        """The text of the model card."""
        return self.files[CARD].decode("utf-8")


def push(
    run: str | Path,
    repository: str,
    *,
    target: str | None = None,
    private: bool = False,
    revision: str | None = None,
) -> str:
    """Upload an export of a student to the Hugging Face hub, and return the address of the repository.

    Args:
        run: run directory with a trained student, or the student.
        repository: ``hf:USER/NAME``; made if it is missing.
        target: of the export, ``timm`` or ``onnx``; ``None``: the latest export.
        private: make a new repository private.
        revision: branch to upload to; ``None``: ``main``.

    Raises:
        UserError: as of :func:`prepare_upload` and :func:`upload`.
    """
    return upload(prepare_upload(run, repository, target=target, private=private, revision=revision))


def prepare_upload(
    run: str | Path,
    repository: str,
    *,
    target: str | None = None,
    private: bool = False,
    revision: str | None = None,
) -> Upload:
    """Return what :func:`push` would upload; needs no connection.

    Raises:
        UserError: no name of a repository, no export, a file that was changed since it was written, or a
            model card that the hub would refuse.
    """
    from minnow.report.card_head import check_card

    name = _repository(repository)
    folder = _export_folder(Student(run), target)
    files = exported_files(folder)
    try:
        text = files[CARD].decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{folder / CARD} is no UTF-8 text ({one_line(error)})") from None
    check_card(text.replace("\r\n", "\n"), str(folder / CARD))
    return Upload(name, folder, files, private, revision)


def upload(plan: Upload) -> str:
    """Upload files in one commit, and return the address of the repository.

    Raises:
        UserError: there is no token, or it may not write; no connection; the repository holds other
            files; the hub refuses a file.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise UserError("HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it")
    if get_token() is None:
        raise UserError(
            "no token of the Hugging Face hub: make one that may write at "
            "https://huggingface.co/settings/tokens, then run 'hf auth login' or set HF_TOKEN"
        )
    api = HfApi(library_name="minnow")
    if not reachable(api.endpoint):
        raise UserError(f"no server answers at {api.endpoint}; connect to the Internet and try again")
    with _hub_errors(plan.repository, api.endpoint), _no_progress_bars():
        is_new = _check_content(api, plan)
        url = api.create_repo(plan.repository, private=plan.private or None, exist_ok=True)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, content) for name, content in plan.files.items()
        ]
        if plan.revision is not None:
            api.create_branch(plan.repository, branch=plan.revision, exist_ok=True)
            if is_new:  # the branch has the files of the main one
                operations += [CommitOperationDelete(name) for name in _others(api, plan)]
        api.create_commit(
            plan.repository,
            operations,
            commit_message=f"Export of {plan.folder.name} by Minnow",
            revision=plan.revision,
        )
    return str(url)


def _others(api: HfApi, plan: Upload) -> list[str]:
    """Return the names of files there that this upload would not replace."""
    there = api.list_repo_files(plan.repository, revision=plan.revision)
    return sorted({*there} - {*plan.files} - _OWN)


def _check_content(api: HfApi, plan: Upload) -> bool:
    """Refuse a repository with files that this upload would not replace.

    Returns:
        Whether there is no such repository or revision yet.

    Raises:
        UserError: names some of them.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        others = _others(api, plan)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return True
    if others:
        raise UserError(
            f"{plan.repository} holds other files ({', '.join(map(short, others[:3]))}): choose another "
            "name, or a revision of its own"
        )
    return False


@contextmanager
def _hub_errors(repository: str, endpoint: str) -> Iterator[None]:
    """Turn errors of the hub and of the connection into one line.

    Raises:
        UserError: says what to do.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status, reason = error.response.status_code, one_line(error.server_message or error)
        if status in (401, 403):
            raise UserError(
                f"the hub refuses this token for {repository} ({status}: {reason}): make one that may "
                "write there at https://huggingface.co/settings/tokens, then run 'hf auth login'"
            ) from None
        if status == _TOO_LARGE:
            raise UserError(f"a file is too large for {repository} ({reason}); use 'hf upload'") from None
        advice = "try again later" if status >= 500 or status == 429 else "check its name and the branch"
        raise UserError(f"the hub answers {status} for {repository}: {reason}; {advice}") from None
    except ValueError as error:
        if CARD not in str(error):  # not of the hub's check of the card
            raise
        raise UserError(f"the hub refuses {CARD}: {one_line(error)}; edit it") from None
    except (HTTPError, OSError) as error:
        raise UserError(f"the connection to {endpoint} broke ({one_line(error)}); try again") from None


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


def _repository(text: str) -> str:
    """Return the name of a repository without its prefix.

    Raises:
        UserError: it is none.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    name = text.removeprefix(HUB_PREFIX)
    owner, slash, rest = name.partition("/")
    if not text.startswith(HUB_PREFIX) or not (owner and slash and rest):
        raise UserError(f"{short(text)} is no repository: write hf:USER/NAME")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(f"{short(text)} is no repository: {one_line(error)}") from None
    return name


def _export_folder(student: Student, target: str | None) -> Path:
    """Return the folder of an export: that of a target, or the latest.

    Raises:
        UserError: there is none; says how to make one.
    """
    if target is not None:
        folder = student.path if target in FORMATS else student.export_folder(target)
        if not (folder / LIST).is_file():
            raise UserError(f"{folder} holds no export for {short(target)}: export it first")
        return folder
    lists = [student.path / LIST, *(student.path / EXPORTS).glob(f"*/{LIST}")]
    exports = [(path.stat().st_mtime_ns, path.parent) for path in lists if path.is_file()]
    if not exports:
        raise UserError(f"{student.path} was not exported yet: export it first, as in export RUN")
    return max(exports)[1]
