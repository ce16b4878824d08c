"""Minnow's command line: it turns errors into one line.

The commands are imported inside :func:`main`: Ctrl-C during the imports, too, ends without a traceback.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it
_LONGEST_WORD = 600  # characters of a path in an error


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error that the user can mend ends in one line and exit code 2."""
    with _ended_by_interrupt():
        for stream in (sys.stdout, sys.stderr):
            # A terminal may lack a letter of a name.
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")
        try:
            from minnow.commands.app import command_line
        except ImportError as error:
            sys.exit(_incomplete(error, sys.argv[1:] if arguments is None else arguments))
    sys.exit(_guarded(lambda: command_line()(arguments, standalone_mode=False)))


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Let Ctrl-C end this process at once, while there is nothing to clean up."""
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:  # ignored, or a caller's
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _incomplete(error: ImportError, arguments: list[str]) -> int:
    """Say what is wrong where even the command line cannot be imported."""
    from minnow.doctor import diagnose

    if arguments[:1] == ["doctor"]:
        print(diagnose().text())
        return 1
    print(
        f"minnow: error: {error}; the installation is incomplete: 'doctor' says what is missing",
        file=sys.stderr,
    )
    return 2


def _guarded(run: Callable[[], Any]) -> int:
    from core.config_io import SettingError
    from core.errors import UserError, one_line, out_of_memory, system_advice
    from minnow.typed import as_typed

    try:
        return run() or 0
    except SettingError as error:
        _complain(as_typed(error))
    except UserError as error:
        _complain(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        if (advice := system_advice(error)) is None:
            raise
        _complain(advice)
    except Exception as error:
        if out_of_memory(error):
            _complain(
                f"not enough memory ({one_line(error)[:200]}); lower --batch-size or --image-size, or "
                "use fewer --workers"
            )
            return 2
        # A usage error. Newer versions of typer bundle click, so that its class has no fixed home.
        if not hasattr(error, "format_message"):
            raise
        if message := error.format_message():  # none where the help was shown instead
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "minnow"
            _complain(f"{message.rstrip('.')}; see {command} --help")
    return 2


def _complain(message: str) -> None:
    from core.runtime import is_main

    if is_main():
        print(f"minnow: error: {' '.join(map(_shortened, message.split()))}", file=sys.stderr)


def _shortened(word: str) -> str:
    """Return a word, mostly a path, without the middle of what is too long to read."""
    if len(word) <= _LONGEST_WORD:
        return word
    return f"{word[: _LONGEST_WORD // 2]}...{word[-_LONGEST_WORD // 2 :]}"


if __name__ == "__main__":
    main()
