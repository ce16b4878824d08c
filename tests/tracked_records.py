"""What each tracker stored, read back without Minnow."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Recorded:
    """One recorded run."""

    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    tables: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    status: str = ""


def mlflow(folder: Path, identifier: str) -> Recorded:
    """Read an MLflow run by its client, from the store in a folder."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/store.db")
    run = client.get_run(identifier)
    found = Recorded(parameters=dict(run.data.params), status=run.info.status)
    for name in run.data.metrics:
        found.metrics[name] = [(m.step, m.value) for m in client.get_metric_history(identifier, name)]
    waiting = [None]
    while waiting:
        for item in client.list_artifacts(identifier, waiting.pop()):
            if item.is_dir:
                waiting.append(item.path)
            elif item.path.endswith(".csv"):
                found.tables.add(item.path.removesuffix(".csv"))
            else:
                found.files.add(item.path)
    return found


def tensorboard(folder: Path, identifier: str) -> Recorded:
    """Read event files by TensorBoard's own accumulator."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "events" / identifier), size_guidance={"scalars": 0}).Reload()
    found = Recorded()
    for name in events.Tags()["scalars"]:
        found.metrics[name] = [(event.step, event.value) for event in events.Scalars(name)]
    for name in events.Tags()["tensors"]:
        stem, text = (
            name.removesuffix("/text_summary"),
            events.Tensors(name)[-1].tensor_proto.string_val[0],
        )
        if stem.startswith("parameters/"):
            rows = [line.split("|") for line in text.decode().splitlines()[2:]]
            found.parameters |= {row[0]: row[1] for row in rows}
        else:
            (found.files if "." in stem else found.tables).add(stem)
    return found


def wandb(folder: Path, identifier: str) -> Recorded:
    """Read the run files of Weights & Biases, all of one identifier, with its message classes."""
    import wandb as service
    from wandb.proto import wandb_internal_pb2

    service.teardown()  # as at the end of a process: until then its files may lack the last records
    found = Recorded()
    for path in sorted((folder / "wandb").glob(f"offline-run-*-{identifier}/*.wandb")):
        for content in _log_records(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(content)
            changes = [*record.run.config.update, *record.config.update]
            for item in changes:
                name = item.key or ".".join(item.nested_key)
                if not name.startswith("_wandb"):
                    found.parameters[name] = str(json.loads(item.value_json))
            row = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            _add_row(found, row)
            found.files |= {
                item.path for item in record.files.files if not item.path.startswith("media/")
            }
            if record.HasField("exit"):
                found.status = str(record.exit.exit_code)
    return found


def _add_row(found: Recorded, row: dict[str, Any]) -> None:
    steps = {name.removesuffix("/step"): value for name, value in row.items() if name.endswith("/step")}
    for name, value in row.items():
        if value == "table-file":
            found.tables.add(name.removesuffix("._type"))
        series, _, leaf = name.rpartition("/")
        if series in steps and leaf != "step":
            found.metrics[name].append((steps[series], value))


def _log_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a file in LevelDB's log format, behind a header of 7 bytes."""
    block, place, record = 32768, 7, b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""
