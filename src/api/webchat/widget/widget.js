// <cordboard-chat account="shop"></cordboard-chat>: a website's chat. No build step, no dependency, no inline style.
//
// Attributes: `account`; `server` (where the service is; that of this module, if left out); `language` (`zh`, `en`);
// `theme` (`light`, `dark`); `open`. Property `identity`: what the website says of a signed-in user, or a function that
// fetches it. The page can dress it with `--cordboard-accent` and `--cordboard-on-accent`.

import { Connection } from "./widget/connection.js";
import { el, icon } from "./widget/dom.js";
import { questions, rating } from "./widget/forms.js";
import { Log } from "./widget/log.js";
import { sheet } from "./widget/style.js";
import { languageOf, localeOf, own, speaker } from "./widget/words.js";

const TYPING_MS = 3_000;
const TYPING_SHOWN_MS = 8_000;
const BORDERS_PX = 2;
const TEXT_CHARS_MAX = 10_000;
const FILE_MB_MAX = 5;
const REASONS = { body_too_large: "fileBig", too_fast: "fileFast", unwanted_file: "fileKind" };
const HOME = new URL(import.meta.url).origin;

class CordboardChat extends HTMLElement {
  static observedAttributes = ["open"];

  #say;
  #language;
  #line = null;
  #parts = {};
  #log;
  #answers = null;
  #anew = false;
  #ending = false;
  #thanked = null;
  #unread = 0;
  #typed = 0;
  #typingTimer = 0;
  #agentTimer = 0;
  #wasOpen = false;
  #waitsForFocus = false;

  set identity(value) {
    this.#identity = value;
    if (this.#line) this.#line.identity = value;
  }
  #identity = null;

  connectedCallback() {
    if (this.#line) return;
    if (Object.hasOwn(this, "identity")) {
      const given = this.identity; // set before this module was there
      delete this.identity;
      this.identity = given;
    }
    this.#language = languageOf(this.getAttribute("language"));
    this.#say = speaker(this.#language);
    const server = (this.getAttribute("server") || HOME).replace(/\/+$/, "");
    this.#line = new Connection(`${server}/channels/webchat/${encodeURIComponent(this.getAttribute("account") ?? "")}`);
    this.#line.identity = this.#identity;
    this.#line.addEventListener("changed", () => this.#show());
    this.#line.addEventListener("arrived", () => this.#arrived());
    this.#line.addEventListener("typing", (event) => this.#agentTypes(event.detail));
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.replaceChildren(this.#launcher(), this.#panel());
    for (const each of root.children) {
      each.lang = this.#language === "zh" ? "zh-CN" : "en";
      each.dir = "ltr"; // as both languages are, on whatever page
    }
    globalThis.visualViewport?.addEventListener("resize", this.#fit);
    globalThis.visualViewport?.addEventListener("scroll", this.#fit);
    if (this.#line.known) this.#line.open();
    this.attributeChangedCallback();
  }

  disconnectedCallback() {
    globalThis.visualViewport?.removeEventListener("resize", this.#fit);
    globalThis.visualViewport?.removeEventListener("scroll", this.#fit);
    this.#line?.close();
    this.#line = null;
    this.#wasOpen = false;
  }

  attributeChangedCallback() {
    if (!this.#line) return;
    const open = this.hasAttribute("open");
    if (open) this.#line.open();
    this.#show();
    if (open !== this.#wasOpen) {
      this.#wasOpen = open;
      if (open) this.#focus();
      else this.#parts.launcher.focus();
    }
  }

  // -- what there is ------------------------------------------------------------------------------------------------

  #launcher() {
    const badge = el("span", { class: "badge", hidden: true });
    const launcher = el(
      "button",
      { class: "launcher", type: "button", "aria-haspopup": "dialog", onclick: () => this.setAttribute("open", "") },
      icon("chat"),
      el("span", {}, this.#say("open")),
      badge,
    );
    Object.assign(this.#parts, { launcher, badge });
    return launcher;
  }

  #panel() {
    const say = this.#say;
    const title = el("h2", { id: "title" });
    const end = el("button", { type: "button", onclick: () => this.#askToEnd(true) }, say("end"));
    const close = el("button", { type: "button", "aria-label": say("close"), onclick: () => this.#close() }, icon("close"));
    const notice = el("p", { class: "notice", role: "alert", hidden: true });
    const status = el("p", { class: "status", role: "status" });
    const greeting = el("p", { class: "greeting" });
    const list = el("ol");
    const log = el("div", { role: "log", "aria-live": "polite" }, list);
    const form = el("div");
    const body = el("div", { class: "body", tabindex: "0", role: "region", "aria-label": say("log") }, greeting, log, form);
    const typing = el("p", { class: "typing", "aria-live": "polite" });
    const foot = el("div", { class: "foot", hidden: true });
    const composer = this.#composer();
    this.#log = new Log(list, body, say, this.#line, localeOf(this.#language), (text) => composer.hidden || this.#tell(text));
    const panel = el(
      "section",
      { class: "panel", role: "dialog", "aria-labelledby": "title", hidden: true, onkeydown: (event) => this.#key(event) },
      el("header", {}, title, end, close),
      notice,
      status,
      body,
      typing,
      foot,
      composer,
    );
    Object.assign(this.#parts, { panel, title, end, notice, status, greeting, body, form, typing, foot, composer });
    return panel;
  }

  #composer() {
    const say = this.#say;
    const grow = () => {
      text.style.blockSize = "auto";
      text.style.blockSize = `${text.scrollHeight + BORDERS_PX}px`;
    };
    const enter = (event) => {
      // While a word is being composed (Chinese input methods), Enter chooses it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#write();
    };
    const input = () => {
      grow();
      this.#visitorTypes(Boolean(text.value.trim()));
    };
    const text = el("textarea", { rows: 1, maxlength: TEXT_CHARS_MAX, placeholder: say("placeholder"), dir: "auto", onkeydown: enter, oninput: input });
    const file = el("input", { type: "file", class: "hidden", tabindex: "-1", "aria-hidden": "true", onchange: () => this.#attach(file) });
    const attach = el("button", { type: "button", class: "quiet", "aria-label": say("attach"), onclick: () => file.click() }, icon("clip"));
    const submit = (event) => {
      event.preventDefault();
      this.#write();
    };
    Object.assign(this.#parts, { text, file, attach, grow });
    return el(
      "form",
      { class: "composer", hidden: true, onsubmit: submit },
      attach,
      file,
      el("label", { class: "write" }, el("span", { class: "hidden" }, say("write")), text),
      el("button", { type: "submit", "aria-label": say("send") }, icon("send")),
    );
  }

  // -- showing it ---------------------------------------------------------------------------------------------------

  #show() {
    const line = this.#line;
    if (!line || !this.#parts.panel) return;
    const { panel, launcher, badge, title, end, notice, status, greeting, attach, composer, form, foot } = this.#parts;
    const open = this.hasAttribute("open");
    const say = this.#say;
    if (open) this.#unread = 0;
    panel.hidden = !open;
    launcher.hidden = open;
    launcher.setAttribute("aria-expanded", String(open));
    badge.hidden = this.#unread === 0;
    badge.textContent = String(this.#unread);
    badge.setAttribute("aria-label", say("unread", { count: this.#unread }));
    title.textContent = own(line.site?.title, this.#language) || say("title");
    end.hidden = !line.talking || this.#ending;
    set(notice, line.state === "offline" ? say("offline") : line.state === "refused" ? say("refusedHere") : "");
    set(status, this.#standing());
    status.dataset.state = line.talking ? line.conversation.state : line.availability;
    set(greeting, own(line.site?.greeting, this.#language));
    const ended = line.conversation?.state === "ended" && !this.#anew;
    const asks = !line.talking && !ended && this.#answers === null && (line.site?.form.length ?? 0) > 0 && line.pending.length === 0;
    const shut = !line.talking && line.availability !== "open" && line.site?.leave_message === false;
    if (asks && !form.firstChild && line.site && !shut) {
      form.replaceChildren(questions(line.site.form, this.#language, say, (answers) => this.#start(answers)));
    } else if (!asks || shut) {
      form.replaceChildren();
    }
    composer.hidden = !line.site || asks || ended || shut || line.state === "refused";
    attach.hidden = !line.site?.uploads || !line.talking;
    this.#showFoot(foot, ended);
    this.#log.show();
    if (line.state !== "online" || line.conversation?.state !== "active") this.#agentTypes(false);
    if (this.#waitsForFocus && line.site) this.#focus();
    if (open && document.visibilityState === "visible") line.seen();
  }

  /** Where the conversation stands, in words. */
  #standing() {
    const { state, conversation, availability, site } = this.#line;
    const say = this.#say;
    if (state === "connecting" && !site) return say("connecting");
    if (!this.#line.talking) {
      if (conversation?.state === "ended" && !this.#anew) return say("ended");
      if (!site || availability === "open") return "";
      return site.leave_message ? say(availability) : say("away");
    }
    const name = conversation.agent?.name ?? say("somebody");
    if (conversation.state === "active") return say("active", { name });
    if (conversation.left_message) return say("left");
    if (conversation.state === "parked") return say("parked", { name });
    if (conversation.position === null) return say("waiting");
    const wait = conversation.estimated_wait_s;
    const minutes = Math.ceil((wait ?? 0) / 60);
    const told = wait === null ? "" : wait < 60 ? say("waitSoon") : say("wait", { minutes });
    return `${say("position", { position: conversation.position })} ${told}`.trim();
  }

  /** Below the conversation: whether to end it, how it was, how to begin anew. */
  #showFoot(foot, ended) {
    const line = this.#line;
    const say = this.#say;
    const id = line.conversation?.id;
    const rates = ended && line.conversation.asks;
    const kind = this.#ending && line.talking ? "end" : ended ? `${id} ${rates} ${this.#thanked === id}` : "";
    if (foot.dataset.kind === kind) return;
    foot.dataset.kind = kind;
    foot.hidden = kind === "";
    if (kind === "end") {
      foot.replaceChildren(
        el("p", {}, say("endSure")),
        el(
          "div",
          { class: "row" },
          el("button", { type: "button", onclick: () => this.#end() }, say("endYes")),
          el("button", { type: "button", class: "line", onclick: () => this.#askToEnd(false) }, say("endNo")),
        ),
      );
    } else if (ended) {
      const rate = (score, comment) => {
        this.#thanked = id;
        line.rate(score, comment);
      };
      foot.replaceChildren(
        rates && this.#thanked !== id ? rating(say, rate) : this.#thanked === id ? el("p", { role: "status" }, say("thanks")) : "",
        el("button", { type: "button", class: rates ? "line" : "", onclick: () => this.#beginAnew() }, say("again")),
      );
    } else {
      foot.replaceChildren();
    }
  }

  // -- what the visitor does ----------------------------------------------------------------------------------------

  #start(answers) {
    this.#answers = answers;
    this.#show();
    this.#focus();
  }

  #write() {
    const { text, grow } = this.#parts;
    if (!text.value.trim()) return;
    this.#tell(text.value);
    text.value = "";
    grow();
    this.#visitorTypes(false);
    text.focus();
  }

  #tell(text) {
    const line = this.#line;
    const message = { text };
    if (!line.talking) {
      const page = location.href.split(/[?#]/)[0].slice(0, 2000);
      Object.assign(message, { page, language: this.#language === "zh" ? "zh-CN" : "en" });
      if (this.#answers) message.form = this.#answers;
      if (line.availability !== "open" && line.site?.leave_message) message.leave = true;
    }
    line.say(message);
    this.#anew = false;
    this.#log.toEnd();
  }

  async #attach(input) {
    const file = input.files[0];
    input.value = "";
    if (!file) return;
    const say = this.#say;
    const { name } = file;
    const note = this.#log.note(say("fileSending", { name }));
    let failed = file.size > FILE_MB_MAX * 1024 * 1024 ? "fileBig" : null;
    if (!failed) await this.#line.upload(file).catch((error) => (failed = REASONS[error.code] ?? "fileFailed"));
    this.#log.unnote(note);
    if (failed) this.#log.note(say("fileBad", { name, reason: say(failed, { limit: FILE_MB_MAX }) }), true);
  }

  #visitorTypes(typing) {
    const now = Date.now();
    clearTimeout(this.#typingTimer);
    if (typing) this.#typingTimer = setTimeout(() => this.#visitorTypes(false), TYPING_MS * 2);
    if (typing ? now - this.#typed > TYPING_MS : this.#typed > 0) this.#line?.typing(typing);
    this.#typed = typing ? (now - this.#typed > TYPING_MS ? now : this.#typed) : 0;
  }

  #agentTypes(typing) {
    const { typing: shown } = this.#parts;
    clearTimeout(this.#agentTimer);
    shown.textContent = typing ? this.#say("typing", { name: this.#line.conversation?.agent?.name ?? this.#say("somebody") }) : "";
    if (typing) this.#agentTimer = setTimeout(() => this.#agentTypes(false), TYPING_SHOWN_MS);
  }

  #arrived() {
    this.#agentTypes(false);
    if (!this.hasAttribute("open")) this.#unread += 1;
  }

  #askToEnd(asks) {
    this.#ending = asks;
    this.#show();
    if (asks) this.#parts.foot.querySelector("button").focus();
    else this.#focus();
  }

  #end() {
    this.#ending = false;
    this.#line.end();
    this.#show();
  }

  #beginAnew() {
    this.#anew = true;
    this.#answers = null;
    this.#show();
    this.#focus();
  }

  #close() {
    this.removeAttribute("open");
  }

  /** On a telephone the keyboard covers the page's lower part: the chat keeps to what can be seen. */
  #fit = () => {
    const { height, offsetTop, scale } = visualViewport;
    if (scale !== 1) return; // the visitor looks closer
    this.#parts.panel.style.setProperty("--seen", `${height}px`);
    this.#parts.panel.style.setProperty("--above", `${offsetTop}px`);
  };

  #key(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    if (this.#ending) this.#askToEnd(false);
    else this.#close();
  }

  #focus() {
    const { text, composer, form, body, panel } = this.#parts;
    if (panel.hidden) return;
    const field = form.querySelector("input, select, textarea");
    (field ?? (composer.hidden ? body : text)).focus();
    this.#waitsForFocus = !this.#line.site && this.#line.state !== "refused";
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text; // said again, it would be read out again
  element.hidden = text === "";
}

if (!customElements.get("cordboard-chat")) customElements.define("cordboard-chat", CordboardChat);
