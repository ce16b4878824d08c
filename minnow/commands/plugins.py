"""The command ``plugins``."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from minnow.console import output

_HOW = "Others: {flag} package.module:Class or ./file.py:Class, or an entry point in {group}."
_FLAGS = {
    "space": "--space",
    "strategy": "--strategy",
    "loss": "--loss",
    "feature loss": "--features",
    "target": "--target",
    "executor": "--executor",
    "tracker": "--tracker",
}


def plugins() -> None:
    """List every space, strategy, loss, teacher source, target, executor and tracker."""
    import deploy.targets
    import distill.losses
    import minnow.trackers
    import nas.executors
    import nas.spaces
    import nas.strategies
    import teachers

    for title, registry in (
        ("Spaces", nas.spaces.REGISTRY),
        ("Strategies", nas.strategies.REGISTRY),
        ("Losses on logits", distill.losses.LOGIT_LOSSES),
        ("Losses on features", distill.losses.FEATURE_LOSSES),
        ("Teacher sources", teachers.TEACHER_SOURCES),
        ("Targets", deploy.targets.REGISTRY),
        ("Executors", nas.executors.REGISTRY),
        ("Trackers", minnow.trackers.REGISTRY),
    ):
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
        for column in ("name", "origin", "what it is"):
            table.add_column(column, no_wrap=column != "what it is")
        for plugin in registry.describe():
            table.add_row(plugin.name, plugin.origin, escape(plugin.summary))
        output().print(table)
        if flag := _FLAGS.get(registry.kind):
            line = _HOW.format(flag=flag, group=registry.group)
        else:
            line = f"Others: an entry point in {registry.group}."
        output().print(f"  {line}\n", highlight=False, markup=False)
