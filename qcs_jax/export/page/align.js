/**
 * Sets the face of a photograph straight, as in the training images.
 *
 * @typedef {import("./pillow.js").Pixels} Pixels
 * @typedef {import("./detector.js").Detection} Detection
 */

import { overlap } from "./detector.js";
import { clip, resize, rint, transform } from "./pillow.js";

// Crops of data sets are squares of 48 to 112 pixels, or of what their networks take.
const CROP = 128;
const FITS = 0.4; // overlap (IoU) of most of them with what would be cut out of them

/**
 * Whether an image is cut out around its face already, as data sets have it.
 *
 * A photograph that was cropped by hand has another shape, or more pixels. A small square
 * without a face is a crop whose face the detector does not know.
 *
 * @param {Pixels} image
 * @param {Detection[]} faces All that were found in it.
 * @param {number[][]} template `[4, 2]`, where landmarks go, as parts of the side.
 * @param {number} side Of what the network takes, in pixels.
 * @returns {boolean}
 */
export function isCrop({ width, height }, faces, template, side) {
  if (width !== height || width > Math.max(CROP, side) || faces.length > 1) return false;
  return !faces.length || fits(width, faces[0], template);
}

/** Whether a square image is nearly what would be cut out of it. */
function fits(width, face, template) {
  const [[a, b, c], [d, e, f]] = similarity(face.landmarks, template);
  const half = 0.5 / Math.hypot(a, d); // in pixels of the image
  const power = a * e - b * d;
  const x = (e * (0.5 - c) - b * (0.5 - f)) / power;
  const y = (a * (0.5 - f) - d * (0.5 - c)) / power;
  const would = [x - half, y - half, x + half, y + half];
  return overlap(would, [0, 0, width, width]) >= FITS;
}

/**
 * Cuts out one face, turned, scaled and moved so that its landmarks meet a template.
 *
 * @param {Pixels} image
 * @param {Detection} face
 * @param {number[][]} template `[4, 2]`, as parts of the side.
 * @param {number} side Of the result, in pixels.
 * @returns {Pixels} A square; the photograph's edge goes on where it ends.
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
 * Applies a similarity transform; the edge goes on where the image ends.
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
  // Pillow's transform does not average: shrink before.
  const scale = Math.min(1, Math.hypot(a, d));
  return transform(...part(image, back, scale, side), side);
}

/** The part of the image that is seen, scaled, and how the result maps to it. */
function part(image, back, scale, side) {
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
