"use strict";
// Starts ONNX Runtime and the model, both unpacked from the scripts beside the page.
//
// A page opened as a file may neither fetch other files nor import modules by their address. So runtime
// and model are compressed text in plain scripts, and the runtime's module is imported from memory.

/** Return the bytes behind compressed text. */
async function unpacked(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A model that runs on this device. */
class Network {
  #ort;
  #session;
  #last = Promise.resolve();

  /** Start the runtime and load the model.
   *
   * @param {{module: string, wasm: string}} runtime compressed.
   * @param {{onnx: string, inference: object}} model `onnx` is compressed.
   */
  static async load(runtime, model) {
    const network = new Network();
    const address = URL.createObjectURL(
      new Blob([await unpacked(runtime.module)], { type: "text/javascript" }),
    );
    const ort = await import(address);
    URL.revokeObjectURL(address);
    ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
    ort.env.wasm.wasmBinary = await unpacked(runtime.wasm);
    network.#ort = ort;
    network.#session = await ort.InferenceSession.create(await unpacked(model.onnx), {
      executionProviders: ["wasm"],
    });
    network.input = model.inference.input;
    network.output = model.inference.output;
    network.side = network.input.side;
    return network;
  }

  /** Return the input for RGB bytes: three planes of numbers from 0 to 1. */
  tensor(rgb) {
    const pixels = this.side * this.side;
    const planes = new Float32Array(3 * pixels);
    for (let i = 0; i < pixels; i++) {
      for (let channel = 0; channel < 3; channel++) {
        planes[channel * pixels + i] = rgb[3 * i + channel] / 255;
      }
    }
    return new this.#ort.Tensor("float32", planes, [1, 3, this.side, this.side]);
  }

  /** Return the logits of one input; a call waits for the one before. */
  logits(tensor) {
    const run = () => this.#session.run({ [this.input.name]: tensor });
    this.#last = this.#last.then(run, run);
    return this.#last.then((results) => [...results[this.output.name].data]);
  }

  /** Return the median of 10 timed runs, in milliseconds, after a warm-up of one second.
   *
   * Browsers compile WebAssembly anew, for speed, once it has run for a while. They also round their
   * clocks, to 1 ms or so: a run of a fast network repeats it for 5 ms or longer.
   */
  async medianMilliseconds(tensor) {
    const timed = async (repeats) => {
      const start = performance.now();
      for (let i = 0; i < repeats; i++) await this.logits(tensor);
      return (performance.now() - start) / repeats;
    };
    const warm = performance.now() + 1000;
    let once;
    do once = await timed(3);
    while (performance.now() < warm);
    const repeats = Math.ceil(5 / Math.max(0.1, once));
    const times = [];
    for (let i = 0; i < 10; i++) times.push(await timed(repeats));
    times.sort((a, b) => a - b);
    return (times[4] + times[5]) / 2;
  }
}

/** Return probabilities that sum to 1. */
function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
