// An image with its tags, as elements. Every text is a text node: a tag named <b> looks like <b>.

import { draw, frame, inWords } from "./place.js";

export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const TITLES = { champion: "Champion", challenger: "Challenger" };

export class Card {
  // `hooks`: place(image, model, tag) -> Promise of a place, say(text), remove(card), copy(card)
  constructor(image, hooks) {
    this.image = image;
    this.hooks = hooks;
    this.shown = null; // the chip whose place is shown
    this.pinned = null;
    const alt = `Image ${image.name}`;
    this.photo = make("img", { src: image.url, alt, onerror: () => this.stage.classList.add("unseen") });
    this.glow = make("canvas", { className: "glow", hidden: true, "aria-hidden": "true" });
    this.frame = make("div", { className: "frame-of-tag", hidden: true, "aria-hidden": "true" });
    this.stage = make("div", { className: "stage" }, this.photo, this.glow, this.frame);
    this.note = make("p", { className: "note" });
    this.lists = make("div", { className: "lists" });
    const copy = make("button", { type: "button", className: "quiet", onclick: () => hooks.copy(this) }, "Copy as JSON");
    copy.setAttribute("aria-label", `Copy the tags of ${image.name} as JSON`);
    const remove = make("button", { type: "button", className: "quiet", onclick: () => hooks.remove(this) }, "Remove");
    remove.setAttribute("aria-label", `Remove ${image.name}`);
    this.copyButton = copy;
    const head = make("div", { className: "card-head" }, make("h2", { title: image.name }, image.name), copy, remove);
    this.element = make("article", { className: "card", "aria-label": image.name }, this.stage,
      make("div", { className: "card-body" }, head, this.note, this.lists));
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  // `columns`: [{model, tags}] with the tags to show, best first; or an error, or neither while the answer is awaited
  render({ columns, error }) {
    const focused = document.activeElement?.closest?.(".chip")?.dataset;
    const kept = focused && this.element.contains(document.activeElement) ? { ...focused } : null;
    this.hide();
    this.element.classList.toggle("failed", Boolean(error));
    this.element.setAttribute("aria-busy", String(!columns && !error));
    this.copyButton.disabled = !columns;
    this.note.textContent = error || (columns ? "" : "Looking at it …");
    this.note.hidden = Boolean(columns) && !error;
    this.lists.replaceChildren(...(columns || []).map((column) => this.list(column, columns)));
    this.lists.classList.toggle("two", (columns || []).length > 1);
    if (kept) {
      const chips = [...this.element.querySelectorAll(".chip")];
      chips.find((chip) => chip.dataset.tag === kept.tag && chip.dataset.model === kept.model)?.focus();
    }
  }

  list({ model, tags }, columns) {
    const others = columns.filter((column) => column.model !== model).map((column) => new Set(column.tags.map((t) => t.name)));
    const chips = tags.map((tag, i) => this.chip(tag, model, i, others.some((names) => !names.has(tag.name))));
    const bar = make("div", { className: "chips", role: "toolbar" }, ...chips);
    bar.setAttribute("aria-label", `Tags by the ${model} for ${this.image.name}`);
    const content = chips.length ? bar : make("p", { className: "hint" }, "No tag reaches the threshold.");
    const title = make("h3", {}, TITLES[model] || model, make("span", { className: "count" }, String(tags.length)));
    return make("section", { className: "list" }, ...(columns.length > 1 ? [title] : []), content);
  }

  chip(tag, model, index, only) {
    const score = make("span", { className: "score" }, tag.score.toFixed(2));
    const bar = make("span", { className: "bar", "aria-hidden": "true" });
    bar.style.width = `${Math.round(100 * tag.score)}%`;
    const chip = make("button", { type: "button", className: "chip", tabIndex: index ? -1 : 0 }, bar,
      make("span", { className: "name" }, tag.name), score);
    chip.dataset.tag = tag.name;
    chip.dataset.model = model;
    chip.dataset.kind = tag.kind || "own";
    chip.classList.toggle("only", only);
    chip.setAttribute("aria-pressed", "false");
    const kind = tag.kind || "a tag of your own";
    const also = only ? `, by the ${model} alone` : "";
    chip.title = `${kind}, threshold ${tag.threshold.toFixed(2)}${also}`;
    chip.setAttribute("aria-label", `${tag.name}, score ${tag.score.toFixed(2)}, ${kind}${also}`);
    chip.onmouseenter = () => this.show(chip, tag, model);
    chip.onmouseleave = () => this.back();
    chip.onfocus = () => { this.rove(chip); this.show(chip, tag, model); };
    chip.onblur = () => this.back();
    chip.onclick = () => {
      const again = this.pinned?.chip === chip;
      this.pinned?.chip.setAttribute("aria-pressed", "false");
      this.pinned = again ? null : { chip, tag, model };
      chip.setAttribute("aria-pressed", String(!again));
      this.show(chip, tag, model);
    };
    return chip;
  }

  async show(chip, tag, model) {
    this.shown = chip;
    this.stage.classList.add("searching");
    try {
      const place = await this.hooks.place(this.image, model, tag.name);
      if (this.shown !== chip) return;
      draw(this.glow, place);
      frame(this.frame, place);
      this.glow.hidden = this.frame.hidden = false;
      if (document.activeElement === chip) this.hooks.say(`${tag.name} is ${inWords(place)}.`);
    } catch (error) {
      if (this.shown === chip) this.hooks.say(`${tag.name}: ${error.message}`);
    } finally {
      if (this.shown === chip || !this.shown) this.stage.classList.remove("searching");
    }
  }

  // What is pinned is shown again when the pointer has left.
  back() {
    if (this.pinned) this.show(this.pinned.chip, this.pinned.tag, this.pinned.model);
    else this.hide();
  }

  hide() {
    this.shown = null;
    if (!this.pinned?.chip.isConnected) this.pinned = null;
    this.glow.hidden = this.frame.hidden = true;
    this.stage.classList.remove("searching");
  }

  rove(chip) {
    for (const other of chip.parentElement.children) other.tabIndex = other === chip ? 0 : -1;
  }

  onKey(event) {
    const chip = event.target.closest(".chip");
    if (!chip) return;
    const chips = [...chip.parentElement.children];
    const at = chips.indexOf(chip);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: chips.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    chips[(to + chips.length) % chips.length].focus();
  }
}
