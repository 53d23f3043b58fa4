/**
 * Pillow's own pixel operations, level for level.
 *
 * A browser's canvas resizes in its own way, and the network would be given other pixels
 * than in Python. These are ports of Pillow's `Resample.c` and `Geometry.c`, restricted to
 * the bilinear filter.
 *
 * @typedef {object} Pixels An image, as `ImageData` is one.
 * @property {number} width In pixels.
 * @property {number} height In pixels.
 * @property {Uint8ClampedArray} data RGBA levels `[height, width, 4]`; alpha is ignored.
 */

const PRECISION_BITS = 32 - 8 - 2; // of the fixed-point weights

/**
 * A black image.
 *
 * @param {number} width In pixels.
 * @param {number} height In pixels.
 * @returns {Pixels}
 */
export function black(width, height) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 3; i < data.length; i += 4) data[i] = 255;
  return { width, height, data };
}

/**
 * Rounds to the nearest integer, halves to the even one, as NumPy does.
 *
 * @param {number} x
 * @returns {number}
 */
export function rint(x) {
  const up = Math.round(x); // halves go up
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/**
 * `Image.resize(size, BILINEAR, box)`: a triangle filter as wide as what one pixel of the
 * result covers.
 *
 * @param {Pixels} image
 * @param {number} width Of the result, in pixels.
 * @param {number} height Of the result, in pixels.
 * @param {number[]} [box] Left, top, right and bottom of the part to resize, in pixels of
 *   the image, not necessarily whole ones; default: all of it.
 * @returns {Pixels} May be `image` itself, if there is nothing to do.
 */
export function resize(image, width, height, box = [0, 0, image.width, image.height]) {
  const [left, top, right, bottom] = box.map(Math.fround); // Pillow keeps it as floats
  const across = width !== image.width || left !== 0 || right !== width;
  const down = height !== image.height || top !== 0 || bottom !== height;
  const columns = weigh(image.width, left, right, width);
  const rows = weigh(image.height, top, bottom, height);
  // Levels are rounded between the passes, so their order, which is Pillow's since 13,
  // makes a difference.
  const less = image.height - height;
  if (less > 0 && less > 2 * (image.width - width)) {
    const range = across ? used(columns) : [0, image.width];
    const lower = down ? vertical(image, rows, range) : image;
    return across ? horizontal(lower, columns, [0, height], down ? range[0] : 0) : lower;
  }
  const range = down ? used(rows) : [0, image.height];
  const slimmer = across ? horizontal(image, columns, range) : image;
  const all = [0, slimmer.width];
  return down ? vertical(slimmer, rows, all, across ? range[0] : 0) : slimmer;
}

/** From where to where the input is read, so that one pass does no more than the next needs. */
function used({ starts, counts }) {
  const last = starts.length - 1;
  return [starts[0], starts[last] + counts[last]];
}

/**
 * Weights of the input for each pixel of the output, along one axis.
 *
 * @param {number} length Of the input.
 * @param {number} from Start of the part that is resized.
 * @param {number} to Its end.
 * @param {number} count Length of the output.
 */
function weigh(length, from, to, count) {
  const scale = Math.fround(to - from) / count;
  const support = Math.max(scale, 1);
  const most = 2 * Math.ceil(support) + 1;
  const starts = new Int32Array(count);
  const counts = new Int32Array(count);
  const weights = new Int32Array(count * most);
  const exact = new Float64Array(most);
  for (let i = 0; i < count; i++) {
    const center = from + (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const n = Math.min(length, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let j = 0; j < n; j++) {
      const distance = Math.abs((j + start - center + 0.5) * (1 / support));
      exact[j] = Math.max(0, 1 - distance);
      sum += exact[j];
    }
    for (let j = 0; j < n; j++) {
      const share = sum === 0 ? exact[j] : exact[j] / sum;
      weights[i * most + j] = Math.trunc(0.5 + share * (1 << PRECISION_BITS));
    }
    starts[i] = start;
    counts[i] = n;
  }
  return { starts, counts, weights, most };
}

/** Resizes rows `first` to `last`; column 0 of the image is column `shift` of the weights. */
function horizontal(image, { starts, counts, weights, most }, [first, last], shift = 0) {
  const result = black(starts.length, last - first);
  const from = image.data;
  const to = result.data;
  let out = 0;
  for (let y = first; y < last; y++) {
    const row = 4 * (y * image.width - shift);
    for (let x = 0; x < starts.length; x++, out += 4) {
      let r = 1 << (PRECISION_BITS - 1);
      let g = r;
      let b = r;
      let at = row + 4 * starts[x];
      const end = x * most + counts[x];
      for (let k = x * most; k < end; k++, at += 4) {
        const weight = weights[k];
        r += weight * from[at];
        g += weight * from[at + 1];
        b += weight * from[at + 2];
      }
      to[out] = r >> PRECISION_BITS; // a clamped array clips as Pillow does
      to[out + 1] = g >> PRECISION_BITS;
      to[out + 2] = b >> PRECISION_BITS;
    }
  }
  return result;
}

/** Resizes columns `first` to `last`; row 0 of the image is row `shift` of the weights. */
function vertical(image, { starts, counts, weights, most }, [first, last], shift = 0) {
  const result = black(last - first, starts.length);
  const from = image.data;
  const to = result.data;
  const stride = 4 * image.width;
  let out = 0;
  for (let y = 0; y < starts.length; y++) {
    const end = y * most + counts[y];
    for (let x = first; x < last; x++, out += 4) {
      let r = 1 << (PRECISION_BITS - 1);
      let g = r;
      let b = r;
      let at = (starts[y] - shift) * stride + 4 * x;
      for (let k = y * most; k < end; k++, at += stride) {
        const weight = weights[k];
        r += weight * from[at];
        g += weight * from[at + 1];
        b += weight * from[at + 2];
      }
      to[out] = r >> PRECISION_BITS;
      to[out + 1] = g >> PRECISION_BITS;
      to[out + 2] = b >> PRECISION_BITS;
    }
  }
  return result;
}

/**
 * `Image.transform((side, side), AFFINE, matrix, BILINEAR)` of an image whose edge goes on
 * around it: does not average.
 *
 * @param {Pixels} image
 * @param {number[][]} matrix `[2, 3]`, from pixels of the result to pixels of the image.
 * @param {number} side Of the result, in pixels.
 * @returns {Pixels}
 */
export function transform(image, [[a, b, c], [d, e, f]], side) {
  const { width, height, data } = image;
  const result = black(side, side);
  let out = 0;
  for (let v = 0.5; v < side; v++) {
    for (let u = 0.5; u < side; u++, out += 4) {
      const x = a * u + b * v + c;
      const y = d * u + e * v + f;
      const left = Math.floor(x - 0.5);
      const top = Math.floor(y - 0.5);
      const dx = x - 0.5 - left;
      const dy = y - 0.5 - top;
      const x0 = 4 * clip(left, 0, width - 1);
      const x1 = 4 * clip(left + 1, 0, width - 1);
      const y0 = 4 * width * clip(top, 0, height - 1);
      const y1 = 4 * width * clip(top + 1, 0, height - 1);
      for (let channel = 0; channel < 3; channel++) {
        const p = data[y0 + x0 + channel];
        const q = data[y1 + x0 + channel];
        const upper = p + (data[y0 + x1 + channel] - p) * dx;
        const lower = q + (data[y1 + x1 + channel] - q) * dx;
        result.data[out + channel] = Math.trunc(upper + (lower - upper) * dy);
      }
    }
  }
  return result;
}

/**
 * The number within limits that is nearest.
 *
 * @param {number} x
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
export function clip(x, low, high) {
  return Math.min(Math.max(x, low), high);
}
