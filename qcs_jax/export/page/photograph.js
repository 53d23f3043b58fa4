/**
 * Every face of a photograph, and what it shows.
 *
 * @typedef {import("./pillow.js").Pixels} Pixels
 *
 * @typedef {object} FaceFound
 * @property {number[]} box Left, top, right and bottom, in pixels of the photograph.
 * @property {number[][] | null} landmarks `[4, 2]`, or null if the detector did not see
 *   them.
 * @property {number | null} score How sure the detector is that it is a face.
 * @property {string[]} quality What the image lacks to be sure of it, of "small", "cut off"
 *   and "dark"; empty where all is well.
 * @property {string} label Name of the most probable class.
 * @property {number} confidence Its probability.
 * @property {number[]} probabilities In the order of the classes.
 * @property {Pixels} crop What the classifier was given.
 *
 * @typedef {object} Photograph
 * @property {number} width In pixels.
 * @property {number} height In pixels.
 * @property {boolean} whole Whether the image is a face already, cut out as the training
 *   images are, and was given to the network whole.
 * @property {FaceFound[]} faces The largest first.
 */

import { cut, isCrop } from "./align.js";
import { detect, LANDMARKS } from "./detector.js";
import { breathe } from "./pause.js";
import { resize, rint } from "./pillow.js";
import { lacks } from "./quality.js";

/**
 * Finds the faces of a photograph and classifies them.
 *
 * An image that is a face already is taken whole; see `isCrop`.
 *
 * @param {Pixels} image Upright.
 * @param {import("./network.js").Networks} networks
 * @param {object} [options]
 * @param {AbortSignal} [options.signal] Stops the work.
 * @param {(part: number) => void} [options.progress] Told how much of the photograph is
 *   searched, 0 to 1.
 * @returns {Promise<Photograph>}
 */
export async function examine(image, networks, { signal, progress } = {}) {
  const { resize: side, landmarks: template, class_names: names } = networks.model;
  const { width, height } = image;
  let found = await detect(image, (levels) => networks.detect(levels), {
    signal,
    progress,
  });
  const whole = isCrop(image, found, template, side);
  if (whole && !found.length) {
    found = [{ box: [0, 0, width, height], landmarks: null, score: null }];
  }
  const faces = [];
  for (const face of found) {
    const crop = whole ? resize(image, side, side) : cut(image, face, template, side);
    await breathe(signal);
    const [{ probabilities }] = await networks.classify([crop]);
    const confidence = Math.max(...probabilities);
    const label = names[probabilities.indexOf(confidence)];
    const quality = lacks(face.box, image, crop);
    faces.push({ ...face, quality, label, confidence, probabilities, crop });
  }
  return { width, height, whole, faces };
}

/**
 * What Python's `Photograph.to_dict()` gives; places to a tenth of a pixel.
 *
 * @param {Photograph} photograph
 * @param {string[]} names Of the classes.
 * @param {string | null} file Its name, if it was a file.
 * @returns {object}
 */
export function toDict({ width, height, whole, faces }, names, file) {
  return {
    file,
    width,
    height,
    whole,
    faces: faces.map((face) => ({
      box: face.box.map(tenth),
      landmarks: face.landmarks && named(LANDMARKS, face.landmarks.map((p) => p.map(tenth))),
      score: face.score === null ? null : Number(face.score.toFixed(4)),
      quality: face.quality,
      label: face.label,
      probabilities: named(names, face.probabilities),
    })),
  };
}

function tenth(x) {
  return rint(x * 10) / 10;
}

function named(names, values) {
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}
