"""The command ``doctor``."""

from __future__ import annotations

from minnow.commands.options import Json


def doctor(as_json: Json = False) -> int:
    """Check this installation: machine, packages, cache, and a small network from training to ONNX.

    Example: doctor > doctor.txt

    The text holds neither your home folder nor your user name, and belongs into a bug report. Exit code 1
    where something that is needed does not work.
    """
    import json

    from minnow.console import say
    from minnow.doctor import diagnose

    say("checking; on a slow machine this takes a minute")
    diagnosis = diagnose()
    print(json.dumps(diagnosis.to_dict(), indent=2) if as_json else diagnosis.text())
    return 1 if diagnosis.problems else 0
