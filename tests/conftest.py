"""What all tests share: the embedded digits, some of them, and a tiny network."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from nas.architecture import Architecture
from nas.spaces.toy import Toy

# Before anything imports torch. Each test trains on one core: two workers share a machine, and how sums are
# cut into threads changes their rounding, so that processes can be compared only at the same number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory):
    """scikit-learn's digits at 32 px: 1,259 images to train on, 179 to validate, 359 to test."""
    from training.data.images import open_images

    return open_images("digits", cache=tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def some_digits(digits):
    """200 of them to train on, 60 to validate, 80 to test; a content key of its own."""
    counts = {"train": 200, "val": 60, "test": 80}
    splits = {part: indices[: counts[part]] for part, indices in digits.splits.items()}
    return digits.resplit(**splits)


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """A network of one block that trains in a fraction of a second, at 32 px."""
    return Toy().decode((0, 0, 0, 0))


@pytest.fixture
def as_loaded(tmp_path: Path) -> Callable[..., Any]:
    """``as_loaded(content, "BASIC")``: an ONNX model as ONNX Runtime runs it at a level; by default, all."""

    def load(content: bytes, level: str = "ALL") -> Any:
        import onnx

        from training.onnx_graph import onnx_runtime

        runtime = onnx_runtime()
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.__members__[
            f"ORT_ENABLE_{level}"
        ]
        options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
        options.log_severity_level = 3
        runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return onnx.load(tmp_path / "loaded.onnx")

    return load


@pytest.fixture
def diverging(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``diverging(module, name, 5)``: the loss that ``module.name`` makes is NaN at its 5th call, from 1."""

    def spoil(module: Any, name: str, *calls: int) -> None:
        real, count = getattr(module, name), 0

        def make(*arguments: Any, **options: Any):
            loss = real(*arguments, **options)

            def spoiled(model, batch):
                nonlocal count
                count += 1
                return loss(model, batch) * (float("nan") if count in calls else 1.0)

            return spoiled

        monkeypatch.setattr(module, name, make)

    return spoil


@pytest.fixture
def together() -> Callable[..., list[Any]]:
    """Run ``work(processes)`` in processes connected as a launcher would; gives what each returned."""
    context = multiprocessing.get_context("fork")  # a new interpreter would import torch for seconds

    def member(work, environment: dict[str, str], end, all_done) -> None:
        import torch

        from training.processes import current

        torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
        os.environ.update(environment)
        current.cache_clear()
        try:
            end.send((work(current()), None))
        except BaseException:
            end.send((None, traceback.format_exc()))
        all_done.wait(120)  # the first process holds the store with which the others may yet connect

    def run(work: Callable[[Any], Any], count: int = 2) -> list[Any]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
        members, ends, all_done = [], [], context.Barrier(count)
        for rank in range(count):
            content = {**shared, "RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1"}
            mine, theirs = context.Pipe()
            environment = {name: str(value) for name, value in content.items()}
            members.append(context.Process(target=member, args=(work, environment, theirs, all_done)))
            members[-1].start()
            ends.append(mine)
        try:
            assert all(end.poll(120) for end in ends), "a process hangs"
            answers = [end.recv() for end in ends]
        finally:
            for each in members:
                each.kill()
                each.join()
        assert not any(error for _, error in answers), "\n".join(error or "" for _, error in answers)
        return [result for result, _ in answers]

    return run


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``$MINNOW_CACHE`` is an empty directory."""
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MINNOW_CACHE", str(path))
    return path


@pytest.fixture
def write_images() -> Callable[..., Path]:
    """Write ``{folder: count}`` random PNG files, all different, below a root."""

    def write(root: Path, counts: Mapping[str, int], size: tuple[int, int] = (40, 32)) -> Path:
        rng = np.random.default_rng(0)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                noise = rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / folder / f"{index:03d}.png")
        return root

    return write


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """An empty store of MLflow, which takes seconds to make; ``None`` where it is not installed."""
    if find_spec("mlflow") is None:
        return None
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "store.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracked_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_store: Path | None
) -> Callable[[str, str], Any]:
    """Read what a tracker stored below the working directory: ``tracked_record(name, identifier)``.

    MLflow's store is ``store.db``, TensorBoard's folder ``events``.
    """
    if mlflow_store is not None:
        shutil.copy(mlflow_store, tmp_path)
    spec = spec_from_file_location("tracked_records", Path(__file__).parent / "tracked_records.py")
    assert spec is not None and spec.loader is not None
    sys.modules["tracked_records"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return lambda name, identifier: getattr(module, name)(tmp_path, identifier)


@pytest.fixture(scope="session")
def trashnet() -> Path:
    """2,016 photographs of waste in six classes."""
    return _shared("trashnet")


@pytest.fixture(scope="session")
def cifar10_small() -> Path:
    """7,000 images of CIFAR-10 in train/, val/ and test/."""
    return _shared("cifar10-small")


def _shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the data set {SHARED / name} is not on this machine")
    return SHARED / name


@pytest.fixture(scope="session")
def taco() -> Path:
    """TACO's annotation file: 1,500 photos, which are not there, and 4,784 boxes."""
    return _shared("taco") / "annotations.json"


class RayNodes:
    """A real Ray cluster on this machine: a head without cores, and nodes with some."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
        head["_system_config"] = {
            "health_check_period_ms": 500,
            "health_check_timeout_ms": 2000,
            "health_check_failure_threshold": 4,
        }
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return self.cluster.address

    def add(self, name: str, cpus: float = 1, **options: Any) -> Any:
        """Add a node, whose name is what messages call it."""
        given = {"object_store_memory": STORE, **options}
        self.nodes[name] = self.cluster.add_node(num_cpus=cpus, node_name=name, **given)
        return self.nodes[name]

    def two_nodes(self) -> None:
        """Have two nodes of one core each."""
        for name in ("one", "two"):
            if name not in self.nodes:
                self.add(name)

    def remove(self, name: str) -> None:
        """End a node as a power cut does, and wait until a driver that is connected sees it."""
        import ray

        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)
        while ray.is_initialized() and any(n["Alive"] and n["NodeName"] == name for n in ray.nodes()):
            time.sleep(0.1)


STORE = 100 * 2**20  # bytes of a node's object store


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[RayNodes]:
    """A cluster that the executor ``ray`` finds by itself."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = RayNodes()
        patch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes
        nodes.cluster.shutdown()


class Postgresql:
    """A PostgreSQL server of its own, on a socket in a temporary directory.

    Attributes:
        url: of a new and empty database, with the password.
        password: of its user.
    """

    password = "pass-phrase"

    def __init__(self, programs: Path) -> None:
        self._programs, self._databases = programs, 0
        self._server: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {}
        # The path of a socket holds 107 bytes, and other users cannot enter pytest's own directories.
        self._root = Path(tempfile.mkdtemp(prefix="minnow-pg-"))
        if os.geteuid() == 0:  # whom PostgreSQL refuses
            names = {user.pw_name for user in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._root, user.pw_uid, user.pw_gid)
        (self._root / "password").write_text(self.password)
        (self._root / "password").chmod(0o644)
        options = ["--username=me", "--auth=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8"]
        self._call("initdb", "-D", self._data, f"--pwfile={self._root}/password", *options)

    @property
    def _data(self) -> str:
        return str(self._root / "data")

    def start(self) -> None:
        """Start the server, if it does not run, and wait for it."""
        if self._server is None:
            settings = {
                "listen_addresses": "",
                "unix_socket_directories": self._root,
                "fsync": "off",  # the kernel outlives every kill
                "shared_buffers": "16MB",
            }
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            with (self._root / "log").open("ab") as log:
                command = [str(self._programs / "postgres"), "-D", self._data, *options]
                streams: Any = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
                self._server = subprocess.Popen(command, cwd=self._root, **streams, **self._user)
        end = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
                return
            except Exception:
                assert time.monotonic() < end, (self._root / "log").read_text()[-2000:]
                time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the server, and by SIGKILL to the processes that serve its connections."""
        if self._server is None:
            return
        children = psutil.Process(self._server.pid).children(recursive=True)
        self._server.send_signal(number)
        self._server.wait()
        for child in children if number == signal.SIGKILL else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=10)
        self._server = None

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement in the database ``postgres``; returns the rows."""
        import psycopg

        login = {"host": str(self._root), "user": "me", "password": self.password, "dbname": "postgres"}
        with psycopg.connect(**login, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create_database(self) -> None:
        """Create an empty database, which becomes that of :attr:`url`; the one before is deleted."""
        self.execute(f"DROP DATABASE IF EXISTS d{self._databases} WITH (FORCE)")
        self._databases += 1
        self.execute(f"CREATE DATABASE d{self._databases}")
        self.url = f"postgresql://me:{self.password}@/d{self._databases}?host={self._root}"

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.kill(signal.SIGQUIT)
        shutil.rmtree(self._root)

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        ended = subprocess.run(command, cwd=self._root, capture_output=True, text=True, **self._user)
        assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="session")
def _postgresql_server() -> Iterator[Postgresql]:
    places = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    initdb = shutil.which("initdb", path=os.pathsep.join([*places, os.environ.get("PATH", os.defpath)]))
    if initdb is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    server = Postgresql(Path(initdb).resolve().parent)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgresql(_postgresql_server: Postgresql) -> Postgresql:
    """A running PostgreSQL server with an empty database."""
    _postgresql_server.start()
    _postgresql_server.create_database()
    return _postgresql_server
