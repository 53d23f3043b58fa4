import { noted } from "./quality.js";

const ROOM = 96; // pixels that a label needs; smaller boxes have their number alone

/** Boxes with labels over a picture; each leads to the card of its face. */
export class Boxes {
  #element;

  /** @param {HTMLElement} element As large as the picture, to put them in. */
  constructor(element) {
    this.#element = element;
  }

  /**
   * Shows the boxes of faces in place of those before.
   *
   * @param {import("./photograph.js").FaceFound[]} faces In the order of their numbers.
   * @param {{width: number, height: number}} picture In pixels.
   * @param {boolean} [mirrored] Whether the picture is shown as in a mirror.
   */
  show(faces, { width, height }, mirrored = false) {
    while (this.#element.children.length > faces.length) this.#element.lastChild.remove();
    while (this.#element.children.length < faces.length) this.#element.append(emptyBox());
    faces.forEach((face, i) => {
      const box = this.#element.children[i];
      const [left, top, right, bottom] = inside(face.box, width, height);
      const start = mirrored ? 1 - right : left;
      box.style.left = `${100 * start}%`;
      box.style.top = `${100 * top}%`;
      box.style.width = `${100 * (right - left)}%`;
      box.style.height = `${100 * (bottom - top)}%`;
      const name = `${face.label} ${percent(face.confidence)}${noted(face.quality)}`;
      const number = faces.length > 1 ? `${i + 1}` : "";
      const shown = (right - left) * this.#element.clientWidth;
      const text = number && shown < ROOM ? number : `${number} ${name}`.trim();
      if (box.firstChild.textContent !== text) box.firstChild.textContent = text;
      box.setAttribute("aria-label", `Face ${i + 1}: ${name}`);
      box.href = `#face-${i + 1}`;
      box.classList.toggle("inside", top * this.#element.clientHeight < 26);
      box.classList.toggle("right", start > 0.6);
    });
  }
}

/**
 * A probability as text.
 *
 * @param {number} probability 0 to 1.
 * @param {number} [digits] Behind the point.
 * @returns {string}
 */
export function percent(probability, digits = 0) {
  return `${(100 * probability).toFixed(digits)}\u00a0%`;
}

function emptyBox() {
  const box = document.createElement("a");
  box.className = "box";
  box.append(document.createElement("span"));
  return box;
}

/** The part of a box that the picture has, its edges as parts of the sides. */
function inside([left, top, right, bottom], width, height) {
  const clip = (x) => Math.min(Math.max(x, 0), 1);
  return [clip(left / width), clip(top / height), clip(right / width), clip(bottom / height)];
}
