// The conversation as a list: what is new is added, nothing is drawn twice, so that a screen reader reads each once.

import { el, linked } from "./dom.js";

const NEAR_PX = 80;

export class Log {
  #list;
  #body;
  #say;
  #line;
  #drawn = new Map();
  #names = new Map();
  #notes = 0;

  constructor(list, body, say, line) {
    this.#list = list;
    this.#body = body;
    this.#say = say;
    this.#line = line;
  }

  /** Draw what is not there yet, or is another now. */
  show(line) {
    const kept = [...line.messages.values()].sort((one, other) => one.number - other.number || (one.id < other.id ? -1 : 1));
    const wanted = [...kept.map((each) => this.#message(each)), ...line.pending.map((each) => this.#pending(each))];
    const keys = new Set(wanted.map((each) => each.key));
    for (const [key, drawn] of this.#drawn) {
      if (!keys.has(key)) {
        drawn.element.remove();
        this.#drawn.delete(key);
      }
    }
    let before = null;
    for (const each of wanted) {
      let drawn = this.#drawn.get(each.key);
      if (!drawn || drawn.look !== each.look) {
        const element = each.draw();
        drawn?.element.replaceWith(element);
        this.#drawn.set(each.key, (drawn = { look: each.look, element }));
      }
      const place = before === null ? this.#list.firstChild : before.nextSibling;
      if (drawn.element !== place) this.#list.insertBefore(drawn.element, place);
      before = drawn.element;
    }
  }

  /** Whether the last line is in sight: then it stays so. */
  atEnd() {
    return this.#body.scrollHeight - this.#body.scrollTop - this.#body.clientHeight < NEAR_PX;
  }

  /** A line of the widget's own. */
  note(text) {
    const key = `note ${this.#notes++}`;
    this.#list.append(el("li", { class: "own", "data-key": key }, el("p", { class: "meta bad", role: "alert" }, text)));
    this.toEnd();
  }

  toEnd() {
    this.#body.scrollTop = this.#body.scrollHeight;
  }

  #message(message) {
    if (message.kind === "notice") {
      return { key: message.id, look: "kept", draw: () => el("li", { class: "notice-line" }, el("p", { class: "meta" }, ...linked(message.text))) };
    }
    const mine = message.from === "visitor";
    if (!mine && !this.#names.has(message.id)) this.#names.set(message.id, this.#line.conversation?.agent?.name ?? this.#say("somebody"));
    const who = mine ? this.#say("you") : this.#names.get(message.id);
    const time = new Date(message.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return {
      key: message.client_id ?? message.id,
      look: "kept",
      draw: () =>
        el("li", { class: mine ? "own" : "" }, el("div", { class: "bubble" }, ...this.#inside(message)), el("p", { class: "meta" }, `${who} · ${time}`)),
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
      const choices = payload.options.map((each) => el("button", { type: "button", onclick: () => this.#line.say({ text: each.text }) }, each.text));
      return [...linked(message.text), ...choices.flatMap((each) => ["\n", each]), payload.tail ? `\n${payload.tail}` : ""];
    }
    if (message.kind === "location") return [[message.text, payload.label, `${payload.latitude}, ${payload.longitude}`].filter(Boolean).join("\n")];
    if (!media) return linked(message.text || this.#say("other"));
    const name = message.payload.name || message.text || message.kind;
    if (message.kind === "image") {
      const image = el("img", { alt: name });
      this.#line.fetchFile(media).then((address) => (image.src = address), () => image.replaceWith(name));
      return [image];
    }
    const open = async () => {
      const address = await this.#line.fetchFile(media);
      el("a", { href: address, download: name }).click();
    };
    return [el("button", { type: "button", onclick: open }, this.#say("file", { name }))];
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
          );
    return {
      key: said.id,
      look: problem ? `refused ${problem.waits}` : "pending",
      draw: () => el("li", { class: "own" }, el("div", { class: "bubble" }, ...linked(said.text)), note),
    };
  }
}
