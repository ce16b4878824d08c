"""Command-line options made from the settings, and the options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel
from typer import Argument, Option

from core.config import Refit, SearchConfig
from core.config_io import known_settings
from core.errors import UserError, short
from core.reading import parse_yaml
from core.setting import Setting

DATA, SEARCH, GOALS = "Data", "Search", "Objectives and limits"
TEACHER, TRAINING, RUN = "Teacher", "Training", "Run"

DATA_HELP = known_settings(SearchConfig)["data.spec"].help
PICK_HELP = (
    "Trial of the search: best, knee (of the Pareto front), smallest, fastest or a number; all but a "
    "number also with conditions, as in 'smallest:f1>=0.6'."
)

Pick = Annotated[str, Option(help=PICK_HELP, rich_help_panel=SEARCH)]
Seeds = Annotated[
    int,
    Option(
        help="Number of students, with seeds from --seed on; the best on validation is kept.",
        min=1,
        rich_help_panel=TRAINING,
    ),
]
SeedsExecutor = Annotated[
    str,
    Option(
        "--executor",
        help="Where the students of several seeds are trained: local, ray or ray:ADDRESS.",
        rich_help_panel=TRAINING,
    ),
]
SeedsWorkers = Annotated[
    int | None,
    Option(
        "--workers",
        help="Students of several seeds at a time. (default: 1, or what a cluster has room for)",
        min=1,
        hidden=True,
    ),
]
SearchOut = Annotated[
    Path | None,
    Option(help="Run directory. (default: runs/DATA-SPACE-STRATEGY)", rich_help_panel=RUN),
]
RefitOn = Annotated[
    Refit | None,
    Option(
        "--refit",
        help="Then train once more, on the validation images too (val) or on all images (all, to ship); "
        "the scores stay those of the student that had not seen them. (default: no)",
        rich_help_panel=TRAINING,
    ),
]
Qat = Annotated[
    bool,
    Option(
        "--qat",
        help="Then train on with fake quantisation, so that less is lost in int8.",
        rich_help_panel=TRAINING,
    ),
]
Resume = Annotated[bool, Option("--resume", help="Resume an interrupted run.", rich_help_panel=RUN)]
ConfigFile = Annotated[
    Path | None,
    Option(help="YAML file of settings, such as a run's config.yaml; options win.", rich_help_panel=RUN),
]
Assignments = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting, as in data.split_seed=1; repeatable. 'settings' lists all, and their "
        "options that this page leaves out.",
        rich_help_panel=RUN,
    ),
]
Json = Annotated[bool, Option("--json", help="Print JSON to standard output.")]
StudentRun = Annotated[Path, Argument(help="Run directory with a trained student, or the student.")]

Body = Callable[..., Any]


def with_settings(
    kind: type[BaseModel],
    panels: Mapping[str, Iterable[str]],
    *,
    keep: Callable[[str], bool] = lambda name: True,
    defaults: Mapping[str, Any] | None = None,
) -> Callable[[Body], Body]:
    """Return a decorator that gives a command an option for every setting that has one.

    The command's first parameter, ``changes``, receives the dotted names and values of the settings that
    were given. Its other parameters stay options of their own.

    Args:
        kind: the model of the settings.
        panels: per panel, the dotted settings and the command's own parameters that the help shows, in
            order. The options of all other settings work, too, but are hidden.
        keep: tells by its dotted name whether the command has a setting.
        defaults: dotted settings that have another default in this command.
    """
    settings = {
        name: item
        for name, item in known_settings(kind).items()
        if item.option is not None and keep(name)
    }

    def decorate(body: Body) -> Body:
        own = dict(inspect.signature(body, eval_str=True).parameters)
        del own["changes"]
        shown = [name for names in panels.values() for name in names]
        panel_of = {name: panel for panel, names in panels.items() for name in names}
        parameters = []
        for name in [*shown, *(name for name in settings if name not in shown)]:
            if name in own:
                parameter = own[name]
            else:
                item = settings[name]
                default = str((defaults or {}).get(name, item.default))
                parameter = _parameter(item, panel_of.get(name), default)
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        by_parameter = {_identifier(name): item for name, item in settings.items()}

        def command(**arguments: Any) -> None:
            changes: dict[str, Any] = {}
            for name, value in arguments.items():
                if name in by_parameter and value not in (None, []):
                    item = by_parameter[name]
                    changes[item.name] = named_values(item, value) if item.mapping else value
            changes |= _assigned(arguments.get("assignments") or (), changes)
            body(changes, **{n: v for n, v in arguments.items() if n in own and n != "assignments"})

        command.__name__, command.__doc__ = body.__name__, body.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {item.name: item.annotation for item in parameters}
        return command

    return decorate


def named_values(item: Setting | str, pairs: Iterable[str]) -> dict[str, Any]:
    """Return the values of ``name=value`` texts, read as YAML.

    Args:
        item: the setting that they are for, or the option without dashes, for messages.
        pairs: as typed.

    Raises:
        UserError: malformed.
    """
    option = item if isinstance(item, str) else item.option
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"--{option} {short(pair)}: write it as name=value")
        values[name] = parse_yaml(value, f"--{option} {short(pair)}")
    return values


def _parameter(item: Setting, panel: str | None, default: str) -> inspect.Parameter:
    """Return the parameter of a setting; values stay texts, since the setting itself checks them."""
    metavar = None
    if item.choices:
        metavar = f"[{'|'.join(item.choices)}]"
    elif item.mapping:
        metavar = "NAME=VALUE"
    elif not item.flag:
        metavar = item.range.split()[0].upper().rstrip(",")
    option = Option(
        f"--{item.option}",
        metavar=metavar,
        help=f"{item.help}{' Repeatable.' if item.repeatable else ''} (default: {default})",
        hidden=panel is None,
        rich_help_panel=panel,
        show_default=False,
    )
    kind: Any = bool | None if item.flag else list[str] | None if item.repeatable else str | None
    return inspect.Parameter(
        _identifier(item.name),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, option],
    )


def _identifier(name: str) -> str:
    return name.replace(".", "__")


def _assigned(pairs: Iterable[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``--set``.

    Raises:
        UserError: malformed, or given twice.
    """
    changes: dict[str, Any] = {}
    for pair in pairs:
        for name, value in named_values("set", [pair]).items():
            if name in given or name in changes:
                raise UserError(f"--set {short(pair)}: {name} is given twice; leave one of them out")
            changes[name] = value
    return changes
