"""Errors that a user can cause and mend: one line, no traceback, exit code 2."""


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one line and says what is wrong, where, and what to do about it.
    """


def one_line(error: BaseException) -> str:
    """What another library's error says, on one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
