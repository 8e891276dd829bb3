// The conversation as a list: what is new is added, nothing is drawn twice, so that a screen reader reads each once.

import { el, icon, linked } from "./dom.js";

const NEAR_PX = 80;
const JOINED_MS = 120_000; // what one says within so long stands together, under one name and time

export class Log {
  #list;
  #body;
  #say;
  #line;
  #write;
  #language;
  #drawn = new Map();
  #names = new Map();
  #notes = new Map();
  #stays = true; // the last line is in sight: then it stays so, whatever grows or shrinks
  #noted = 0;

  /** `write` is what a choice of a menu does: the visitor says it. */
  constructor(list, body, say, line, language, write) {
    this.#list = list;
    this.#body = body;
    this.#say = say;
    this.#line = line;
    this.#language = language;
    this.#write = write;
    let known = "";
    const size = () => `${body.clientHeight} of ${body.scrollHeight}`;
    body.addEventListener("scroll", () => {
      if (size() !== known) return; // something grew or shrank, and nobody scrolled
      this.#stays = body.scrollHeight - body.scrollTop - body.clientHeight < NEAR_PX;
    });
    const sizes = new ResizeObserver(() => {
      known = size();
      if (this.#stays) this.toEnd();
    });
    for (const each of [body, list]) sizes.observe(each);
  }

  /** Draw what is not there yet, or is another now. */
  show() {
    const line = this.#line;
    const kept = [...line.messages.values()].sort((one, other) => one.number - other.number || (one.id < other.id ? -1 : 1));
    const wanted = [];
    const notes = [...this.#notes.values()];
    let day = new Date().toDateString();
    for (const each of kept) {
      while (notes.length && notes[0].after < each.number) wanted.push(notes.shift());
      const at = new Date(each.at);
      if (at.toDateString() !== day) wanted.push(this.#day(at));
      day = at.toDateString();
      wanted.push(this.#message(each, at));
    }
    wanted.push(...notes, ...line.pending.map((each) => this.#pending(each)));
    const keys = new Set(wanted.map((each) => each.key));
    for (const [key, drawn] of this.#drawn) {
      if (!keys.has(key)) {
        drawn.element.remove();
        this.#drawn.delete(key);
      }
    }
    let before = null;
    for (const [place, each] of wanted.entries()) {
      let drawn = this.#drawn.get(each.key);
      if (!drawn || drawn.look !== each.look) {
        const element = each.draw();
        drawn?.element.replaceWith(element);
        this.#drawn.set(each.key, (drawn = { look: each.look, element }));
      }
      const next = before === null ? this.#list.firstChild : before.nextSibling;
      if (drawn.element !== next) this.#list.insertBefore(drawn.element, next);
      before = drawn.element;
      const follower = wanted[place + 1];
      before.classList.toggle("joined", Boolean(each.who && follower?.who === each.who && follower.at - each.at < JOINED_MS));
    }
  }

  /** A line of the widget's own, behind what has been said so far; gives its key. */
  note(text, bad = false) {
    const key = `note ${this.#noted++}`;
    const after = Math.max(0, ...[...this.#line.messages.values()].map((each) => each.number));
    const draw = () => el("li", { class: "own" }, el("p", { class: bad ? "meta bad" : "meta" }, text));
    this.#notes.set(key, { key, after, look: "note", draw });
    this.toEnd();
    this.show();
    return key;
  }

  /** Take a line of the widget's own away. */
  unnote(key) {
    this.#notes.delete(key);
    this.show();
  }

  toEnd() {
    this.#stays = true;
    this.#body.scrollTop = this.#body.scrollHeight;
  }

  #day(at) {
    const text = at.toLocaleDateString(this.#language, { weekday: "short", month: "long", day: "numeric" });
    return { key: at.toDateString(), look: "day", draw: () => el("li", { class: "middle" }, el("p", { class: "meta" }, text)) };
  }

  #message(message, at) {
    if (message.kind === "notice") {
      return { key: message.id, look: "kept", draw: () => el("li", { class: "middle" }, el("p", { class: "meta" }, ...linked(message.text))) };
    }
    const mine = message.from === "visitor";
    if (!mine && !this.#names.has(message.id)) this.#names.set(message.id, (message.agent ?? this.#line.conversation?.agent)?.name ?? this.#say("somebody"));
    const who = mine ? this.#say("you") : this.#names.get(message.id);
    const time = at.toLocaleTimeString(this.#language, { hour: "numeric", minute: "2-digit" });
    return {
      key: message.client_id ?? message.id,
      look: "kept",
      who,
      at,
      draw: () =>
        el(
          "li",
          { class: mine ? "own" : "" },
          el("div", { class: message.kind === "image" ? "bubble picture" : "bubble" }, ...this.#inside(message)),
          el("p", { class: "meta" }, el("bdi", {}, who), ` · ${time}`),
        ),
    };
  }

  #inside(message) {
    const payload = message.payload ?? {};
    const media = payload.media_id;
    if (message.kind === "link" && /^https?:/.test(payload.url)) {
      const page = el("a", { href: payload.url, target: "_blank", rel: "noopener noreferrer nofollow" }, payload.title);
      return [page, payload.description ? `\n${payload.description}` : ""];
    }
    if (message.kind === "menu") {
      const choices = payload.options.map((each) => el("button", { type: "button", onclick: () => this.#write(each.text) }, each.text));
      return [...linked(message.text), el("div", { class: "choices" }, ...choices), payload.tail ?? ""];
    }
    if (message.kind === "location") {
      const place = payload.label || message.text;
      return [[place, `${payload.latitude}, ${payload.longitude}`].filter(Boolean).join("\n")];
    }
    if (!media) return linked(message.text || this.#say("other"));
    const name = payload.name || message.text || message.kind;
    return [message.kind === "image" ? this.#picture(media, name) : this.#file(media, name, payload.bytes)];
  }

  #picture(media, name) {
    const image = el("img", { alt: name });
    const page = el("a", { target: "_blank", rel: "noopener" }, image);
    this.#line.fetchFile(media).then((address) => (page.href = image.src = address), () => page.replaceWith(name));
    return page;
  }

  #file(media, name, bytes) {
    const open = async () => {
      try {
        el("a", { href: await this.#line.fetchFile(media), download: name }).click();
      } catch {
        this.note(this.#say("fileLost", { name }), true);
      }
    };
    const size = bytes ? ` (${Math.ceil(bytes / 1024).toLocaleString(this.#language)} kB)` : "";
    return el("button", { type: "button", class: "file", onclick: open, "aria-label": this.#say("file", { name: name + size }) }, icon("clip"), name + size);
  }

  #pending(said) {
    const problem = said.problem;
    const note = !problem
      ? el("p", { class: "meta" }, this.#say("sending"))
      : problem.waits
        ? el("p", { class: "meta" }, this.#say("tooFast"))
        : el(
            "p",
            { class: "meta bad" },
            this.#say("failed"),
            el("button", { type: "button", onclick: () => this.#line.retry(said.id) }, this.#say("retry")),
            el("button", { type: "button", onclick: () => this.#line.drop(said.id) }, this.#say("discard")),
          );
    return {
      key: said.id,
      look: problem ? `refused ${problem.waits}` : "pending",
      draw: () => el("li", { class: "own" }, el("div", { class: "bubble" }, ...linked(said.text)), note),
    };
  }
}
