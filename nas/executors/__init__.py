"""Where trials run."""

from nas.executors.local import ProcessExecutor, SerialExecutor

__all__ = ["ProcessExecutor", "SerialExecutor"]
