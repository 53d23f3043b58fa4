/**
 * Draws what a network sees of a face, and where the evidence is.
 *
 * @typedef {import("./pillow.js").Pixels} Pixels
 * @typedef {import("./evidence.js").Evidence} Evidence
 */

import { rint } from "./pillow.js";

const SIDE = 320; // of a drawing, in pixels

// From nothing to most: dark blue, green, yellow. Lightness rises all the way, which is
// all that is needed to read it.
const COLOURS = [
  [13, 27, 76],
  [31, 95, 139],
  [42, 157, 122],
  [143, 208, 74],
  [253, 231, 37],
];
const OPACITY = 0.68; // of the colours over the face

// Where no part changes the logarithm of the probability by this much, a map of the
// differences would show noise.
const NOTHING = 0.05;

/** Whether hiding any one part makes a difference worth a map. */
export function decides({ drops }) {
  return Math.max(...drops) >= NOTHING;
}

/**
 * Draws the middle of a crop.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Pixels} crop
 * @param {number} side Of its middle, in pixels.
 */
export function drawFace(canvas, crop, side) {
  const edge = rint((crop.width - side) / 2);
  canvas.width = canvas.height = SIDE;
  paint(canvas, side, 1, (at) => {
    const from = 4 * ((Math.floor(at / side) + edge) * crop.width + (at % side) + edge);
    return [crop.data[from], crop.data[from + 1], crop.data[from + 2]];
  });
}

/**
 * Draws the evidence over the crop, whose own colours are taken away.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Pixels} crop
 * @param {Evidence} found
 */
export function drawEvidence(canvas, crop, { side, drops }) {
  drawFace(canvas, crop, side);
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#808080";
  context.fillRect(0, 0, SIDE, SIDE);
  context.globalCompositeOperation = "source-over";
  const most = Math.max(...drops, NOTHING);
  paint(canvas, side, OPACITY, (at) => colourOf(drops[at] / most));
}

/**
 * Draws the scale of colours, from nothing to most.
 *
 * @param {HTMLCanvasElement} canvas
 */
export function drawLegend(canvas) {
  canvas.width = 72;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = `rgb(${colourOf(x / (canvas.width - 1)).join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  }
}

/** Paints a small square of colours, `side` along, over the whole of a canvas. */
function paint(canvas, side, opacity, colour) {
  const small = new OffscreenCanvas(side, side);
  const image = new ImageData(side, side);
  for (let at = 0; at < side * side; at++) image.data.set([...colour(at), 255], 4 * at);
  small.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.globalAlpha = opacity;
  context.drawImage(small, 0, 0, SIDE, SIDE);
  context.globalAlpha = 1;
}

function colourOf(value) {
  const place = Math.min(Math.max(value, 0), 1) * (COLOURS.length - 1);
  const below = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[below].map((x, i) => x + (COLOURS[below + 1][i] - x) * (place - below));
}
