import { percent } from "./boxes.js";
import { decides, drawEvidence, drawFace, drawLegend } from "./views.js";

/** What is said of one face: its crop, its probabilities, and where the evidence is. */
export class Card {
  element = make("article", "card");
  #title = make("h2");
  #percent = make("b", "percent");
  #doubt = make("p", "doubt");
  #views = make("div", "views");
  #face = make("canvas");
  #evidence = make("figure");
  #bars = make("table", "bars");
  #model;
  #number;

  /**
   * @param {import("./network.js").Model} model
   * @param {number} number Of the face, from 1.
   * @param {boolean} live Whether it is about a face that moves, and will be updated.
   */
  constructor(model, number, live) {
    this.#model = model;
    this.#number = number;
    this.element.id = `face-${number}`;
    this.element.classList.toggle("live", live);
    const header = make("header");
    header.append(this.#title, this.#percent);
    this.#face.setAttribute("role", "img");
    const figure = make("figure");
    figure.append(this.#face, make("figcaption", "", "What the network sees"));
    this.#views.append(figure);
    if (!live) this.#views.append(this.#evidence);
    const caption = make("caption", "hidden", "Probability of each expression");
    this.#bars.append(caption, ...model.class_names.map(emptyBar));
    this.element.append(header, this.#doubt, this.#views, this.#bars);
  }

  /**
   * Shows an answer.
   *
   * @param {import("./photograph.js").FaceFound} face
   * @param {boolean} alone Whether there is no other face, so that it needs no number.
   */
  update(face, alone) {
    const number = make("span", "number", alone ? "" : `${this.#number}  `);
    this.#title.replaceChildren(number, face.label);
    this.#percent.textContent = percent(face.confidence, 1);
    this.#doubt.hidden = !face.quality.length;
    this.#doubt.textContent = `Do not rely on this: the face is ${face.quality.join(" and ")}.`;
    this.#face.setAttribute("aria-label", `Crop of face ${this.#number}: ${face.label}`);
    drawFace(this.#face, face.crop, this.#model.image_size);
    [...this.#bars.tBodies].forEach((body, i) => {
      const [row] = body.rows;
      const probability = face.probabilities[i];
      row.classList.toggle("label", this.#model.class_names[i] === face.label);
      row.querySelector(".fill").style.width = `${100 * probability}%`;
      row.lastChild.textContent = percent(probability, 1);
    });
  }

  /** Has a button in the place of the evidence; `compute` is called once, if it is used. */
  offerEvidence(compute) {
    const button = make("button", "button small", "Show the evidence");
    button.type = "button";
    button.addEventListener("click", compute, { once: true });
    this.#instead(button);
  }

  /** Says that the evidence is being computed, or why there is none. */
  sayOfEvidence(text) {
    this.#instead(text);
  }

  /**
   * Shows where the evidence is.
   *
   * @param {import("./photograph.js").FaceFound} face
   * @param {import("./evidence.js").Evidence} found
   */
  showEvidence(face, found) {
    const canvas = make("canvas");
    const change = `${percent(found.before)} to ${percent(found.least)}`;
    const text = decides(found)
      ? `Hiding a part lowers ${face.label} from ${change} at most.`
      : "Hiding any one part hardly changes the answer.";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Map of the evidence in face ${this.#number}. ${text}`);
    drawEvidence(canvas, face.crop, found);
    this.#evidence.replaceChildren(canvas, make("figcaption", "", "Where the evidence is"));
    const legend = make("p", "legend");
    if (decides(found)) {
      const scale = make("canvas");
      scale.setAttribute("aria-hidden", "true");
      drawLegend(scale);
      legend.append("If hidden: no change", scale, change);
    } else {
      legend.classList.add("words");
      legend.append(text);
    }
    this.#views.after(legend);
  }

  #instead(content) {
    const place = make("div", "place");
    place.append(content);
    this.#evidence.replaceChildren(place, make("figcaption", "", "Where the evidence is"));
  }
}

function emptyBar(name) {
  const body = make("tbody");
  const row = body.insertRow();
  const head = make("th", "", name);
  head.scope = "row";
  const track = make("div", "track");
  track.append(make("div", "fill"));
  row.append(head);
  row.insertCell().append(track);
  row.insertCell();
  return body;
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}
