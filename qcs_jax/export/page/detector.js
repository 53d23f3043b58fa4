/**
 * Finds the faces of a photograph, with BlazeFace (Bazarevsky et al., 2019).
 *
 * Its full-range network sees 192 x 192 pixels and finds faces that are 6 to 60 % as wide
 * as what it sees. Larger and smaller ones are found by looking again, at the photograph
 * with a margin, and at parts of it. Faces have to stand upright, to about 40 degrees.
 *
 * @typedef {import("./pillow.js").Pixels} Pixels
 * @typedef {number[]} Square Left, top and side, in pixels of the photograph.
 *
 * @typedef {object} Detection One face.
 * @property {number[]} box Left, top, right and bottom in pixels; may reach beyond the
 *   photograph.
 * @property {number[][]} landmarks `[4, 2]`, x and y in pixels of `LANDMARKS`, left and
 *   right as seen.
 * @property {number} score Confidence, 0.6 to 1.
 *
 * @callback Network
 * @param {Float32Array} levels `[192, 192, 3]`, -1 to 1.
 * @returns {Promise<{scores: Float32Array, boxes: Float32Array}>} `[2304]` before the
 *   sigmoid, and `[2304, 16]`.
 */

import { breathe } from "./pause.js";
import { black, resize, rint } from "./pillow.js";

export const LANDMARKS = [
  "left eye",
  "right eye",
  "tip of the nose",
  "centre of the mouth",
];

const SIDE = 192; // of what the network sees, in pixels
const CELLS = 48; // it answers for each cell of a grid of so many rows
const ROW = 16; // numbers that it gives for a cell

const CONFIDENCE = 0.6;
const SAME = 0.3; // boxes that overlap by so much (IoU) are of one face
const LEAST = 2 * SIDE; // parts smaller than this show nothing that the whole does not
const CLOSE = [2.0, 2.5, 3.0]; // sides of its box is what a face is looked at again in
const STEPS = 64; // of a landmark in a pixel: no two runtimes share its last digits
const MARGIN = 0.5; // of a photograph, on each side, for the faces that fill it

const LEVELS = Float32Array.from({ length: 256 }, (_, i) => Math.fround(i / 127.5) - 1);

/**
 * Finds all faces that stand upright; the largest comes first.
 *
 * @param {Pixels} image Upright, of any size.
 * @param {Network} network
 * @param {object} [options]
 * @param {AbortSignal} [options.signal] Stops the search.
 * @param {(part: number) => void} [options.progress] Told how much is done, 0 to 1.
 * @returns {Promise<Detection[]>}
 */
export async function detect(image, network, { signal, progress } = {}) {
  const found = [];
  const all = [...parts(image.width, image.height)];
  for (const [i, [part, cut]] of all.entries()) {
    progress?.(i / all.length);
    await breathe(signal);
    for (const face of await look(image, part, network)) {
      // The part beside it shows the whole of a face that this one cuts.
      if (!(cut && touches(face, part, image))) found.push(face);
    }
  }
  const closer = [];
  for (const face of distinct(found)) {
    await breathe(signal);
    closer.push(await lookCloser(image, face, network));
  }
  return closer.sort((a, b) => area(b.box) - area(a.box));
}

/**
 * Intersection over union of two boxes, 0 to 1.
 *
 * @param {number[]} box Left, top, right and bottom.
 * @param {number[]} other
 * @returns {number}
 */
export function overlap(box, other) {
  const width = Math.min(box[2], other[2]) - Math.max(box[0], other[0]);
  const height = Math.min(box[3], other[3]) - Math.max(box[1], other[1]);
  const both = Math.max(width, 0) * Math.max(height, 0);
  return both ? both / (area(box) + area(other) - both) : 0;
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}

/** The same face, found once more where it is large: the mean of all looks. */
async function lookCloser(image, face, network) {
  const [left, top, right, bottom] = face.box;
  const looks = [];
  for (const sides of CLOSE) {
    const side = sides * Math.max(right - left, bottom - top);
    const corner = [(left + right) / 2 - side / 2, (top + bottom) / 2 - side / 2];
    const square = [...corner, side].map(rint); // as in Python: whole pixels
    const again = await look(image, square, network);
    const same = again.filter(({ box }) => overlap(box, face.box) > SAME);
    looks.push(...same.sort((a, b) => b.score - a.score).slice(0, 1));
  }
  if (!looks.length) return face;
  const box = face.box.map((_, i) => mean(looks, (one) => one.box[i]));
  const landmarks = face.landmarks.map((point, i) =>
    point.map((_, axis) => rint(STEPS * mean(looks, (one) => one.landmarks[i][axis])) / STEPS),
  );
  return { box, landmarks, score: face.score };
}

function mean(items, of) {
  return items.reduce((sum, item) => sum + of(item), 0) / items.length;
}

/** Finds the faces of a square. */
async function look(image, part, network) {
  const [left, top, side] = part;
  const scale = side / SIDE;
  const { data } = cutOut(image, part);
  const levels = new Float32Array(3 * SIDE * SIDE);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    for (let channel = 0; channel < 3; channel++) levels[to++] = LEVELS[data[from + channel]];
  }
  const { scores, boxes } = await network(levels);
  const faces = [];
  scores.forEach((value, cell) => {
    const score = Math.fround(1 / (1 + Math.exp(-value)));
    if (score < CONFIDENCE) return;
    // Centre, size, and six points, relative to the centre of the cell but for the size:
    // eyes, nose, mouth, ears.
    const row = boxes.subarray(cell * ROW, (cell + 1) * ROW);
    const x = ((cell % CELLS) + 0.5) * (SIDE / CELLS);
    const y = (Math.floor(cell / CELLS) + 0.5) * (SIDE / CELLS);
    const point = (i) => [(row[2 * i] + x) * scale + left, (row[2 * i + 1] + y) * scale + top];
    const [centerX, centerY] = point(0);
    const [halfWidth, halfHeight] = [(row[2] * scale) / 2, (row[3] * scale) / 2];
    faces.push({
      box: [
        centerX - halfWidth,
        centerY - halfHeight,
        centerX + halfWidth,
        centerY + halfHeight,
      ],
      landmarks: LANDMARKS.map((_, i) => point(2 + i)),
      score,
    });
  });
  return faces;
}

/**
 * Squares to look at, and whether they cut the photograph.
 *
 * The whole of it with and without a margin, then halves, quarters, ... of its longer
 * side, each overlapping its neighbours by half.
 */
function* parts(width, height) {
  let side = Math.max(width, height);
  for (const factor of [1, 1 + 2 * MARGIN]) {
    const all = side * factor;
    yield [[width / 2 - all / 2, height / 2 - all / 2, all], false];
  }
  for (side /= 2; side >= LEAST; side /= 2) {
    for (const top of starts(height, side)) {
      for (const left of starts(width, side)) yield [[left, top, side], true];
    }
  }
}

/** Where squares begin that cover a length, overlapping by half or more. */
function starts(length, side) {
  if (length <= side) return [(length - side) / 2];
  const last = Math.ceil((2 * length) / side) - 2;
  const step = (length - side) / last;
  return Array.from({ length: last + 1 }, (_, i) => (i < last ? i * step : length - side));
}

/** A square of a photograph in the network's size; black where there is none. */
function cutOut(image, [left, top, side]) {
  const corner = [left, top, left, top];
  const limits = [image.width, image.height, image.width, image.height];
  const inside = [left, top, left + side, top + side].map((x, i) =>
    Math.min(Math.max(x, 0), limits[i]),
  );
  const place = inside.map((x, i) => rint((x - corner[i]) * (SIDE / side)));
  const width = Math.max(place[2] - place[0], 1);
  const height = Math.max(place[3] - place[1], 1);
  const part = resize(image, width, height, inside);
  if (width === SIDE && height === SIDE) return part;
  const canvas = black(SIDE, SIDE);
  const visible = Math.min(width, SIDE - place[0]);
  for (let y = 0; y < Math.min(height, SIDE - place[1]); y++) {
    const row = part.data.subarray(4 * y * width, 4 * (y * width + visible));
    canvas.data.set(row, 4 * ((place[1] + y) * SIDE + place[0]));
  }
  return canvas;
}

/** Whether a face reaches a border of a part that the photograph goes on behind. */
function touches({ box }, [left, top, side], { width, height }) {
  return (
    (left > 0.5 && box[0] <= left) ||
    (top > 0.5 && box[1] <= top) ||
    (left + side < width - 0.5 && box[2] >= left + side) ||
    (top + side < height - 0.5 && box[3] >= top + side)
  );
}

/** The most certain of all that overlap, and so on. */
function distinct(found) {
  const kept = [];
  for (const face of found.sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(face.box, other.box) < SAME)) kept.push(face);
  }
  return kept;
}
