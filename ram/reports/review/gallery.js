"use strict";
// Verdicts are kept by (image_id, tag), not by row: they outlive a page that is made anew.
const data = (id) => JSON.parse(document.getElementById(id).textContent);
const byId = (id) => document.getElementById(id);
const rows = data("rows"), given = data("given"), wholes = data("wholes"), titles = data("titles");
const cards = rows.map((_, i) => byId("row-" + i));
const order = [...document.querySelectorAll(".row")].map((card) => Number(card.dataset.row));
const STORE = "tag-verdicts:" + location.pathname;
const keyOf = (row) => JSON.stringify([row.image_id, row.tag]);

function stored() {
  try { return JSON.parse(localStorage.getItem(STORE)) || {}; } catch (error) { return {}; }
}
let own = stored().own || {};  // key -> [verdict, when]; an empty verdict takes back what the file says
let past = stored().past || [];
const fromFile = new Map(given.map((row) => [keyOf(row), row]));
const shown = new Set(rows.map(keyOf));
let current = -1, saved = true;

function save() {
  try {
    localStorage.setItem(STORE, JSON.stringify({ own, past: past.slice(-500) }));
  } catch (error) {
    saved = false;  // a private window, or a full store: say so
  }
}
function verdictOf(key) {
  return key in own ? own[key][0] : fromFile.has(key) ? fromFile.get(key).verdict : "";
}
function judge(i, verdict) {
  const key = keyOf(rows[i]);
  if (verdictOf(key) === verdict) return;
  past.push([key, own[key] || null]);
  own[key] = [verdict, new Date().toISOString()];
  save();
  paint(i);
  count();
}
function undo() {
  if (!past.length) return;
  const [key, before] = past.pop();
  if (before) own[key] = before; else delete own[key];
  save();
  rows.forEach((row, i) => { if (keyOf(row) === key) { paint(i); focusRow(i); } });
  count();
}
function paint(i) {
  const verdict = verdictOf(keyOf(rows[i]));
  cards[i].dataset.state = verdict;
  for (const button of cards[i].querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
}

function passes(row) {
  const fate = byId("fate").value, only = byId("only").value, percent = 100 * row.wrong_probability;
  if (!row.tag.includes(byId("find").value.trim().toLowerCase())) return false;
  if (fate === "kept" && !row.kept || fate === "removed" && row.kept) return false;
  if (fate.startsWith("reason:") && row.reason !== fate.slice(7)) return false;
  if (byId("origin").value && row.origin !== byId("origin").value) return false;
  if (percent < Number(byId("low").value) || percent > Number(byId("high").value || 100)) return false;
  if (only === "open" || only === "judged") return (verdictOf(keyOf(row)) !== "") === (only === "judged");
  return !only || row[only];
}
function filter() {
  rows.forEach((row, i) => { cards[i].hidden = !passes(row); });
  for (const section of document.querySelectorAll("section.tag"))
    section.hidden = !section.querySelector(".row:not([hidden])");
  byId("nothing").hidden = !rows.length || cards.some((card) => !card.hidden);
  const first = visible()[0];
  if (current < 0 || cards[current].hidden) setCurrent(first === undefined ? -1 : first);
  count();
}
function count() {
  const judged = rows.filter((row) => verdictOf(keyOf(row))).length;
  const seen = cards.filter((card) => !card.hidden).length;
  byId("status").textContent = `${seen} of ${rows.length} rows, ${judged} judged` + (saved ? "" : "; NOT SAVED, export them");
  byId("undo").disabled = !past.length;
  const fair = (kept) => rows.filter((row) => row.sampled && row.kept === kept && verdictOf(keyOf(row)));
  const right = (kept) => fair(kept).filter((row) => (verdictOf(keyOf(row)) === "keep") === kept).length;
  byId("fair").textContent = fair(true).length + fair(false).length === 0 ? "" :
    `Of the rows drawn at random that are judged, the cleaning was right on ${right(true)} of ${fair(true).length} kept ` +
    `and ${right(false)} of ${fair(false).length} removed.`;
}

const visible = () => order.filter((i) => !cards[i].hidden);
function setCurrent(i) {
  if (current >= 0) cards[current].tabIndex = -1;
  current = i;
  if (i >= 0) cards[i].tabIndex = 0;  // Tab enters the rows at one place
}
function focusRow(i) {
  if (i === undefined || cards[i].hidden) return;
  setCurrent(i);
  cards[i].focus({ preventScroll: true });
  cards[i].scrollIntoView({ block: "center", inline: "nearest" });
}
function step(by) {
  const all = visible(), at = all.indexOf(current);
  focusRow(all[Math.max(0, Math.min(all.length - 1, at + by))]);
}
function vertical(sign) {
  if (current < 0) return;
  const here = cards[current].getBoundingClientRect();
  let best, least = Infinity;
  for (const i of visible()) {
    const there = cards[i].getBoundingClientRect(), down = sign * (there.top - here.top);
    const distance = down + 3 * Math.abs(there.left - here.left);
    if (down > here.height / 2 && distance < least) { least = distance; best = i; }
  }
  if (best === undefined) jump(sign); else focusRow(best);
}
function jump(by) {
  const sections = [...document.querySelectorAll("section.tag:not([hidden])")];
  const at = current < 0 ? -1 : sections.indexOf(cards[current].closest("section"));
  const next = sections[Math.max(0, Math.min(sections.length - 1, at + by))];
  if (next) focusRow(Number(next.querySelector(".row:not([hidden])").dataset.row));
}

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;  // text, never markup: it comes from data
  if (parent) parent.append(made);
  return made;
}
function describe(i) {
  const row = rows[i], box = byId("facts");
  box.replaceChildren();
  const frame = element("div", undefined, box), image = element("img", undefined, frame);
  frame.className = "whole";
  image.src = wholes[row.image_id] || cards[i].querySelector("img").src;
  image.alt = "";
  if (row.box && row.image_id in wholes) {
    const [x0, y0, x1, y1] = row.box, mark = element("span", undefined, frame);
    mark.className = row.kept ? "" : "gone";
    Object.assign(mark.style, { left: 100 * x0 + "%", top: 100 * y0 + "%", width: 100 * (x1 - x0) + "%", height: 100 * (y1 - y0) + "%" });
  }
  const text = element("div", undefined, box), title = element("p", undefined, text);
  element("b", row.tag, title);
  element("span", ` · ${row.image_id} · ${row.kept ? "kept" : "removed: " + titles.reason[row.reason]} · from ${titles.origin[row.origin]}`, title);
  for (const caption of row.captions) element("p", "“" + caption + "”", text);
  if (row.generated_caption) element("p", "generated: “" + row.generated_caption + "”", text).className = "soft";
  const facts = element("dl", undefined, text);
  for (const name of ["wrong_probability", "score", "image_score", "region_score", "held_out_evidence", "outlier_score"]) {
    const pair = element("div", undefined, facts);
    element("dt", name.replaceAll("_", " "), pair);
    element("dd", row[name] === null ? "–" : row[name].toFixed(2), pair);
  }
  box.hidden = false;
}

function csv() {
  const field = (value) => /[",\r\n]/.test(value) ? '"' + value.replaceAll('"', '""') + '"' : value;
  const lines = [["image_id", "tag", "verdict", "fate", "origin", "wrong_probability", "judged_at"]];
  const known = new Map(rows.map((row) => [keyOf(row), row]));
  for (const key of new Set([...fromFile.keys(), ...Object.keys(own)])) {
    const verdict = verdictOf(key), row = known.get(key), [image_id, tag] = JSON.parse(key);
    if (!verdict) continue;
    const facts = row ? [row.kept ? "kept" : row.reason, row.origin, row.wrong_probability] : ["", "", ""];
    lines.push([image_id, tag, verdict, ...facts, key in own ? own[key][1] : ""]);
  }
  return lines.map((line) => line.map((value) => field(String(value))).join(",")).join("\n") + "\n";
}
function exportCsv() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "verdicts.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

document.addEventListener("click", (event) => {
  const card = event.target.closest(".row");
  if (!card) return;
  const i = Number(card.dataset.row), verdict = event.target.dataset.verdict;
  setCurrent(i);
  card.focus({ preventScroll: true });
  if (verdict) judge(i, verdictOf(keyOf(rows[i])) === verdict ? "" : verdict);
});
document.addEventListener("focusin", (event) => {
  const card = event.target.closest(".row");
  if (card) { setCurrent(Number(card.dataset.row)); describe(current); }
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") focusRow(current);
    return;
  }
  const decide = (verdict) => { if (current >= 0) { judge(current, verdict); if (verdict) step(1); } };
  const keys = {
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => vertical(1), ArrowUp: () => vertical(-1),
    n: () => jump(1), p: () => jump(-1), k: () => decide("keep"), w: () => decide("wrong"), x: () => decide(""), u: undo,
    e: exportCsv, "/": () => byId("find").focus(),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
byId("filters").addEventListener("input", filter);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("undo").addEventListener("click", undo);
byId("export").addEventListener("click", exportCsv);
rows.forEach((_, i) => paint(i));
filter();
