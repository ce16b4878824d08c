"use strict";
// The page itself: takes pictures, shows answers. Scripts and tests may call `minnow.classify(blob)`.

const SHOWN = 6; // labels that are shown at once; more are behind a button
const byId = (id) => document.getElementById(id);

/** Show one sentence below the buttons. */
function say(text, isProblem = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("problem", isProblem);
}

/** Load the network, and say so where that fails. */
async function start() {
  const { minnowRuntime: runtime, minnowModel: model } = window;
  if (!runtime || !model) {
    throw new Error(`${runtime ? "model.js" : "onnxruntime.js"} is missing beside this page`);
  }
  document.title = `${model.name} – Minnow image classifier`;
  byId("name").textContent = model.name;
  byId("labels").textContent = nameSome(model.inference.labels);
  byId("runtime").textContent = `ONNX Runtime Web ${runtime.version}`;
  return Network.load(runtime, model);
}

function nameSome(labels) {
  const named = labels.slice(0, 10).join(", ");
  return labels.length > 10 ? `${labels.length}, among them ${named}` : named;
}

const ready = start();
ready.then(
  () => {
    byId("file").disabled = byId("camera").disabled = false;
    say("Ready: choose a picture.");
  },
  (error) => say(`The network could not be started in this browser: ${error.message}.`, true),
);

/** Return the probability of each label for a picture, and the pixels that the network saw.
 *
 * @param {Blob} blob an image file, or a picture of the camera as `ImageBitmap`.
 */
async function classify(blob) {
  const network = await ready;
  const { inference } = window.minnowModel;
  const isFile = blob instanceof Blob;
  const picture = isFile ? await decoded(blob) : blob;
  const pixels = networkPixels(picture, isFile && (await isJpeg(blob)), inference.resize, network.side);
  picture.close();
  const tensor = network.tensor(pixels);
  const probabilities = softmax(await network.logits(tensor));
  return { labels: inference.labels, probabilities, pixels, tensor };
}

/** Return the picture in a file, upright; like training, ignore its colour profile. */
async function decoded(blob) {
  try {
    return await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("this browser cannot read it as a picture; try a JPEG or PNG file");
  }
}

async function isJpeg(blob) {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  return first === 0xff && second === 0xd8;
}

/** Classify a picture and show the answer. */
async function answer(picture, name) {
  say("Looking at the picture …");
  let result;
  try {
    result = await classify(picture);
  } catch (error) {
    say(`${name}: ${error.message}.`, true);
    return;
  }
  show(result);
  say(`Answer for ${name}:`);
  await showTime(result.tensor);
}

function show({ labels, probabilities, pixels }) {
  const rows = labels.map((label, i) => ({ label, probability: probabilities[i] }));
  rows.sort((a, b) => b.probability - a.probability);
  byId("answer").textContent = `Most likely: ${rows[0].label}`;
  byId("top").replaceChildren(...rows.slice(0, SHOWN).map(listItem));
  byId("rest").replaceChildren(...rows.slice(SHOWN).map(listItem));
  byId("more").hidden = rows.length <= SHOWN;
  byId("more").firstElementChild.textContent = `Show the other ${rows.length - SHOWN} labels`;
  drawSeen(pixels);
  byId("result").hidden = false;
}

function listItem({ label, probability }) {
  const percent = `${(100 * probability).toFixed(1)} %`;
  const item = document.createElement("li");
  item.append(element("span", "label", label), element("span", "percent", percent));
  const bar = element("div", "bar", "");
  bar.setAttribute("aria-hidden", "true");
  bar.append(element("span", "", ""));
  bar.firstElementChild.style.width = `${100 * probability}%`;
  item.append(bar);
  return item;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  made.dir = "auto";
  return made;
}

function drawSeen(pixels) {
  const side = Math.sqrt(pixels.length / 3);
  const image = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    image.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  const canvas = byId("seen");
  canvas.width = canvas.height = side;
  canvas.getContext("2d").putImageData(image, 0, 0);
  byId("seen-text").textContent = `What the network sees (${side} × ${side})`;
}

/** Measure once: the time of a network depends little on the picture. */
async function showTime(tensor) {
  const place = byId("time");
  if (place.dataset.measured) return;
  place.dataset.measured = "yes";
  place.textContent = "measuring …";
  await new Promise((resume) => setTimeout(resume, 50)); // lets the browser draw the answer first
  const milliseconds = await (await ready).medianMilliseconds(tensor);
  const digits = milliseconds < 10 ? milliseconds.toPrecision(2) : milliseconds.toFixed(0);
  place.textContent = `${digits} ms (median of 10 runs of the network, one thread)`;
}

byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) answer(file, file.name);
  target.value = ""; // so that the same file can be chosen again
});

for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would open the file in place of this page
    document.body.classList.toggle("dragging", kind === "dragenter" || kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file) answer(file, file.name);
  });
}

const video = byId("video");
byId("camera").hidden = !navigator.mediaDevices?.getUserMedia;

byId("camera").addEventListener("click", async () => {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    byId("viewfinder").hidden = false;
    await video.play();
  } catch (error) {
    closeCamera();
    say(`The camera cannot be used: ${error.message}.`, true);
  }
});

byId("shoot").addEventListener("click", async () => {
  const picture = await createImageBitmap(video);
  closeCamera();
  await answer(picture, "your picture");
});

byId("close").addEventListener("click", closeCamera);

function closeCamera() {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  byId("viewfinder").hidden = true;
}

window.minnow = { ready, classify };
