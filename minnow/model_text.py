"""``model show`` and ``model convert``: a network as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from core.errors import UserError
from deploy.architecture_latency import measure_architecture
from minnow.console import output, say
from minnow.format import costs_text
from minnow.run_directory import choose
from nas.architecture import Architecture
from nas.cost import cost
from nas.layer_cost import layer_cost
from nas.layers import CLASSIFIERS
from nas.model_file.rows import row_of_layer
from nas.shapes import output_shape

_USUAL_CLASSES = 10


def show(
    given: str, pick: str, classes: int | None, side: int | None, *, time: bool, as_json: bool
) -> dict[str, Any]:
    """Print a network layer by layer.

    Args:
        given: model file or run directory.
        pick: trial of a search.
        classes: width of the classifier; ``None``: the run's, or what the file says.
        side: resolution where the file says none, pixels.
        time: measure the latency.
        as_json: print JSON instead of a table.

    Returns:
        The content of the JSON output.
    """
    name, architecture, num_classes = _choose(given, pick, classes, side)
    layers = [_layer(architecture, index, num_classes) for index in range(len(architecture.layers))]
    total = cost(architecture, num_classes)
    description: dict[str, Any] = {
        "name": name,
        "key": architecture.key,
        "resolution": architecture.resolution,
        "classes": num_classes,
        "layers": layers,
        "params": total.params,
        "macs": total.macs,
    }
    if time:
        description["latency"] = measure_architecture(architecture, num_classes).to_dict()
    if as_json:
        output().print_json(json.dumps(description))
        return description
    output().print(_table(description))
    line = costs_text(architecture, num_classes)
    if time:
        latency = description["latency"]
        line += (
            f", {latency['median']:.3f} ms median ({latency['iqr']:.3f} IQR, n={latency['n']}; "
            f"batch 1, {latency['runtime']})"
        )
    output().print(line, highlight=False, markup=False, soft_wrap=True)
    return description


def convert(given: str, out: Path, pick: str, classes: int | None, side: int | None) -> None:
    """Write a network as a model file.

    Raises:
        UserError: ``out`` exists.
    """
    name, architecture, num_classes = _choose(given, pick, classes, side)
    if out.exists():
        raise UserError(f"{out} exists already; choose another name")
    architecture.to_yaml(out, num_classes=num_classes)
    say(
        f"{name} in {out}: {len(architecture.layers)} layers, {architecture.resolution} px, "
        f"{num_classes} classes, {costs_text(architecture, num_classes)}"
    )


def _choose(
    given: str, pick: str, classes: int | None, side: int | None
) -> tuple[str, Architecture, int]:
    """Return the name, the network and the number of classes."""
    chosen = choose(given, pick).at(side)
    stated = chosen.classes
    if classes is None and stated is None:
        say(f"no --classes given and none in the file: taking {_USUAL_CLASSES}")
    return chosen.name, chosen.architecture, classes or stated or _USUAL_CLASSES


def _layer(architecture: Architecture, index: int, num_classes: int) -> dict[str, Any]:
    layer, shape = architecture.layers[index], architecture.shapes[index]
    module, args = row_of_layer(layer, shape[0])
    after = output_shape(layer, shape)
    width = after[0]
    if any(isinstance(before, CLASSIFIERS) for before in architecture.layers[: index + 1]):
        width *= num_classes
    if isinstance(layer, CLASSIFIERS):
        args[0] = num_classes
    total = layer_cost(layer, shape, num_classes)
    return {
        "module": module,
        "args": args,
        "output": [width, *after[1:]],
        "params": total.params,
        "macs": total.macs,
    }


def _table(description: dict[str, Any]) -> Table:
    title = f"{description['name']}: {description['resolution']} px, {description['classes']} classes"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column, side in (("", "right"), ("module", "left"), ("arguments", "left"), ("output", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    table.add_column("params", justify="right")
    table.add_column("MACs", justify="right")
    for number, layer in enumerate(description["layers"], start=1):
        table.add_row(
            str(number),
            layer["module"],
            json.dumps(layer["args"])[1:-1],
            " x ".join(map(str, layer["output"])),
            f"{layer['params']:,}" if layer["params"] else "",
            f"{layer['macs']:,}" if layer["macs"] else "",
        )
    return table
