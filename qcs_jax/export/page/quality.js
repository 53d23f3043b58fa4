/**
 * Whether an image shows enough of a face to say what it shows.
 *
 * @typedef {import("./pillow.js").Pixels} Pixels
 */

const WIDTH = 24;
const VISIBLE = 0.5;
const LUMINANCE = 8;
const LUMA = [299, 587, 114]; // of RGB, in thousandths

/**
 * What an image lacks to be sure of a face.
 *
 * A face is small if its box is less than 24 pixels wide, cut off if half of the box or more
 * is outside of the image, and dark if the mean luminance of what the network is given is
 * below 8 of 255.
 *
 * @param {number[]} box Left, top, right and bottom, in pixels of the image.
 * @param {{width: number, height: number}} image
 * @param {Pixels} crop What is cut out for the network.
 * @returns {string[]} Of "small", "cut off" and "dark".
 */
export function lacks([left, top, right, bottom], { width, height }, crop) {
  const across = Math.max(0, Math.min(right, width) - Math.max(left, 0));
  const down = Math.max(0, Math.min(bottom, height) - Math.max(top, 0));
  const found = {
    small: right - left < WIDTH,
    "cut off": across * down <= VISIBLE * (right - left) * (bottom - top),
    dark: luminance(crop) < LUMINANCE,
  };
  return Object.keys(found).filter((name) => found[name]);
}

/**
 * What follows a label: "" or " (small, dark)".
 *
 * @param {string[]} quality
 * @returns {string}
 */
export function noted(quality) {
  return quality.length ? ` (${quality.join(", ")})` : "";
}

/** Mean over all pixels. */
function luminance({ width, height, data }) {
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) {
    for (let channel = 0; channel < 3; channel++) sum += LUMA[channel] * data[i + channel];
  }
  return sum / (1000 * width * height);
}
