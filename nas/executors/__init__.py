"""Executors: trials in this process, or in worker processes."""

from nas.executors.local import ProcessExecutor, SerialExecutor

__all__ = ["ProcessExecutor", "SerialExecutor"]
