"""The page gives Python's answers in a browser, as a file and from a server, and asks nobody else."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import random
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.nn import functional as F

import cli
from core.errors import UserError
from deploy.classifier import Classifier
from deploy.device.link import ModelError
from deploy.web import student_page
from minnow.student import Student
from nas.networks import build
from nas.spaces.toy import Toy
from training.bundle import save_bundle
from training.data.fitting import FITS
from training.data.images import DataOptions, open_images
from training.preprocess import IMAGENET, prepare

pytestmark = pytest.mark.system

STORED, SIDE, PHOTOS = 40, 32, 30  # pixels, pixels, photos of each class
FILES = {
    *("index.html", "style.css", "app.js", "network.js", "pixels.js", "model.js", "onnxruntime.js"),
    *("onnxruntime-licence.txt", "onnxruntime-third-parties.txt"),
}


@pytest.fixture(scope="session")
def photos(trashnet, tmp_path_factory):
    """A data set of a few photos of each class."""
    root = tmp_path_factory.mktemp("photos")
    for folder in sorted(trashnet.iterdir()):
        (root / folder.name).mkdir()
        for photo in sorted(folder.iterdir())[:PHOTOS]:
            (root / folder.name / photo.name).write_bytes(photo.read_bytes())
    return root


@pytest.fixture(scope="session")
def student(photos, tmp_path_factory):
    """A network that knows its photos well enough to be sure of some and in doubt about others."""
    folder = tmp_path_factory.mktemp("run") / "student"
    data = open_images(str(photos), DataOptions(size=STORED, fit="crop"), cache=folder.parent / "cache")
    torch.manual_seed(0)
    inputs = prepare(torch.from_numpy(data.images[:].copy()).permute(0, 3, 1, 2), SIDE, IMAGENET)
    targets = torch.from_numpy(data.labels[:].astype(np.int64))
    architecture = Toy().decode((1, 1, 0, 0))
    network = build(architecture, len(data.classes))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(15):
        for chosen in torch.randperm(len(inputs)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
    config = {
        "normalization": {"mean": list(IMAGENET.mean), "std": list(IMAGENET.std)},
        "data": {"spec": str(photos), "size": STORED, "fit": "crop"},
    }
    save_bundle(folder, network.eval(), architecture, data.classes, config=config, metrics={})
    return Student(folder)


@pytest.fixture(scope="session")
def page(student, runtime):
    """The page that the command writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINNOW_CACHE", str(student.path.parent / "cache"))
        patch.setattr(student_page, "web_runtime", lambda: runtime)
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", str(student.path.parent), "--target", "web"])
    assert not ended.value.code
    return student.path / "export" / "web"


@pytest.fixture(scope="session")
def odd_photos(photos, tmp_path_factory):
    """Real photos in many sizes and formats: tiny, long, larger than any band, turned, transparent."""
    folder = tmp_path_factory.mktemp("odd")
    chosen = [sorted(of_class.iterdir())[7] for of_class in sorted(photos.iterdir())]
    images = [Image.open(photo).convert("RGB") for photo in chosen * 2]
    images[0].crop((3, 5, 34, 64)).save(folder / "tiny.png")
    images[1].resize((1501, 333)).save(folder / "long.webp", quality=90)
    images[2].resize((2600, 1733)).save(folder / "large.png", compress_level=1)
    for turn in (1, 3, 6, 8):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = turn
        # Training scales a JPEG while decoding it, in boxes of 8 pixels from the stored corner; the page
        # sees the upright picture. They are the same boxes where a turned picture has whole ones.
        size = {1: (1023, 767), 3: (1024, 768)}.get(turn, (3264, 2448))
        images[turn].resize(size).save(folder / f"turned-{turn}.jpg", quality=90, exif=exif)
    glass = images[4].convert("RGBA")
    glass.putalpha(Image.linear_gradient("L").resize(glass.size).point(lambda level: 255 * (level > 90)))
    glass.save(folder / "transparent.png")
    images[5].convert("L").save(folder / "grey.jpg")
    return [*chosen, *sorted(folder.iterdir())]


@pytest.fixture(params=("file", "http"))
def address(request, page):
    """Address of the folder, with a slash at its end."""
    if request.param == "file":
        yield f"{page.as_uri()}/"
        return
    handler = functools.partial(QuietHandler, directory=page)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *_):
        pass


def answer(browser, photo) -> tuple[list[float], int]:
    """The page's probabilities for a file, and how many pixels the network saw."""
    browser.evaluate(
        "document.getElementById('test-file') ?? document.body.insertAdjacentHTML("
        "'beforeend', '<input type=\"file\" id=\"test-file\">')"
    )
    browser.choose_file("#test-file", photo)
    result = browser.evaluate(
        "minnow.classify(document.getElementById('test-file').files[0])"
        ".then(({ probabilities, pixels }) => [probabilities, pixels.length / 3])"
    )
    return result[0], result[1]


@pytest.mark.parametrize(
    ("address", "fit"), [*(("file", fit) for fit in FITS), ("http", "crop")], indirect=["address"]
)
def test_answers_are_those_of_python(browser, address, student, odd_photos, fit):
    data = {**student.bundle.config["data"], "fit": fit}
    classifier = Classifier(replace(student.bundle, config={**student.bundle.config, "data": data}))
    browser.open(f"{address}index.html")
    browser.evaluate("minnow.ready.then(() => true)")
    if fit == "crop":
        assert browser.evaluate("minnowModel.inference.resize.fit") == student.classifier.fit
    browser.evaluate(f"minnowModel.inference.resize.fit = '{fit}'")
    labels = set()
    for photo in odd_photos if address.startswith("file:") else odd_photos[:6]:  # the pixels are the same
        (expected,) = classifier.predict(photo)
        got, pixels = answer(browser, photo)
        assert pixels == SIDE**2
        assert np.abs(np.array(list(expected.probabilities.values())) - got).max() < 0.02, photo.name
        assert student.classes[np.argmax(got)] == expected.label, photo.name
        labels.add(expected.label)
    assert len(labels) > 2, "the network must tell photos apart"
    assert browser.messages == []
    outside = [url for url in browser.requests if not url.startswith((address, "blob:", "data:"))]
    assert outside == []


def test_person_gets_an_answer_and_a_time(browser, address, student, odd_photos):
    browser.open(f"{address}index.html")
    browser.wait_for("!document.getElementById('file').disabled")
    assert not browser.evaluate("document.getElementById('camera').hidden")
    browser.choose_file("#file", odd_photos[0])
    browser.wait_for("document.getElementById('time').textContent.includes(' ms ')")
    shown = browser.evaluate("[...document.querySelectorAll('#top .label')].map((it) => it.textContent)")
    assert sorted(shown) == sorted(student.classes)
    assert shown[0] == student.predict(odd_photos[0])[0].label
    assert browser.evaluate("document.getElementById('answer').textContent").endswith(shown[0])


def test_picture_can_be_dropped(browser, page, student, odd_photos):
    browser.open(f"{page.as_uri()}/index.html")
    browser.wait_for("!document.getElementById('file').disabled")
    content = base64.b64encode(odd_photos[1].read_bytes()).decode()
    browser.evaluate(
        "const dropped = new DataTransfer();"
        f"const bytes = Uint8Array.from(atob('{content}'), (character) => character.charCodeAt(0));"
        "dropped.items.add(new File([bytes], 'dropped.jpg'));"
        "document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true }));"
    )
    browser.wait_for("document.getElementById('status').textContent.includes('Answer for dropped.jpg')")
    (expected,) = student.predict(odd_photos[1])
    answer = browser.evaluate("document.getElementById('answer').textContent")
    assert answer == f"Most likely: {expected.label}"


def test_camera_gives_a_picture(browser, address):
    browser.open(f"{address}index.html")
    browser.wait_for("!document.getElementById('camera').disabled")
    browser.evaluate("document.getElementById('camera').click()")
    browser.wait_for("document.getElementById('video').readyState >= 2")
    browser.evaluate("document.getElementById('shoot').click()")
    browser.wait_for("!document.getElementById('result').hidden")
    assert browser.evaluate("document.getElementById('viewfinder').hidden")


def test_problems_are_said_in_a_sentence(browser, page, tmp_path):
    status = "document.getElementById('status').textContent"
    browser.open(f"{page.as_uri()}/index.html")
    browser.wait_for("!document.getElementById('file').disabled")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8" + random.Random(0).randbytes(100))
    browser.choose_file("#file", broken)
    browser.wait_for(f"{status}.includes('cannot read it as a picture')")
    for name in FILES - {"onnxruntime.js"}:
        (tmp_path / name).write_bytes((page / name).read_bytes())
    browser.open((tmp_path / "index.html").as_uri())
    browser.wait_for(f"{status}.includes('onnxruntime.js is missing')")


def test_page_says_where_it_is_and_how_to_open_it(page, student, runtime, capsys, monkeypatch):
    monkeypatch.setenv("MINNOW_CACHE", str(student.path.parent / "cache"))
    monkeypatch.setattr(student_page, "web_runtime", lambda: runtime)
    (page / "mine.txt").write_text("kept")
    before = {name: (page / name).read_bytes() for name in FILES}
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", str(student.path), "--target", "web"])
    assert not ended.value.code
    said = capsys.readouterr()
    assert said.out == ""
    size = sum(map(len, before.values())) / 1e6
    assert f"{page} ({size:.1f} MB): double click index.html" in said.err
    assert {name: (page / name).read_bytes() for name in FILES} == before
    assert {path.name for path in page.iterdir()} == FILES | {"mine.txt"}
    text = before["model.js"].decode("ascii")
    content = json.loads(text.removeprefix("window.minnowModel = ").removesuffix(";\n"))
    assert content["inference"]["labels"] == list(student.classes)


def test_nothing_is_written_without_the_runtime_or_for_another_model(
    student, runtime, tmp_path, monkeypatch
):
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="npm is not installed"):
        student.write_page(tmp_path / "page")
    monkeypatch.setattr(student_page, "web_runtime", lambda: runtime)
    other = build(student.bundle.architecture, len(student.classes)).eval()
    real = student_page.convert
    monkeypatch.setattr(
        student_page, "convert", lambda target, model, *rest, **more: real(target, other, *rest, **more)
    )
    with pytest.raises(ModelError, match=r"^web: its labels are PyTorch's for .* nothing was written"):
        student.write_page(tmp_path / "page")
    assert not (tmp_path / "page").exists()
