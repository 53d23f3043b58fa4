/**
 * Sets the face of a photograph straight, as in the training images.
 *
 * @typedef {import("./pillow.js").Pixels} Pixels
 * @typedef {import("./detector.js").Detection} Detection
 */

import { overlap } from "./detector.js";
import { resize, rint, transform } from "./pillow.js";

// Overlap (IoU) of a crop with what would be cut out of it, in most crops of data sets.
const CROPPED = 0.5;

/**
 * Whether an image is cut out around its face already, as it would be cut.
 *
 * @param {Pixels} image
 * @param {Detection} face
 * @param {number[][]} template `[4, 2]`, where landmarks go, as parts of the side.
 * @returns {boolean}
 */
export function fits(image, face, template) {
  const [[a, b, c], [d, e, f]] = similarity(face.landmarks, template);
  const half = 0.5 / Math.hypot(a, d); // in pixels of the image
  const power = a * e - b * d;
  const x = (e * (0.5 - c) - b * (0.5 - f)) / power;
  const y = (a * (0.5 - f) - d * (0.5 - c)) / power;
  const would = [x - half, y - half, x + half, y + half];
  return overlap(would, [0, 0, image.width, image.height]) >= CROPPED;
}

/**
 * Cuts out one face, turned, scaled and moved so that its landmarks meet a template.
 *
 * @param {Pixels} image
 * @param {Detection} face
 * @param {number[][]} template `[4, 2]`, as parts of the side.
 * @param {number} side Of the result, in pixels.
 * @returns {Pixels} A square; black where the photograph ends.
 */
export function cut(image, face, template, side) {
  const targets = template.map((point) => point.map((x) => x * side));
  return warp(image, similarity(face.landmarks, targets), side);
}

/**
 * Rotation, scale and shift that bring points nearest to targets, in least squares; never
 * a reflection.
 *
 * @param {number[][]} points `[n, 2]`, not all the same.
 * @param {number[][]} targets `[n, 2]`.
 * @returns {number[][]} `[2, 3]`, from points to targets.
 */
export function similarity(points, targets) {
  const [px, py] = mean(points);
  const [qx, qy] = mean(targets);
  // In the plane of complex numbers it is targets ~ turn * points + shift.
  let [real, imag, power] = [0, 0, 0];
  points.forEach(([x, y], i) => {
    const [dx, dy] = [x - px, y - py];
    const [ex, ey] = [targets[i][0] - qx, targets[i][1] - qy];
    real += dx * ex + dy * ey;
    imag += dx * ey - dy * ex;
    power += dx * dx + dy * dy;
  });
  if (!(power > 0)) throw new Error("the landmarks of the face coincide");
  real /= power;
  imag /= power;
  return [
    [real, -imag, qx - (real * px - imag * py)],
    [imag, real, qy - (real * py + imag * px)],
  ];
}

function mean(points) {
  return [0, 1].map((i) => points.reduce((sum, p) => sum + p[i], 0) / points.length);
}

/**
 * Applies a similarity transform; black where there is no image.
 *
 * @param {Pixels} image
 * @param {number[][]} matrix `[2, 3]`, from pixels of `image` to pixels of the result.
 * @param {number} side Of the result, in pixels.
 * @returns {Pixels}
 */
export function warp(image, matrix, side) {
  const [[a, b, c], [d, e, f]] = matrix;
  const power = a * e - b * d;
  const turn = [
    [e / power, -b / power],
    [-d / power, a / power],
  ];
  const back = turn.map(([u, v]) => [u, v, -(u * c + v * f)]); // result -> image
  const scale = Math.hypot(a, d);
  // Pillow's transform does not average: shrink before.
  return scale < 1
    ? transform(...shrink(image, back, scale, side), side)
    : transform(image, back, side);
}

/** The part of the image that is seen, scaled, and how the result maps to it. */
function shrink(image, back, scale, side) {
  const limits = [image.width, image.height];
  const ranges = back.map(([u, v, shift], i) => {
    const seen = [0, u * side, v * side, (u + v) * side].map((x) => x + shift);
    const low = clip(Math.floor(Math.min(...seen)) - 1, 0, limits[i] - 1);
    const high = clip(Math.ceil(Math.max(...seen)) + 1, low + 1, limits[i]);
    return { low, high, size: Math.max(1, rint((high - low) * scale)) };
  });
  const [x, y] = ranges;
  const small = resize(image, x.size, y.size, [x.low, y.low, x.high, y.high]);
  const there = back.map(([u, v, shift], i) => {
    const factor = ranges[i].size / (ranges[i].high - ranges[i].low);
    return [u * factor, v * factor, (shift - ranges[i].low) * factor];
  });
  return [small, there];
}

function clip(x, low, high) {
  return Math.min(Math.max(x, low), high);
}
