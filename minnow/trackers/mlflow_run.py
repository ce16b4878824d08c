"""MLflow: a run of the experiment ``minnow``, or of ``$MLFLOW_EXPERIMENT_NAME``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.csv_table import csv_text
from minnow.trackers.tracker import Status, Tracker, Value

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow retries for minutes by default, reports its use to its vendor, and logs to standard error.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what it logs as an error it raises, too
}
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_AT_ONCE = 100  # parameters in a request
_LONGEST = 500  # characters of a parameter, in every version


class MlflowRun(Tracker):
    """MLflow: ``mlflow:URI`` is a server or ``sqlite:///FILE``; without it, ``$MLFLOW_TRACKING_URI``.

    A parameter keeps its first value, as MLflow has it.
    """

    package, extra = "mlflow", "mlflow"
    password_variable = "MLFLOW_TRACKING_URI or MLFLOW_TRACKING_PASSWORD"

    def __init__(self, place: str | None, run: Path, identifier: str | None) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        self._client = MlflowClient(place)
        if identifier is None:
            experiment = _experiment(self._client, os.environ.get("MLFLOW_EXPERIMENT_NAME", "minnow"))
            record = self._client.create_run(experiment, run_name=run.resolve().name)
        else:
            self._client.update_run(identifier, status="RUNNING")
            record = self._client.get_run(identifier)
        self._id: str = record.info.run_id
        self._experiment: str = record.info.experiment_id
        self._known = set(record.data.params)

    @property
    def identifier(self) -> str:
        """Run ID of MLflow."""
        return self._id

    @property
    def location(self) -> str:
        """Page of the run on a server, or the URI of the store."""
        uri: str = self._client.tracking_uri
        if uri.startswith("http"):
            return f"{uri.rstrip('/')}/#/experiments/{self._experiment}/runs/{self._id}"
        return f"{uri}, run {self._id}"

    def parameters(self, values: Mapping[str, Value]) -> None:
        """Record the parameters that the run lacks."""
        from mlflow.entities import Param

        new = [
            Param(name, str(value)[:_LONGEST])
            for name, value in values.items()
            if name not in self._known
        ]
        for start in range(0, len(new), _AT_ONCE):
            self._client.log_batch(self._id, params=new[start : start + _AT_ONCE])
        self._known |= values.keys()

    def metrics(self, series: str, values: Mapping[str, float], step: int) -> None:
        """Record metrics at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [Metric(f"{series}/{name}", value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=batch)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value | None]]) -> None:
        """Record the artifact ``NAME.csv``."""
        self._client.log_text(self._id, csv_text([columns, *rows]), f"{name}.csv")

    def file(self, path: Path, name: str) -> None:
        """Record an artifact."""
        folder = os.path.dirname(name) or None
        self._client.log_artifact(self._id, str(path), folder)

    def close(self, status: Status) -> None:
        """End the run."""
        self._client.set_terminated(self._id, _STATUS[status])


def _experiment(client: MlflowClient, name: str) -> str:
    """Return the ID of an experiment, which is made if it is missing."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name)
        except MlflowException:  # made by another run in the meantime
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    identifier: str = experiment.experiment_id
    return identifier
