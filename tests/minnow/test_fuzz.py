"""Random command lines, damaged files and strange folders, against one oracle.

A command ends with 0, 1 or 2, without a traceback, with one line that says what is wrong; it needs less
than a minute of processor time and less than 3 GB, and touches nothing but what it was told to write.

Each case is drawn from ``(kind, number)``. ``MINNOW_FUZZ_SECONDS`` is the time for each kind (default
180), ``MINNOW_FUZZ_FIRST`` the number of the first case, to go on where an earlier run ended or to repeat
a single one.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import stat
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from core.config import SearchConfig, StudentConfig
from core.config_io import known_settings
from minnow.commands.app import app
from nas.spaces.toy import Toy

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("MINNOW_FUZZ_SECONDS", 180))
FIRST = int(os.environ.get("MINNOW_FUZZ_FIRST", 0))
CPU_SECONDS, WALL_SECONDS, PEAK_BYTES = 60, 150, 3 << 30
LONGEST_LINE = 2_000  # characters of an error

#: A valid, quick line of each command; options and files are varied from there.
LINES = {
    "search": "search --data photos --space toy --trials 1 --epochs 1 --out out",
    "train": "train --model runs/found --epochs 1 --out out",
    "distill": "distill --student runs/found --teacher runs/alone --epochs 1 --out out",
    "fit": "fit --data photos --limit macs<=2M --trials 1 --set supernet.epochs=1 --set teacher.epochs=1 --out out",
    "evaluate": "evaluate runs/alone",
    "compare": "compare runs/alone runs/alone",
    "report": "report runs/found",
    "predict": "predict runs/alone photos/dark --out out.csv",
    "export": "export runs/alone",
    "latency": "latency runs/alone",
    "settings": "settings",
    "plugins": "plugins",
    "data check": "data check photos",
    "data crop": "data crop --coco boxes.json --images photos --out out",
    "model show": "model show model.yaml --no-latency",
    "model convert": "model convert model.yaml out.yaml",
    "bench strategies": "bench strategies --table table.json --space toy --strategy random --trials 3 --runs 2",
    "bench ranking": "bench ranking runs/found",
    "doctor": "doctor",
    "target list": "target list",
}
#: Options whose large values mean long work, which is no fault.
LENGTHS = (
    "epochs",
    "trials",
    "runs",
    "seeds",
    "workers",
    "networks",
    "trainings",
    "timeout",
    "views",
    "size",
)
STRANGE = (
    *("", " ", "nan", "inf", "-inf", "-1", "0", "1e400", "0x10", "٣", "9" * 5000, "true", "None", "null"),
    *("[" * 3000, "{a: 1}", "&a [*a]", "!!int abc", "2020-13-45", "!!python/object:os.system {}", "%s%n"),
    *("a=b", "a=b=c", "=", "a=", "=b", "--", "-", ".", "..", "../..", "runs", "runs/found", "runs/alone"),
    *("photos", "photos/dark/0.jpg", "model.yaml", "data.yaml", "boxes.json", "missing", "missing/missing"),
    *("./missing.py:X", "os:system", "no.module:X", "sqlite:///", "sqlite:////", "what://u:secret@nowhere/d"),
    *("=1+1", "x" * 300, "x" * 5000, "Käse", "e\u0301", "\u202e", "\udcff", "a\nb", "\x1b[31m", "$HOME", "~nobody"),
    *("f1", "f1:max", "f1:max:max", "macs<=1", "latency_ms<=1e-9", "macs<=", "knee", "smallest:f1>=2", "best:"),
    *("tf_efficientnet_lite0:missing.pth", "runs/alone,runs/alone", "runs/alone@nan", "digits", "torchvision:X"),
)  # fmt: skip


@dataclass
class Case:
    """A command line and its working directory."""

    arguments: list[str]
    note: str = ""
    touched: set[str] = field(default_factory=set)  # first parts of paths that it may write


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, finished: Path, write_classes: Any) -> Path:
    """A folder with everything that :data:`LINES` name."""
    folder = tmp_path_factory.mktemp("template") / "work"
    shutil.copytree(finished / "runs", folder / "runs", symlinks=True)
    write_classes(folder / "photos")
    shutil.copy(folder / "runs/found/architecture.yaml", folder / "model.yaml")
    (folder / "data.yaml").write_text(
        yaml.safe_dump({"DATA_PATH": "photos", "IMG_SIZE": 32, "EPOCHS": 1})
    )
    images = [{"id": i, "file_name": f"dark/{i}.jpg", "width": 48, "height": 40 + i} for i in range(12)]
    boxes = [
        {"id": i, "image_id": i % 12, "category_id": i % 2, "bbox": [2, 2, 20, 20]} for i in range(24)
    ]
    names = [{"id": 0, "name": "ink"}, {"id": 1, "name": "snow"}]
    coco = {"images": images, "annotations": boxes, "categories": names}
    (folder / "boxes.json").write_text(json.dumps(coco))
    rows = {
        "".join(map(str, point)): {"test_acc": [80 + i, 81 + i], "params": 10 + i, "flops": 100 + i}
        for i, point in enumerate(Toy().points())
    }
    (folder / "table.json").write_text(json.dumps(rows))
    (folder / "precious").mkdir()
    (folder / "precious/thesis.txt").write_text("years of work")
    return folder


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands by the name they are typed with."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for part, inner in command.commands.items():
        yield from leaves(inner, f"{name} {part}".strip())


COMMANDS = dict(leaves(typer.main.get_command(app)))
SETTINGS = sorted({*known_settings(SearchConfig), *known_settings(StudentConfig)})


def test_every_command_but_the_demo_and_uploads_is_fuzzed():
    apart = {"demo", "push", "target profile"}  # take minutes, or may find a token
    assert {*LINES, *apart} == {*COMMANDS}


def options_case(rng: np.random.Generator, folder: Path) -> Case:
    """A valid line with one to three strange values of options, settings or arguments."""
    name = str(rng.choice(list(LINES)))
    line = LINES[name].split()
    options = [p for p in COMMANDS[name].params if p.param_type_name == "option" and p.name != "help"]
    for _ in range(int(rng.integers(1, 4))):
        strange = str(STRANGE[int(rng.integers(len(STRANGE)))])
        places = [
            i for i, word in enumerate(line) if i >= len(name.split()) and not word.startswith("--")
        ]
        if options and rng.random() < 0.7:
            option = options[int(rng.integers(len(options)))]
            if option.opts[-1] == "--set":
                line += ["--set", f"{rng.choice(SETTINGS)}={strange}"]
            elif getattr(option, "is_flag", False):
                line.append(option.opts[-1])
            else:
                line += [option.opts[-1], strange]
        elif places:
            line[int(rng.choice(places))] = strange
    return Case(line, touched={word.split("/")[0] for word in line} | {"out", "out.csv", "out.yaml"})


#: Files that commands read, and the lines that read them.
READ = {
    "runs/found/config.yaml": ("report", "train", "search --resume --trials 4 --out runs/found", "model show runs/found"),
    "runs/found/study.journal": ("report", "train", "search --resume --trials 4 --out runs/found", "compare runs/found runs/found"),
    "runs/found/summary.json": ("report", "train", "search --resume --trials 4 --out runs/found"),
    "runs/found/architecture.yaml": ("report", "model show runs/found/architecture.yaml --no-latency"),
    "runs/alone/student/model.safetensors": ("predict", "evaluate", "export", "latency", "distill"),
    "runs/alone/student/metrics.json": ("report runs/alone", "compare", "predict", "evaluate", "distill"),
    "runs/alone/student/config.yaml": ("report runs/alone", "evaluate", "predict", "compare", "distill", "export"),
    "runs/alone/student/labels.txt": ("report runs/alone", "predict", "evaluate", "export", "compare", "distill"),
    "runs/alone/student/architecture.yaml": ("predict", "evaluate", "export", "model show runs/alone", "latency"),
    "model.yaml": ("model show", "model convert", "train --model model.yaml --epochs 1 --out out"),
    "data.yaml": ("data check data.yaml", "search --data data.yaml --space toy --trials 1 --epochs 1 --out out"),
    "boxes.json": ("data crop",),
    "table.json": ("bench strategies",),
    "settings.yaml": ("search --config settings.yaml --space toy --trials 1 --epochs 1 --out out",),
    "names.yaml": ("data crop --coco boxes.json --images photos --out out --map names.yaml",),
    "photos/dark/0.jpg": ("data check", "predict"),
}  # fmt: skip


def files_case(rng: np.random.Generator, folder: Path) -> Case:
    """A damaged file and a command that reads it."""
    (folder / "settings.yaml").write_text(
        yaml.safe_dump({"train": {"batch_size": 8}, "limits": ["macs<=9M"]})
    )
    (folder / "names.yaml").write_text("dark: [ink]\nlight: [snow]\n")
    extra = [str(path.relative_to(folder)) for path in (folder / "runs/alone/student").iterdir()]
    names = sorted({*READ, *extra})
    name = names[int(rng.integers(len(names)))]
    lines = READ.get(name, ("report runs/alone", "predict", "compare", "evaluate"))
    line = str(rng.choice(lines))
    how = damage(folder / name, rng)
    return Case(LINES.get(line, line).split(), f"{name} {how}", {"out", "out.csv", "out.yaml", "runs"})


def damage(path: Path, rng: np.random.Generator) -> str:
    """Damage a file in one of several ways; returns which."""
    content = path.read_bytes()
    ways = ["empty", "gone", "folder", "garbage", "twice", "fifo", *(["cut", "flip"] if content else [])]
    if path.suffix in (".json", ".yaml", ".journal"):
        ways += ["retype"] * 12
    way = str(rng.choice(ways))
    if way == "cut":
        path.write_bytes(content[: int(rng.integers(len(content)))])
    elif way == "flip":
        flipped = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            flipped[int(rng.integers(len(flipped)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
    elif way == "empty":
        path.write_bytes(b"")
    elif way == "gone":
        path.unlink()
    elif way == "folder":
        path.unlink()
        path.mkdir()
    elif way == "garbage":
        path.write_bytes(rng.bytes(int(rng.integers(1, 4000))))
    elif way == "twice":
        path.write_bytes(content + content)
    elif way == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif path.suffix == ".journal":
        lines = content.decode().splitlines()
        at = int(rng.integers(len(lines)))
        lines[at] = json.dumps(retyped(json.loads(lines[at]), rng))
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".json":
        path.write_text(json.dumps(retyped(json.loads(content), rng)))
    else:
        path.write_text(yaml.safe_dump(retyped(yaml.safe_load(content), rng)))
    return way


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 3, 1e308, -0.5, float("nan"), float("inf"), 10**30, "", "x", "\x1b[31m", "./x.py:X"),
    *([], {}, [[]], {"x": {}}, [None], ["x"] * 50, {"a": [1, {"b": None}]}, "y" * 5000),
)  # fmt: skip


def retyped(content: Any, rng: np.random.Generator) -> Any:
    """Replace one node by a value of another type, or remove it."""
    value = VALUES[int(rng.integers(len(VALUES)))]
    if not isinstance(content, dict | list) or not content or rng.random() < 0.15:
        return value
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = keys[int(rng.integers(len(keys)))]
    if rng.random() < 0.1:
        del content[key]
    else:
        content[key] = retyped(content[key], rng)
    return content


def trees_case(rng: np.random.Generator, folder: Path) -> Case:
    """A folder of images with strange entries, and a command that reads it."""
    root = folder / "photos"
    notes = [plant(root, rng) for _ in range(int(rng.integers(1, 6)))]
    lines = (
        "data check",
        "predict runs/alone photos --out out.csv",
        "search",
        "predict runs/alone photos --submission out.csv",
    )
    line = str(rng.choice(lines))
    return Case(LINES.get(line, line).split(), ", ".join(notes), {"out", "out.csv", "photos"})


NAMES = (
    "=1+1.png",
    "a b.png",
    "Käse.png",
    "Ka\u0308se.png",
    "\udcff\udcfe.jpg",
    "x" * 200 + ".png",
    ".hidden.png",
    "a\nb.png",
)
MODES = ("L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "1", "YCbCr", "LAB", "HSV")


def plant(root: Path, rng: np.random.Generator) -> str:
    """Put one strange thing below ``root``; returns which."""
    places = [root, root / "dark", root / "light", root / "train", root / "dark/deep", root / "@eaDir"]
    place = places[int(rng.integers(len(places)))]
    name = str(rng.choice(NAMES))
    kinds = "mode empty text huge bomb fifo loop outside itself folder gif class twin part classless unreadable".split()
    kind = str(rng.choice(kinds))
    place.mkdir(parents=True, exist_ok=True)
    path = place / name
    if os.path.lexists(path):
        return "nothing"
    side = int(rng.integers(1, 60))
    mode = str(rng.choice(MODES))
    if kind == "mode":
        ending = "png" if mode in ("L", "LA", "P", "RGB", "RGBA", "I;16", "I", "1") else "tiff"
        try:
            Image.new(mode, (side, 1 + side // 2)).save(place / f"{mode.replace(';', '')}.{ending}")
        except (OSError, ValueError):
            return "nothing"
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no image")
    elif kind == "huge":
        Image.new("1", (9000, 9000)).save(path if path.suffix == ".png" else place / "huge.png")
    elif kind == "bomb":
        Image.new("L", (30_000, 20_000)).save(place / "bomb.png", compress_level=1)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "outside":
        path.symlink_to(root.parent / "precious")
    elif kind == "itself":
        path.symlink_to(root)
    elif kind == "folder":
        path.mkdir()
    elif kind == "gif":
        Image.new("P", (side, side)).save(
            place / "a.gif", save_all=True, append_images=[Image.new("P", (side, side))]
        )
    elif kind == "class":
        (root / "third").mkdir(exist_ok=True)
    elif kind == "twin":
        shutil.copytree(root / "dark", root / "Dark", dirs_exist_ok=True, symlinks=True)
    elif kind == "part":
        for part in ("Training", "test"):
            (root / part).mkdir(exist_ok=True)
            Image.new("RGB", (20, 20)).save(root / part / "loose.png")
    elif kind == "classless":
        Image.new("RGB", (20, 20)).save(root / "loose.png")
    elif kind == "unreadable":
        (root / "light/0.jpg").write_bytes((root / "light/1.jpg").read_bytes()[:700])
    return f"{kind} in {place.relative_to(root.parent)}"


def state(folder: Path, but: set[str]) -> dict[str, tuple[int, int, int]]:
    """Return mode, size and time of change of everything below ``folder``, except what starts with ``but``."""
    states = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] in but:
            continue
        entry = path.lstat()
        size = entry.st_size if stat.S_ISREG(entry.st_mode) else 0
        states[str(relative)] = (entry.st_mode, size, entry.st_mtime_ns if size else 0)
    return states


def faults(case: Case, folder: Path, start_in: Any, cache: Path) -> tuple[int, list[str]]:
    """Run a case; returns the exit code, and what the oracle does not allow."""
    but = {"cache", "runs", *case.touched}
    before = state(folder, but)
    running = start_in(folder, *case.arguments, MINNOW_CACHE=str(cache), HOME=str(folder / "precious"))
    watch = Timer(WALL_SECONDS, lambda: os.killpg(running.pid, signal.SIGKILL))
    watch.start()
    try:
        ended = running.end()
    finally:
        watch.cancel()
    wrong = []
    errors = [line for line in ended.stderr.splitlines() if line.startswith("minnow: error:")]
    if ended.returncode not in (0, 1, 2):
        wrong.append(f"ended with {ended.returncode}")
    if "Traceback (most recent call last)" in ended.stderr + ended.stdout:
        wrong.append("traceback: " + " | ".join(ended.stderr.strip().splitlines()[-3:])[-600:])
    if ended.returncode == 2 and (
        len(errors) != 1 or not ended.stderr.rstrip().endswith(errors[0].rstrip())
    ):
        wrong.append(f"not one line of error: {ended.stderr[-300:]!r}")
    wrong += [f"a line of {len(line)} characters" for line in errors if len(line) > LONGEST_LINE]
    if ended.cpu_seconds > CPU_SECONDS:
        wrong.append(f"{ended.cpu_seconds:.0f} s of processor time")
    if ended.peak_bytes > PEAK_BYTES:
        wrong.append(f"{ended.peak_bytes / 1e9:.1f} GB")
    after = state(folder, but)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        wrong.append(f"changed {', '.join(changed[:4])}")
    return ended.returncode, wrong


@pytest.mark.parametrize("make", [options_case, files_case, trees_case])
def test_nothing_but_one_line(make, template, finished, start_in, tmp_path, capsys):
    kind, deadline, failures = make.__name__.removesuffix("_case"), time.monotonic() + SECONDS, []
    codes: Counter[int] = Counter()
    for number in itertools.count(FIRST):
        if number > FIRST and time.monotonic() > deadline:
            break
        folder = tmp_path / str(number)
        shutil.copytree(template, folder, symlinks=True)
        cache = finished / "cache"
        case = None
        try:
            case = make(np.random.default_rng([sum(map(ord, kind)), number]), folder)
            code, wrong = faults(case, folder, start_in, cache)
        except Exception:  # a case that cannot be made or run is a fault of the suite, and is named
            code, wrong = -1, [traceback.format_exc()]
        codes[code] += 1
        if wrong:
            line = "" if case is None else f"{case.note}: {' '.join(map(repr, case.arguments))[:400]}"
            failures.append(f"{kind} {number}: {line}: {'; '.join(wrong)}")
            with capsys.disabled():
                print(f"\n{failures[-1]}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
    with capsys.disabled():
        counts = ", ".join(f"exit {code}: {count}" for code, count in sorted(codes.items()))
        print(f"\n{kind}: {codes.total()} cases ({counts}), {len(failures)} faults", file=sys.stderr)
    assert not failures, "\n".join(failures)
