"""Runner of ExecuTorch on the CPU: needs ``executorch`` with the PyTorch that it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PACKAGE = "executorch"


def version() -> str:
    """Return name and version of the runtime."""
    from importlib.metadata import version as version_of

    from executorch.extension.pybindings import portable_lib  # noqa: F401  (it can be missing)

    return f"executorch {version_of('executorch')} XNNPACK"


def open_model(files: Mapping[str, bytes], threads: int) -> Callable[[Any], Any]:
    """Return a function from an image ``(1, C, r, r)`` to logits ``(1, classes)``.

    Args:
        files: content by name, the program first.
        threads: of the process; one is the calling thread.
    """
    import torch
    from executorch.extension.pybindings import portable_lib

    if portable_lib._threadpool_get_thread_count() != threads:
        portable_lib._unsafe_reset_threadpool(threads)
    content = next(iter(files.values()))
    program = portable_lib._load_for_executorch_from_buffer(content)

    def run(image: Any, content: bytes = content) -> Any:  # which the program reads as long as it lives
        return program.forward((torch.from_numpy(image),))[0].numpy()

    return run
