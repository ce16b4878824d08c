"""Runner of LiteRT (formerly TensorFlow Lite) on the CPU: needs numpy and ``ai-edge-litert`` only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PACKAGE = "ai-edge-litert"


def version() -> str:
    """Return name and version of the runtime."""
    from importlib.metadata import version as version_of

    import ai_edge_litert.interpreter  # noqa: F401  (it is the runtime, and can be missing)

    return f"litert {version_of('ai-edge-litert')} CPU"


def open_model(files: Mapping[str, bytes], threads: int) -> Callable[[Any], Any]:
    """Return a function from an image ``(1, r, r, C)`` to logits ``(1, classes)``.

    Args:
        files: content by name, the model first.
        threads: that one operator computes in; one is the calling thread.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=next(iter(files.values())), num_threads=threads)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    wanted = interpreter.get_output_details()[0]["index"]

    def run(image: Any) -> Any:
        interpreter.set_tensor(given, image)
        interpreter.invoke()
        return interpreter.get_tensor(wanted)

    return run
