"""Anything a user can get wrong ends in one line, and says what to do."""

from __future__ import annotations

import pytest
from PIL import Image

SEARCH = "search --space toy --trials 2 --epochs 1"
WRONG = [
    # command, words its complaint must have
    (f"{SEARCH} --data nowhere", "nowhere", "no such folder"),
    (f"{SEARCH} --data empty", "empty", "class folders"),
    (f"{SEARCH} --data torchvision:Nope", "CIFAR10"),
    ("search --space toyy", "'toyy'", "did you mean 'toy'", "mobilenet"),
    (f"{SEARCH} --strategy tpee", "'tpee'", "random, tpe, nni-evolution"),
    (f"{SEARCH} --strategy ./nofile.py:A", "nofile.py", "does not exist"),
    (f"{SEARCH} --strategy ./broken.py:A", "broken.py", "ZeroDivisionError"),
    (f"{SEARCH} --strategy ./other.py:A", "not a subclass of Strategy"),
    (f"{SEARCH} --strategy ./other.py:B", "no 'B'"),
    (f"{SEARCH} --strategy nas.nope:A", "nas.nope"),
    (f"{SEARCH} --strategy-option startup", "name=value"),
    (f"{SEARCH} --strategy tpe --strategy-option starup=5", "'starup'", "startup, multivariate"),
    (f"{SEARCH} --strategy-option startup=x", "startup", "whole number"),
    (f"{SEARCH} --strategy nni-evolution --strategy-option population=0", "population"),
    (f"{SEARCH} --teacher ALONE --loss-option t=2", "'kd'", "'t'", "temperature"),
    (f"{SEARCH} --loss-option t", "--loss-option", "name=value"),
    (f"{SEARCH} --teacher ALONE --loss kdd", "'kdd'", "kd, dkd"),
    (f"{SEARCH} --teacher resnet9999", "resnet9999", "resnet50"),
    (f"{SEARCH} --teacher ./nodir", "./nodir"),
    (f"{SEARCH} --teacher FOUND", "model.safetensors", "distill"),
    (f"{SEARCH} --limit params<300k", "params<300k", "params<=300k"),
    (f"{SEARCH} --limit foo<=3", "'foo'", "params, macs"),
    (f"{SEARCH} --limit params<=1..2", "1..2"),
    (f"{SEARCH} --limit params<=10", "smallest", "1,034"),
    (f"{SEARCH} --limit macs<=1", "smallest", "130,640"),
    (f"{SEARCH} --limit params>=10G", "params>="),
    (f"{SEARCH} --score-reference f2=3", "score.f2", "'score.f1' or 'score.time'"),
    (f"{SEARCH} --score-reference f1", "--score-reference", "name=value"),
    (f"{SEARCH} --score-reference time=0", "score.time", "greater than 0"),
    (f"{SEARCH} --objective foo:max", "'foo:max'", "f1, accuracy"),
    (f"{SEARCH} --objective f1:up", "'f1:up'", "max"),
    (f"{SEARCH} --objective f1 --objective f1", "twice"),
    *((f"{SEARCH} --timeout {text}", text, "10m") for text in ("soon", "0", "-5", "5x", "m", "1.5h")),
    (f"{SEARCH} --out FOUND", "--resume", "another --out"),
    (f"{SEARCH} --out runs/latest", "last search", "another --out"),
    (f"{SEARCH} --out file.txt", "file.txt", "another place"),
    (f"{SEARCH} --out file.txt/run", "file.txt/run", "choose another"),
    ("train --model FOUND --out new --epochs 0", "train.epochs", "greater than or equal to 1"),
    (f"{SEARCH} --epochs 0", "train.epochs 0", "1 or more"),
    (f"{SEARCH} --trials abc", "--trials", "integer"),
    (f"{SEARCH} --bogus", "--bogus", "search --help"),
    (f"{SEARCH} --workers 0", "workers"),
    (f"{SEARCH} --seed -1", "seed"),
    (f"{SEARCH} --learning-rate nan", "learning_rate"),
    (f"{SEARCH} --learning-rate 0", "learning_rate"),
    (f"{SEARCH} --fit zoom", "squash"),
    (f"{SEARCH} --image-size 4", "size"),
    (f"{SEARCH} --resolution abc", "64,96,128"),
    (f"{SEARCH} --resolution 4", "greater than or equal to 8"),
    (f"{SEARCH} --config no.yaml", "no.yaml", "does not exist"),
    (f"{SEARCH} --config unknown.yaml", "'train.epoch'", "epochs, batch_size"),
    (f"{SEARCH} --config optimizer.yaml", "'adamv'", "did you mean 'adam'"),
    (f"{SEARCH} --config broken.yaml", "broken.yaml"),
    (f"{SEARCH} --config list.yaml", "list.yaml", "mapping"),
    (f"{SEARCH} --storage foo://x", "foo://x"),
    (f"{SEARCH} --storage sqlite:///no/such/place.db", "no/such/place.db"),
    (f"{SEARCH} --strategy-option startup=[1", "startup=[1", "YAML"),
    (f"{SEARCH} --strategy ./part.py:Part", "cannot be made", "propose"),
    (f"{SEARCH} --strategy ./part.py:Needy", "cannot be made", "'heat'"),
    (f"{SEARCH} --strategy optuna:tpe --strategy-option n_ei_candidates=0", "optuna:tpe"),
    (f"{SEARCH} --limit train_seconds<=2m", "'m'", "params, macs"),
    (f"{SEARCH} --limit params<=3%", "'%'", "f1, accuracy"),
    (f"{SEARCH} --limit f1>=60", "from 0 to 1", "f1>=60%"),
    ("search --resume", "earlier search"),
    ("search --resume --out nothing", "nothing", "no run to resume"),
    ("search --resume --out FOUND --space mobilenet", "another space.name", "toy", "mobilenet"),
    ("search --resume --out FOUND --data two", "another data", "digits", "two"),
    (f"{SEARCH} --balance post-hoc", "validation", "distill"),
    (f"{SEARCH} --balance logit-adjust --teacher ALONE --loss-weight 1", "lower loss.weight"),
    ("search --resume --out FOUND --balance sampler", "another balance"),
    ("search --resume --out FOUND --epochs 2", "another train.epochs", "has 1", "asked for 2"),
    ("search --resume --out FOUND --objective f1", "another objectives"),
    ("search --resume --out FOUND --config sgd.yaml", "another train.optimizer", "sgd"),
    ("distill --student FOUND --out new", "--teacher", "missing"),
    ("distill", "no earlier search"),
    ("distill --teacher ALONE", "no earlier search", "--student"),
    ("distill --teacher no_net --student FOUND --out new", "no_net"),
    ("distill --teacher ALONE --student FOUND --out new --loss kdd", "kd, dkd"),
    ("distill --teacher ALONE --student FOUND --out new --loss-weight 2", "loss.weight"),
    ("distill --teacher ALONE --student FOUND --out new --balance smote", "balance.mode", "'sampler'"),
    (
        "distill --teacher ALONE --student FOUND --out new --balance logit-adjust --loss-weight 1",
        "lower loss.weight",
    ),
    ("distill --teacher ALONE --student FOUND --out new --data two", "classes", "dark"),
    (
        "distill --teacher ALONE --student FOUND --out new --optimizer sgdd",
        "'sgdd'",
        "did you mean 'sgd'",
    ),
    ("train --model FOUND --out new --optimizer adahessian", "second derivatives", "choose another"),
    ("train --model FOUND --out new --clip-grad -1", "train.clip_grad"),
    ("train --model FOUND --out new --patience -1", "train.patience"),
    ("train --model FOUND --pick worst", "'worst'", "knee"),
    ("train --model FOUND --pick smallest:f1>0.5", "f1>0.5", "malformed"),
    ("train --model FOUND --pick smallest:", "pick 'smallest:'", "malformed"),
    ("train --model FOUND --pick smallest:speed>=1", "'speed'", "images_per_second"),
    ("train --model FOUND --pick tiny:f1>=0.5", "'tiny:f1>=0.5'", "smallest, fastest", "number"),
    ("train --model FOUND --pick fastest:f1>=99%,params<=1G", "no trial", "nearest, trial", "f1 0."),
    ("train --model FOUND --pick 99", "99", "0 to 2"),
    ("train --model FOUND --pick ²", "'²'", "number"),
    ("train --model ALONE --pick 1 --out new", "pick 1", "is none"),
    ("train --model nothing.yaml", "nothing.yaml", "does not exist"),
    ("train --model list.yaml", "list.yaml"),
    ("train --model empty", "empty", "architecture.yaml"),
    ("train --model FOUND --out ALONE", "exists already", "another run directory"),
    ("train --model FOUND --out ALONE --resume", "finished"),
    ("train --model FOUND --out file.txt", "file.txt"),
    ("train", "--model"),
    ("train --model FOUND --out new --seeds 0", "--seeds"),
    ("distill --teacher ALONE --student FOUND --out new --seeds 2 --data two", "classes", "dark"),
    ("compare nothing ALONE", "nothing", "no such directory"),
    ("compare ALONE FOUND", "model.safetensors", "distill"),
    ("compare ALONE", "compare --help"),
    ("evaluate nothing", "nothing", "no such directory"),
    ("evaluate FOUND", "model.safetensors", "distill"),
    ("evaluate ALONE --split tests", "'tests'", "val"),
    ("evaluate ALONE --data nowhere", "nowhere"),
    ("evaluate ALONE --data two", "classes", "dark"),
    ("predict ALONE nothing.png", "nothing.png"),
    ("predict ALONE empty", "no images"),
    ("predict ALONE file.txt", "file.txt", "none"),
    ("predict ALONE", "images"),
    ("predict ALONE dark.png --submission empty", "empty", "directory"),
    ("predict ALONE dark.png --timing file.txt/timing.json", "file.txt"),
    ("export FOUND", "model.safetensors"),
    ("export ALONE --out empty", "directory"),
    ("export ALONE --out file.txt/model.onnx", "file.txt"),
    ("predict ALONE dark.png --out one.csv --submission one.csv", "a file each"),
    ("latency nothing", "nothing"),
    ("latency ALONE --image-size 64", "--image-size", "says its classes and size"),
    ("latency list.yaml", "list.yaml"),
    ("latency FOUND --classes 1", "--classes"),
    ("data check nowhere", "nowhere"),
    ("data check digits --fit zoom", "squash"),
    ("demo --seed -1", "--seed"),
    ("serach", "serach", "search"),
]


@pytest.mark.parametrize(("command", "words"), [(first, rest) for first, *rest in WRONG], ids=lambda v: v if isinstance(v, str) else "")  # fmt: skip
def test_it_is_one_line_that_says_what_and_where(here, finished, minnow, write_classes, command, words):
    (here / "empty").mkdir()
    (here / "file.txt").write_text("text")
    Image.new("L", (8, 8)).save(here / "dark.png")
    (here / "broken.py").write_text("1 / 0\n")
    (here / "other.py").write_text("class A: pass\n")
    (here / "part.py").write_text(
        "from nas.strategies.random import RandomSearch, Strategy\n"
        "class Part(Strategy): pass\n"
        "class Needy(RandomSearch):\n"
        "    def __init__(self, *given, heat, **more): super().__init__(*given, **more)\n"
    )
    (here / "unknown.yaml").write_text("train: {epoch: 3}\n")
    (here / "optimizer.yaml").write_text("train: {optimizer: adamv}\n")
    settings = "space: {name: toy}\nobjectives: [f1, macs]\ntrain: {epochs: 1, optimizer: sgd}\n"
    (here / "sgd.yaml").write_text(settings)
    (here / "broken.yaml").write_text("a: [\n")
    (here / "list.yaml").write_text("- 1\n")
    if "two" in command.split():
        write_classes(here / "two")
    places = {"FOUND": str(finished / "runs/found"), "ALONE": str(finished / "runs/alone")}
    before = {path: path.read_bytes() for path in (finished / "runs").rglob("*") if path.is_file()}
    complaint = minnow("", *(places.get(word, word) for word in command.split())).complaint
    for word in words:
        assert word in complaint
    assert not list(here.glob("runs/*")) and not (here / "new").exists()
    for path, content in before.items():
        assert path.read_bytes() == content


def test_what_was_taken_is_said_before_the_error(here, minnow):
    said = minnow(f"{SEARCH} --strategy tpee")
    assert said.notices[0].startswith("no data given: using the embedded digits")
    assert said.complaint


@pytest.mark.parametrize(
    "command",
    [
        "data check LONG",
        "predict ALONE LONG",
        "model convert LONG out.yaml",
        "predict ALONE photo --out LONG",
    ],
)
def test_a_path_of_any_length_is_shortened(there, minnow, command):
    complaint = minnow(command.replace("LONG", "x" * 5000).replace("ALONE", "runs/alone")).complaint
    assert "xxx...xxx" in complaint and len(complaint) < 1000
