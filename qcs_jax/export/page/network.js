/**
 * The two networks, run by ONNX Runtime Web in one thread of WebAssembly.
 *
 * @typedef {object} Model What `model.json` says of the classifier.
 * @property {string} name
 * @property {string[]} class_names k names.
 * @property {number} resize Side of the crops that it is given, in pixels.
 * @property {number} image_size Side of their middle, which is all that it sees.
 * @property {number[][]} landmarks `[4, 2]`, where landmarks lie, as parts of the side.
 * @property {boolean} drawn Whether it was trained on drawings, not on photographs.
 * @property {string} about One sentence.
 *
 * @typedef {object} Answer For one crop.
 * @property {number[]} logits `[k]`.
 * @property {number[]} probabilities `[k]`.
 */

const HERE = new URL("./", import.meta.url);
const DETECTOR_SIDE = 192;

/** The detector and the classifier; calls wait for each other. */
export class Networks {
  #ort;
  #detector;
  #classifier;
  #last = Promise.resolve();

  /**
   * Loads them, from the folder of this file.
   *
   * @returns {Promise<Networks>}
   */
  static async load() {
    const networks = new Networks();
    const ort = await import("./runtime/ort.wasm.min.mjs");
    ort.env.wasm.numThreads = 1; // more need headers that a static host does not send
    ort.env.wasm.wasmPaths = new URL("runtime/", HERE).href;
    ort.env.logLevel = "error";
    /** @type {Model} */
    networks.model = await (await fetched("model.json")).json();
    networks.#ort = ort;
    networks.#detector = await session(ort, "face_detector.onnx");
    networks.#classifier = await session(ort, "model.onnx");
    return networks;
  }

  /**
   * Looks for faces; see `detector.js`.
   *
   * @param {Float32Array} levels `[192, 192, 3]`, -1 to 1.
   * @returns {Promise<{scores: Float32Array, boxes: Float32Array}>} `[2304]`,
   *   `[2304, 16]`.
   */
  async detect(levels) {
    const shape = [1, DETECTOR_SIDE, DETECTOR_SIDE, 3];
    const input = new this.#ort.Tensor("float32", levels, shape);
    const answer = await this.#inTurn(() => this.#detector.run({ input }));
    return {
      scores: answer.reshaped_classifier_face_4.data,
      boxes: answer.reshaped_regressor_face_4.data,
    };
  }

  /**
   * Classifies crops, in one pass.
   *
   * @param {import("./pillow.js").Pixels[]} crops Squares of side `model.resize`.
   * @returns {Promise<Answer[]>}
   */
  async classify(crops) {
    const { resize: side, class_names: names } = this.model;
    const levels = new Uint8Array(crops.length * side * side * 3);
    let to = 0;
    for (const { data } of crops) {
      for (let from = 0; from < data.length; from += 4) {
        levels[to++] = data[from];
        levels[to++] = data[from + 1];
        levels[to++] = data[from + 2];
      }
    }
    const images = new this.#ort.Tensor("uint8", levels, [crops.length, side, side, 3]);
    const answer = await this.#inTurn(() => this.#classifier.run({ images }));
    const row = (name, i) =>
      Array.from(answer[name].data.subarray(i * names.length, (i + 1) * names.length));
    return crops.map((_, i) => ({
      logits: row("logits", i),
      probabilities: row("probabilities", i),
    }));
  }

  /** Sessions are not to be entered twice, and work that was stopped may not be over. */
  #inTurn(run) {
    const result = this.#last.then(run);
    this.#last = result.catch(() => {});
    return result;
  }
}

async function session(ort, name) {
  const bytes = new Uint8Array(await (await fetched(name)).arrayBuffer());
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
}

async function fetched(name) {
  const response = await fetch(new URL(name, HERE));
  if (!response.ok) throw new Error(`${name} is missing (${response.status})`);
  return response;
}
