// The line to the service: a session, a socket that comes back by itself, and what has not been sent yet.
//
// Events: `changed` (anything that is shown is another), `arrived` (an agent's message), `typing`. Whatever the visitor
// writes stays in `pending` until the service has said that it is kept; it is sent again, under the same id, whenever
// a socket has been opened. So nothing is lost and, since the service knows the id, nothing doubled.

const PROTOCOL = "cordboard.webchat.v1";
const QUIET_MS = 20_000; // so long after the last frame the service is asked whether it is there
const ANSWER_MS = 10_000;
const PAUSE_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];
const EARLY_MS = 60_000; // a token that is over so soon is not used any more
const TOKEN = 4001;
const PENDING_MAX = 50;
const FILE_NAME_CHARS = 128;

/** Halves of characters, which nothing takes, are replaced: a limit may have cut one in two. */
export const whole = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export class Connection extends EventTarget {
  /** `state`: `idle`, `connecting`, `online`, `offline`, or `refused`: this page may not chat. */
  state = "idle";
  site = null;
  availability = "open";
  conversation = null;
  messages = new Map();
  pending = [];
  identity = null;

  #address;
  #key;
  #token = null;
  #expires = 0;
  #number = null;
  #socket = null;
  #tries = 0;
  #timer = 0;
  #watch = 0;
  #inFlight = null;
  #seen = 0;

  /** `address` is the account's: `https://chat.example/channels/webchat/shop`. */
  constructor(address) {
    super();
    this.#address = address;
    this.#key = `cordboard ${address}`;
    this.pending = (this.#kept().pending ?? []).map(({ problem, ...said }) => said); // it is tried again
  }

  /** Whether this visitor has been here before, and may have something going on. */
  get known() {
    return Boolean(this.#kept().resume && this.#kept().talked);
  }

  /** Whether a conversation goes on. */
  get talking() {
    return this.conversation !== null && this.conversation.state !== "ended";
  }

  open() {
    if (this.state !== "idle") return;
    addEventListener("online", this.#back);
    addEventListener("offline", this.#gone);
    addEventListener("storage", this.#elsewhere);
    document.addEventListener("visibilitychange", this.#looked);
    this.#connect();
  }

  close() {
    removeEventListener("online", this.#back);
    removeEventListener("offline", this.#gone);
    removeEventListener("storage", this.#elsewhere);
    document.removeEventListener("visibilitychange", this.#looked);
    clearTimeout(this.#timer);
    this.#hangUp();
    this.#become("idle");
  }

  /** Write something; gives the id under which it is sent. */
  say(message) {
    const said = { id: newId(), at: new Date().toISOString(), ...message, text: whole(message.text) };
    this.pending = [...this.pending, said].slice(-PENDING_MAX);
    this.#keepPending();
    this.#changed();
    this.#flush();
    return said.id;
  }

  /** Send again what was refused. */
  retry(id) {
    this.pending = this.pending.map((each) => (each.id === id ? { ...each, problem: null } : each));
    this.#flush();
    this.#changed();
  }

  /** Take back what was refused. */
  drop(id) {
    this.pending = this.pending.filter((each) => each.id !== id);
    this.#keepPending(id);
    this.#changed();
  }

  typing(typing) {
    if (this.conversation?.state === "active") this.#send({ type: "typing", typing });
  }

  end() {
    this.#send({ type: "end", id: this.conversation?.id });
  }

  rate(score, comment) {
    this.#send({ type: "rating", id: this.conversation?.id, score, ...(comment ? { comment: whole(comment) } : {}) });
  }

  /** Everything that has come so far has been seen. */
  seen() {
    const last = Math.max(0, ...[...this.messages.values()].filter((each) => each.from !== "visitor").map((each) => each.number));
    if (last > this.#seen && this.#send({ type: "seen", number: last })) this.#seen = last;
  }

  /** Send a file: gives its message, or throws an error whose `code` says why it cannot be. */
  async upload(file) {
    await this.#session();
    const address = `${this.#address}/files?name=${encodeURIComponent(whole(file.name.slice(-FILE_NAME_CHARS)))}&id=${newId()}`;
    const type = file.type || "application/octet-stream";
    const answer = await fetch(address, {
      method: "POST",
      body: file,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": type },
    });
    if (!answer.ok) throw Object.assign(new Error("refused"), { code: (await answer.json()).code });
    this.#sync();
  }

  /** What a file of a message is, as an address that holds for some time. */
  async fetchFile(mediaId) {
    await this.#session();
    const answer = await fetch(`${this.#address}/files/${mediaId}`, {
      headers: { authorization: `Bearer ${this.#token}` },
    });
    if (!answer.ok) throw new Error("refused");
    return URL.createObjectURL(await answer.blob());
  }

  // -- coming and going ---------------------------------------------------------------------------------------------

  #back = () => {
    this.#tries = 0;
    if (this.state === "offline" || this.state === "connecting") this.#connect();
  };

  #gone = () => this.#lost(0);

  #elsewhere = (event) => {
    if (event.key === this.#key) this.#sync();
  };

  #looked = () => {
    if (document.visibilityState === "visible") this.#sync();
  };

  #become(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("changed"));
  }

  async #connect() {
    clearTimeout(this.#timer);
    this.#hangUp();
    if (this.state !== "offline") this.#become("connecting");
    const mine = (this.#socket = {});
    try {
      await this.#session();
    } catch (error) {
      if (this.#socket !== mine) return;
      if (error.refused) this.#become("refused");
      else this.#lost(0);
      return;
    }
    if (this.#socket !== mine) return;
    const socket = (this.#socket = new WebSocket(`${this.#address.replace(/^http/, "ws")}/socket`, PROTOCOL));
    socket.onopen = () => {
      const after = this.#number === null ? {} : { after: this.#number };
      socket.send(JSON.stringify({ type: "hello", token: this.#token, ...after }));
      this.#listen(ANSWER_MS);
    };
    socket.onmessage = (event) => this.#socket === socket && this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#socket === socket && this.#lost(event.code);
  }

  /** A token that is good for some time yet. Tabs begin one after the other: the second goes on as the first's visitor. */
  async #session() {
    if (this.#token !== null && Date.now() < this.#expires - EARLY_MS) return;
    const waits = { signal: AbortSignal.timeout(ANSWER_MS) };
    await (navigator.locks ? navigator.locks.request(this.#key, waits, () => this.#renew()) : this.#renew());
  }

  async #renew() {
    const identity = typeof this.identity === "function" ? await this.identity() : this.identity;
    let body = identity ? { identity } : this.#kept().resume ? { resume: this.#kept().resume } : {};
    let answer = await this.#begin(body);
    if (answer.status === 401 && body.resume) answer = await this.#begin((body = {}));
    if (!answer.ok) throw Object.assign(new Error("no session"), { refused: answer.status < 500 && answer.status !== 429 });
    const found = await answer.json();
    this.#token = found.token;
    this.#expires = Date.parse(found.expires_at);
    this.site = found.site;
    this.availability = found.availability;
    if (found.resume) this.#keep({ resume: found.resume });
    this.#changed();
  }

  #begin(body) {
    return fetch(`${this.#address}/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  }

  #hangUp() {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    this.#inFlight = null;
    socket?.close?.();
  }

  #lost(code) {
    if (this.state === "idle" || this.state === "refused") return;
    this.#hangUp();
    if (code === TOKEN) this.#token = null;
    this.#become("offline");
    clearTimeout(this.#timer);
    if (!navigator.onLine) return;
    const pause = PAUSE_MS[Math.min(this.#tries++, PAUSE_MS.length - 1)];
    this.#timer = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
  }

  /** Ask a service that has been silent for so long whether it is there; if it says nothing, it is not. */
  #listen(patience = QUIET_MS) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      if (patience === ANSWER_MS) this.#lost(0);
      else if (this.#send({ type: "ping" })) this.#listen(ANSWER_MS);
    }, patience);
  }

  // -- frames -------------------------------------------------------------------------------------------------------

  #send(frame) {
    if (this.state !== "online" || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #sync() {
    this.#send({ type: "sync" });
  }

  #hear(frame) {
    this.#listen();
    if (typeof frame.number === "number" && frame.type !== "kept") this.#number = Math.max(this.#number ?? 0, frame.number);
    if ("conversation" in frame) this.conversation = frame.conversation;
    if ("availability" in frame) this.availability = frame.availability;
    for (const message of frame.messages ?? (frame.message ? [frame.message] : [])) this.#take(message, frame.type);
    if (frame.type === "welcome") {
      this.#tries = 0;
      this.#become("online");
      this.#flush();
    } else if (frame.type === "kept") {
      this.#settled(frame.client_id, frame);
    } else if (frame.type === "refused") {
      this.#refused(frame);
    } else if (frame.type === "rated" && this.conversation) {
      this.conversation = { ...this.conversation, rated: frame.score, asks: false };
    } else if (frame.type === "typing") {
      this.dispatchEvent(new CustomEvent("typing", { detail: frame.typing }));
      return;
    }
    this.#changed();
  }

  #take(message, how) {
    const news = !this.messages.has(message.id);
    this.messages.set(message.id, message);
    if (message.client_id) this.#settled(message.client_id);
    if (news && message.from !== "visitor" && how === "message") {
      this.dispatchEvent(new CustomEvent("arrived", { detail: message }));
    }
  }

  /** Send what has not been kept yet: one after the other, so that the order stays. */
  #flush() {
    if (this.#inFlight !== null || this.pending.some((each) => each.problem?.waits)) return;
    const next = this.pending.find((each) => !each.problem);
    if (!next) return;
    const { at, problem, ...message } = next;
    if (this.#send({ type: "message", ...message })) this.#inFlight = next.id;
  }

  #settled(id, kept) {
    const said = this.pending.find((each) => each.id === id);
    if (said) {
      this.pending = this.pending.filter((each) => each.id !== id);
      this.#keepPending(id);
      this.#keep({ talked: true });
      if (kept && !this.messages.has(kept.id)) {
        const { text, at } = said;
        this.messages.set(kept.id, { id: kept.id, client_id: id, number: kept.number, from: "visitor", kind: "text", text, payload: {}, at });
      }
    }
    if (this.#inFlight === id) this.#inFlight = null;
    this.#flush();
  }

  #refused(frame) {
    if (frame.id === null || frame.id !== this.#inFlight) return;
    const again = frame.problem.retry_after_s;
    const problem = again ? { code: frame.problem.code, waits: true } : frame.problem;
    this.pending = this.pending.map((each) => (each.id === frame.id ? { ...each, problem } : each));
    this.#inFlight = null;
    if (again) setTimeout(() => this.retry(frame.id), again * 1_000);
    else this.#flush();
  }

  // -- what the browser keeps ---------------------------------------------------------------------------------------

  #kept() {
    try {
      return JSON.parse(localStorage.getItem(this.#key) ?? "{}");
    } catch {
      return {}; // a browser that keeps nothing, or something that is not ours
    }
  }

  /** Keep what has not been sent, beside what another tab has not; `gone` no longer. */
  #keepPending(gone) {
    const mine = new Set([gone, ...this.pending.map((each) => each.id)]);
    const others = (this.#kept().pending ?? []).filter((each) => !mine.has(each.id));
    this.#keep({ pending: [...others, ...this.pending].slice(-PENDING_MAX) });
  }

  #keep(more) {
    try {
      localStorage.setItem(this.#key, JSON.stringify({ ...this.#kept(), ...more }));
    } catch {
      // then the visitor is a stranger again after the next reload
    }
  }
}
