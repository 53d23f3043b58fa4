import { pixelsOf } from "./decode.js";

// Larger frames have to be looked at in more parts, and take longer.
const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };

const REASONS = {
  NotAllowedError: "this page is not allowed to use the camera",
  NotFoundError: "there is no camera",
  NotReadableError: "the camera is used by another program",
};

/** A camera, shown in a video element. */
export class Camera {
  #video;
  #stream = null;

  /** @param {HTMLVideoElement} video Shows what it sees. */
  constructor(video) {
    this.#video = video;
  }

  /** Whether it looks at who looks at the page, who expects a mirror then. */
  get mirrored() {
    return this.#stream?.getVideoTracks()[0].getSettings().facingMode !== "environment";
  }

  /**
   * Turns it on; the browser asks whether it may.
   *
   * @param {AbortSignal} signal Of the wish for it, which may be gone before the answer.
   * @param {() => void} ended Called if it is unplugged, or the permission is withdrawn.
   */
  async start(signal, ended) {
    if (!navigator.mediaDevices) {
      throw new Error("browsers give the camera to pages of https or localhost only");
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: WANTED });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `the camera does not start: ${error.message}`);
    }
    if (signal.aborted) {
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    this.stop();
    this.#stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", ended);
    this.#video.srcObject = stream;
    await this.#video.play();
  }

  /** Turns it off. */
  stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#video.srcObject = null;
  }

  /**
   * The frame that is seen now.
   *
   * @returns {import("./pillow.js").Pixels}
   */
  frame() {
    return pixelsOf(this.#video, this.#video.videoWidth, this.#video.videoHeight);
  }

  /**
   * The same as a file that loses nothing.
   *
   * @returns {Promise<Blob>} PNG.
   */
  still() {
    const frame = this.frame();
    const canvas = new OffscreenCanvas(frame.width, frame.height);
    canvas.getContext("2d").putImageData(frame, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }
}
