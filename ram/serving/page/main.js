// The page: what the person chose, what the server said, and what of it is shown.

import * as api from "./api.js";
import { Card, make } from "./cards.js";

const LEAST = 0.01, MOST = 200; // what the slider can choose from is asked for once, and sorted out here

const $ = (id) => document.getElementById(id);
const cards = [];
const ownTags = [];
const known = new Map(); // model -> its labels
const places = new WeakMap(); // image -> Map("model\ntag\nversion" -> Promise of a place)

const say = (text) => { $("status").textContent = text; };
const isOwn = () => $("own-threshold").checked;
const shownModels = () => ($("compare").checked && known.has("challenger") ? ["champion", "challenger"] : ["champion"]);

function thresholdOf(model, tag) {
  const labels = known.get(model);
  if (!labels) return 0.5;
  return labels.own.get(tag.name) ?? (tag.tag_id === null ? labels.openSet : tag.threshold);
}

function shown(image, model) {
  const answer = image.answers[model];
  if (!answer) return null;
  const least = Number($("threshold").value);
  const extra = ownTags.flatMap((name) => image.extra[model]?.get(name) || []);
  const names = new Set(extra.map((tag) => tag.name));
  return [...extra, ...answer.tags.filter((tag) => !names.has(tag.name))]
    .map((tag) => ({ ...tag, threshold: isOwn() ? thresholdOf(model, tag) : least }))
    .filter((tag) => tag.score >= tag.threshold)
    .sort((a, b) => b.score - a.score);
}

function render(card) {
  const { image } = card;
  if (image.error) return card.render({ error: image.error });
  const columns = shownModels().map((model) => ({ model, tags: shown(image, model) }));
  return card.render({ columns: columns.every((column) => column.tags) ? columns : null });
}

function renderAll() {
  $("empty").hidden = cards.length > 0;
  $("copy-all").disabled = !cards.some((card) => card.image.answers.champion);
  $("clear").disabled = cards.length === 0;
  $("threshold-value").textContent = isOwn() ? "own" : Number($("threshold").value).toFixed(2);
  $("threshold").classList.toggle("resting", isOwn());
  cards.forEach(render);
}

async function ask(card) {
  const { image } = card;
  try {
    for (const model of shownModels()) {
      if (!image.answers[model]) {
        image.answers[model] = await api.tagsOf(image.file, { model, threshold: LEAST, topK: MOST });
      }
      const extra = (image.extra[model] ||= new Map());
      const missing = ownTags.filter((name) => !extra.has(name));
      if (missing.length) {
        const { tags } = await api.tagsOf(image.file, { model, tags: missing, threshold: 0 });
        for (const name of missing) extra.set(name, tags.filter((tag) => tag.name === name));
      }
    }
    image.error = null;
  } catch (error) {
    failed(image, error);
  }
  renderAll();
}

function failed(image, error) {
  if (error.status === 401) {
    $("key-form").hidden = false;
    $("key").focus();
  }
  if (!image.answers.champion) image.error = error.message;
  image.unreadable = error.status === 422 && !image.answers.champion;
  say(`${image.name}: ${error.message}`);
}

async function askAll() {
  renderAll();
  await Promise.all(cards.filter((card) => !card.image.unreadable).map(ask));
  const broken = cards.filter((card) => card.image.error).length;
  const done = cards.length - broken;
  if (cards.length && !broken) say(`${done} ${done === 1 ? "image is" : "images are"} tagged.`);
  else if (done) say(`${done} tagged; ${broken} could not be.`);
}

function placeOf(image, model, tag) {
  if (!places.has(image)) places.set(image, new Map());
  const found = places.get(image);
  const id = `${model}\n${tag}\n${known.get(model)?.version}`;
  if (!found.has(id)) {
    const asked = api.tagsOf(image.file, { model, tags: [tag], threshold: 0, explain: true }).then((a) => a.tags[0].place);
    asked.catch(() => found.delete(id));
    found.set(id, asked);
  }
  return found.get(id);
}

function add(files) {
  for (const file of files) {
    const image = { file, name: file.name || "pasted image", url: URL.createObjectURL(file), answers: {}, extra: {}, error: null };
    const card = new Card(image, { place: placeOf, say, remove, copy: (c) => copy([c]) });
    cards.unshift(card);
    $("images").prepend(card.element);
  }
  if (files.length) {
    say(`${files.length} ${files.length === 1 ? "image" : "images"} added.`);
    askAll();
  }
}

function remove(card) {
  cards.splice(cards.indexOf(card), 1);
  URL.revokeObjectURL(card.image.url);
  card.element.remove();
  say(`${card.image.name} removed.`);
  renderAll();
  $("files").focus();
}

function asJson(some) {
  const rows = some.filter((card) => card.image.answers.champion).flatMap(({ image }) => shownModels().map((model) => ({
    image: image.name,
    model,
    model_version: image.answers[model]?.version,
    tags: (shown(image, model) || []).map(({ name, score, threshold, kind }) => ({ name, score, threshold, kind })),
  })));
  return JSON.stringify(rows, null, 2);
}

async function copy(some) {
  const text = asJson(some);
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    // Browsers give the clipboard to secure addresses alone: there a person can still copy by hand.
    $("json-text").value = text;
    $("json").showModal();
    $("json-text").select();
  }
}

function renderOwnTags() {
  $("own-tags").replaceChildren(...ownTags.map((name) => {
    const drop = make("button", { type: "button", onclick: () => dropTag(name) }, "×");
    drop.setAttribute("aria-label", `Remove the tag ${name}`);
    return make("li", {}, make("span", {}, name), drop);
  }));
}

function addTags(text) {
  const names = text.split(",").map((name) => name.trim().replace(/\s+/g, " ")).filter(Boolean);
  for (const name of names) if (!ownTags.includes(name)) ownTags.push(name);
  renderOwnTags();
  askAll();
}

function dropTag(name) {
  ownTags.splice(ownTags.indexOf(name), 1);
  renderOwnTags();
  renderAll();
  $("tag").focus();
}

async function meet() {
  try {
    const found = await api.models();
    known.clear();
    for (const model of Object.keys(found)) known.set(model, await api.labels(model));
    $("models").replaceChildren(...Object.entries(found).map(([model, version]) =>
      make("span", { className: "model" }, `${model} `, make("code", {}, version))));
    $("key-form").hidden = true;
  } catch (error) {
    if (error.status === 401) $("key-form").hidden = false;
    say(error.status === 401 ? "This server wants a key." : error.message);
  }
  const both = known.has("challenger");
  $("compare").disabled = !both;
  $("compare-hint").textContent = both ? "Tags that one of them alone finds are marked." : "No challenger is served here.";
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", `Switch to ${theme === "dark" ? "light" : "dark"} colors`);
}

function wire() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(localStorage.getItem("theme") || (dark ? "dark" : "light"));
  $("theme").onclick = () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    setTheme(theme);
  };
  $("files").onchange = (event) => { add([...event.target.files]); event.target.value = ""; };
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") add([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) { event.preventDefault(); add(files); }
  });
  $("add-tag").onsubmit = (event) => { event.preventDefault(); addTags($("tag").value); $("tag").value = ""; };
  $("threshold").oninput = () => { $("own-threshold").checked = false; renderAll(); };
  $("own-threshold").onchange = renderAll;
  $("compare").onchange = askAll;
  $("key-form").onsubmit = async (event) => {
    event.preventDefault();
    api.setKey($("key").value);
    await meet();
    for (const { image } of cards) image.error = null;
    askAll();
  };
  $("copy-all").onclick = () => copy(cards);
  $("clear").onclick = () => { [...cards].forEach(remove); say("Cleared."); };
}

wire();
await meet();
renderAll();
