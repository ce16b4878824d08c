"""Errors that a user can cause and mend: one line, no traceback, exit code 2."""


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one line and says what is wrong, where, and what to do about it.
    """
