import { Boxes, percent } from "./boxes.js";
import { Camera } from "./camera.js";
import { Card } from "./card.js";
import { decode } from "./decode.js";
import { evidence } from "./evidence.js";
import { Networks } from "./network.js";
import { examine, toDict } from "./photograph.js";
import { noted } from "./quality.js";

const AT_ONCE = 3; // faces whose evidence is computed without being asked for
const SMALLEST = 320; // pixels of the screen that a picture is shown in, at least
const CALM = 3000; // milliseconds between two things that are said of the camera

const $ = (id) => document.getElementById(id);
const boxes = new Boxes($("boxes"));
const camera = new Camera($("video"));

let task = new AbortController(); // of what is shown
let cards = [];
let redraw = () => {};

$("unserved").remove();
say("Loading the networks …");
const ready = Networks.load();
listen();
begin();

async function begin() {
  const { signal } = task;
  try {
    const { model } = await ready;
    $("about").textContent = `The network: ${model.about.replace(/\.$/, "")}.`;
    $("drawn").hidden = !model.drawn;
    $("file").disabled = $("camera").disabled = false;
    if (signal.aborted) return; // something was dropped meanwhile
    say("Ready.");
    const query = new URLSearchParams(location.search);
    if (query.get("image")) await openNamed(query.get("image"));
    else if (query.has("camera")) await watch();
  } catch (error) {
    say("");
    fail(`The networks could not be loaded: ${error.message}`, null);
  }
}

function listen() {
  $("file").addEventListener("change", ({ target }) => {
    if (target.files.length) openPhotograph(target.files[0], target.files[0].name);
    target.value = ""; // so that the same file can be chosen again
  });
  $("camera").addEventListener("click", watch);
  $("stop").addEventListener("click", () => {
    start();
    say("The camera is off.");
    $("camera").focus();
  });
  $("still").addEventListener("click", async () => {
    const still = camera.still();
    start(); // the file is written when the page has nothing else to do
    $("camera").focus();
    openPhotograph(await still, null);
  });
  addEventListener("paste", (event) => take(event.clipboardData, event));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    take(event.dataTransfer, event);
  });
  addEventListener("resize", () => redraw());
}

/** Opens what was dropped or pasted, if it is a file. */
function take(data, event) {
  const [file] = data.files;
  if (file || event.type === "drop") event.preventDefault();
  if (file) openPhotograph(file, event.type === "drop" ? file.name : null);
}

/** Ends what is going on, and empties the page for something else. */
function start() {
  task.abort();
  task = new AbortController();
  camera.stop();
  cards = [];
  redraw = () => {};
  $("cards").replaceChildren();
  boxes.show([], { width: 1, height: 1 });
  URL.revokeObjectURL($("photo").src);
  $("photo").removeAttribute("src");
  $("error").hidden = $("progress").hidden = true;
  $("result").textContent = "";
  $("empty").hidden = false;
  $("picture").hidden = $("photo").hidden = $("video").hidden = true;
  $("still").hidden = $("stop").hidden = true;
  $("camera").hidden = $("file").hidden = $("file").labels[0].hidden = false;
  $("picture").classList.remove("mirrored");
  document.body.classList.remove("answered");
  return task.signal;
}

/** Opens a file that lies beside the page. */
async function openNamed(name) {
  const path = name.split("/").map(encodeURIComponent).join("/");
  try {
    const response = await fetch(path);
    if (!response.ok) throw new Error("No such file or directory");
    await openPhotograph(await response.blob(), name);
  } catch (error) {
    start();
    say("");
    fail(error.message, name);
  }
}

async function openPhotograph(blob, name) {
  const signal = start();
  try {
    say("Looking for faces …");
    const networks = await ready;
    const pixels = await decode(blob);
    signal.throwIfAborted();
    $("photo").src = URL.createObjectURL(blob);
    $("photo").alt = `The photograph ${name ?? ""}`.trim();
    reveal($("photo"), pixels);
    $("progress").hidden = false;
    const progress = (part) => ($("progress").value = part);
    const photograph = await examine(pixels, networks, { signal, progress });
    $("progress").hidden = true;
    record(toDict(photograph, networks.model.class_names, name));
    show(photograph.faces, photograph, networks.model, false);
    say(summary(photograph));
    await explain(photograph.faces, networks, signal);
  } catch (error) {
    if (signal.aborted) return;
    say("");
    fail(error.message, name);
  }
}

/** Classifies what the camera sees, frame after frame. */
async function watch() {
  const signal = start();
  try {
    const networks = await ready;
    say("Starting the camera …");
    await camera.start(signal, () => $("stop").click());
    signal.throwIfAborted();
    $("camera").hidden = $("file").hidden = $("file").labels[0].hidden = true;
    $("still").hidden = $("stop").hidden = false;
    $("still").focus();
    $("picture").classList.toggle("mirrored", camera.mirrored);
    let said = -Infinity;
    while (!signal.aborted) {
      const frame = camera.frame();
      reveal($("video"), { width: 2 * frame.width, height: 2 * frame.height });
      const seen = await examine(frame, networks, { signal });
      record(toDict(seen, networks.model.class_names, null));
      // From left to right: which one is the largest may change with every frame.
      const faces = [...seen.faces].sort((a, b) => a.box[0] - b.box[0]);
      show(camera.mirrored ? faces.reverse() : faces, seen, networks.model, true);
      if (performance.now() - said > CALM) {
        const seenAs = ({ label, quality }) => `${label}${noted(quality)}`;
        say(`The camera sees ${listed(faces, seenAs)}.`);
        said = performance.now();
      }
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    if (signal.aborted) return;
    start();
    say("");
    fail(error.message, null);
  }
}

/** Shows a picture, or the camera, as large as there is room for. */
function reveal(element, { width, height }) {
  $("empty").hidden = true;
  $("picture").hidden = element.hidden = false;
  const ratio = width / height;
  $("picture").style.aspectRatio = ratio;
  $("picture").style.width =
    `min(100%, ${Math.max(width, SMALLEST)}px, calc(80vh * ${ratio}))`;
}

/** Shows boxes and cards; cards that are there already are updated. */
function show(faces, size, model, live) {
  document.body.classList.add("answered");
  while (cards.length > faces.length) cards.pop().element.remove();
  while (cards.length < faces.length) {
    const card = new Card(model, cards.length + 1, live);
    cards.push(card);
    $("cards").append(card.element);
  }
  faces.forEach((face, i) => cards[i].update(face, faces.length === 1));
  redraw = () => boxes.show(faces, size, live && camera.mirrored);
  redraw();
}

/** Maps the evidence of the largest faces, and has buttons for the others. */
async function explain(faces, networks, signal) {
  const compute = async (i) => {
    cards[i].sayOfEvidence("Hiding one part after another …");
    const label = networks.model.class_names.indexOf(faces[i].label);
    const card = cards[i];
    try {
      card.showEvidence(faces[i], await evidence(networks, faces[i].crop, label, signal));
    } catch (error) {
      if (!signal.aborted) card.sayOfEvidence(error.message);
    }
  };
  faces.forEach((_, i) => {
    if (i < AT_ONCE) cards[i].sayOfEvidence("…");
    else cards[i].offerEvidence(() => compute(i));
  });
  for (let i = 0; i < Math.min(faces.length, AT_ONCE) && !signal.aborted; i++) {
    await compute(i);
  }
}

function summary({ faces, whole }) {
  const answer = ({ label, confidence, quality }) =>
    `${label} ${percent(confidence)}${noted(quality)}`;
  if (whole) {
    return `The picture is a face already, and was taken whole: ${answer(faces[0])}.`;
  }
  if (!faces.length) {
    return "No face found. Faces that are turned by more than about 40 degrees are not seen here.";
  }
  const told = listed(faces, answer);
  return `${told[0].toUpperCase()}${told.slice(1)}.`;
}

function listed(faces, describe) {
  if (!faces.length) return "no face";
  const count = faces.length === 1 ? "one face" : `${faces.length} faces`;
  return `${count}: ${faces.map(describe).join(", ")}`;
}

function say(text) {
  $("status").textContent = text;
}

/** Shows what went wrong, in the page and as JSON. */
function fail(message, file) {
  $("error").textContent = file === null ? message : `${file}: ${message}`;
  $("error").hidden = false;
  $("progress").hidden = true;
  record({ file, error: message });
}

function record(result) {
  $("result").textContent = JSON.stringify(result, null, 2);
}
