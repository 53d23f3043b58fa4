/**
 * From a file, or a frame of a video, to pixels.
 *
 * @typedef {import("./pillow.js").Pixels} Pixels
 */

/**
 * Decodes an image, upright, its colours as they are stored.
 *
 * @param {Blob} blob
 * @returns {Promise<Pixels>}
 */
export async function decode(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error("not an image of a known format");
  }
  try {
    const pixels = pixelsOf(bitmap, bitmap.width, bitmap.height);
    return isOpaque(pixels) ? pixels : uncovered(bitmap) ?? pixels;
  } catch {
    throw new Error(`too large: ${bitmap.width} x ${bitmap.height} pixels`);
  } finally {
    bitmap.close();
  }
}

function isOpaque({ data }) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

/**
 * The colours that transparency hides, which Python sees; null where WebGL cannot tell.
 *
 * A 2D canvas does not keep them.
 */
function uncovered(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const data = new Uint8ClampedArray(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  const failed = gl.getError() !== gl.NO_ERROR;
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return failed ? null : { width, height, data };
}

/**
 * Reads the pixels of what a canvas can draw.
 *
 * @param {CanvasImageSource} source
 * @param {number} width In pixels.
 * @param {number} height In pixels.
 * @returns {Pixels}
 */
export function pixelsOf(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
