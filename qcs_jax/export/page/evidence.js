/**
 * Where in a face the evidence for its label is: how much less probable the label becomes
 * when a part of the face is hidden (Zeiler and Fergus, 2014).
 *
 * @typedef {object} Evidence
 * @property {number} side Of the map, in pixels of the crop: its middle, which the network
 *   sees.
 * @property {Float32Array} drops `[side, side]`, by how much the logarithm of the
 *   probability of the label falls where a pixel is hidden: the mean over the squares that
 *   hide it, those whose centre is nearer weighing more.
 * @property {number} before Probability of the label when nothing is hidden.
 * @property {number} least The smallest that hiding a part leaves.
 */

import { breathe } from "./pause.js";
import { rint } from "./pillow.js";

const BUDGET = 3000; // milliseconds for a map
const BATCH = 60; // milliseconds that the page cannot answer, if one face takes less
const FEWEST = 4; // positions of the square along a side
const MOST = 13;
const SQUARE = 0.26; // of the side that the network sees, if positions are many

/**
 * Hides one part after another.
 *
 * @param {import("./network.js").Networks} networks
 * @param {import("./pillow.js").Pixels} crop Side `model.resize`.
 * @param {number} label Index of the class.
 * @param {AbortSignal} [signal] Stops the work.
 * @returns {Promise<Evidence>}
 */
export async function evidence(networks, crop, label, signal) {
  const side = networks.model.image_size;
  const edge = rint((crop.width - side) / 2); // as the centre crop of the network
  const start = performance.now();
  const [whole] = await networks.classify([crop]);
  const each = Math.max(performance.now() - start, 1); // milliseconds
  const before = logProbability(whole.logits, label);

  const squares = squaresOf(side, each);
  const grey = meanColour(crop, edge, side);
  const drops = new Float32Array(side * side);
  const weights = new Float32Array(side * side);
  const batch = Math.min(Math.max(1, Math.floor(BATCH / each)), 16);
  let least = Infinity;
  for (let i = 0; i < squares.length; i += batch) {
    await breathe(signal);
    const some = squares.slice(i, i + batch);
    const answers = await networks.classify(some.map((s) => hide(crop, edge, s, grey)));
    answers.forEach(({ logits, probabilities }, j) => {
      least = Math.min(least, probabilities[label]);
      const drop = before - logProbability(logits, label);
      for (const [at, weight] of weighed(some[j], side)) {
        drops[at] += drop * weight;
        weights[at] += weight;
      }
    });
  }
  drops.forEach((sum, at) => (drops[at] = sum / weights[at]));
  return { side, drops, before: whole.probabilities[label], least };
}

/** Left, top and side of the squares, as many as there is time for. */
function squaresOf(side, each) {
  const n = Math.min(Math.max(Math.floor(Math.sqrt(BUDGET / each)), FEWEST), MOST);
  // Few squares have to be larger, or they would leave gaps.
  const size = Math.ceil(side * Math.max(SQUARE, 1.4 / n));
  const starts = Array.from({ length: n }, (_, i) =>
    Math.round((i * (side - size)) / (n - 1)),
  );
  return starts.flatMap((top) => starts.map((left) => [left, top, size]));
}

function* pixelsOf([left, top, size], width) {
  for (let y = top; y < top + size; y++) {
    for (let x = left; x < left + size; x++) yield y * width + x;
  }
}

/** The pixels of a square, weights falling from its centre: edges would show as a grid. */
function* weighed([left, top, size], width) {
  const tent = (i) => 1 - Math.abs((2 * i + 1) / size - 1) * (1 - 1 / size);
  for (const at of pixelsOf([left, top, size], width)) {
    yield [at, tent((at % width) - left) * tent(Math.floor(at / width) - top)];
  }
}

function meanColour(crop, edge, side) {
  const sums = [0, 0, 0];
  for (const at of pixelsOf([edge, edge, side], crop.width)) {
    for (let channel = 0; channel < 3; channel++) sums[channel] += crop.data[4 * at + channel];
  }
  return sums.map((sum) => Math.round(sum / (side * side)));
}

function hide(crop, edge, [left, top, size], colour) {
  const data = crop.data.slice();
  for (const at of pixelsOf([edge + left, edge + top, size], crop.width)) {
    data.set(colour, 4 * at);
  }
  return { width: crop.width, height: crop.height, data };
}

/** From the logits, because probabilities near 1 have too few digits. */
function logProbability(logits, label) {
  const highest = Math.max(...logits);
  const sum = logits.reduce((total, x) => total + Math.exp(x - highest), 0);
  return logits[label] - highest - Math.log(sum);
}
