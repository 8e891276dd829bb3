// The credential, the stream, and what is asked for. What is shown is `state`; it is drawn at most ten times a second.

import { draw, link } from "./draw.js";
import { State } from "./state.js";
import { show } from "./why.js";
import { language, say } from "./words.js";

const KEPT = "cordboard.credential";
const DRAWN_MS = 100;
const PAGES_MAX = 10;
const PAUSE_MS_MAX = 15_000;

let state = new State();
let credential = sessionStorage.getItem(KEPT);
let reached = null; // the last number seen
let behind = null; // events that come while the lists are read
let socket = null;
let pause = 500;
let offset = 0; // the service's clock less ours
let drawn = 0;

const element = (id) => document.getElementById(id);

async function get(path) {
  const answer = await fetch(new URL(`../v1/${path}`, location.href), {
    headers: { authorization: `Bearer ${credential}` },
  });
  if (answer.status === 404 || answer.status === 410) return null;
  if (!answer.ok) throw Object.assign(new Error(path), { status: answer.status });
  return answer.json();
}

async function all(path) {
  const items = [];
  for (let page = 0, cursor = null; page < PAGES_MAX; page += 1) {
    const found = await get(`${path}${path.includes("?") ? "&" : "?"}limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...found.items);
    cursor = found.next_cursor;
    if (!cursor || !found.items.length) break;
  }
  return items;
}

/** Read all there is anew; what happens meanwhile is applied behind it. */
async function read() {
  behind = [];
  const fresh = new State();
  const states = ["offered", "active", "wrap_up", "parked", "waiting"];
  const [agents, ...contacts] = await Promise.all([all("agents"), ...states.map((each) => all(`contacts?state=${each}`))]);
  agents.forEach((each) => fresh.putAgent(each));
  contacts.flat().forEach((each) => fresh.putContact(each));
  state = fresh;
  const missed = behind;
  behind = null;
  missed.forEach(apply);
  later();
}

function apply(event) {
  if (behind) behind.push(event);
  else if (state.apply(event)) get(`agents/${encodeURIComponent(event.agent_id)}`).then((each) => each && state.putAgent(each), () => {});
  later();
}

function connect() {
  link("connecting");
  const url = new URL("../v1/stream", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const mine = (socket = new WebSocket(url, "cordboard.v1"));
  mine.onopen = () => {
    const hello = { type: "hello", token: credential };
    mine.send(JSON.stringify(reached === null ? hello : { ...hello, after: reached }));
  };
  mine.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "welcome") {
      pause = 500;
      offset = Date.parse(frame.now) - Date.now();
      link("live");
      if (!frame.resumed) {
        reached = frame.seq;
        read().catch((error) => (error.status === 401 || error.status === 403 ? leave("refused") : mine.close()));
      }
    } else if (frame.type === "event") {
      reached = frame.event.seq;
      apply(frame.event);
    } else if (frame.type === "mark") reached = frame.seq;
  };
  mine.onclose = ({ code }) => {
    if (socket !== mine) return;
    if (code === 4001 || code === 4003) return leave("refused");
    link("connecting");
    setTimeout(() => socket === mine && connect(), pause * (0.5 + Math.random()));
    pause = Math.min(PAUSE_MS_MAX, pause * 2);
  };
}

function later() {
  if (drawn) return;
  drawn = setTimeout(() => {
    drawn = 0;
    if (!element("board").hidden) redraw();
  }, DRAWN_MS);
}

/** Draw, and leave the focus where it was. */
function redraw() {
  const focused = document.activeElement?.dataset?.contact;
  const within = document.activeElement?.closest("section, ol, ul")?.id;
  draw(state, Date.now() + offset);
  if (focused) {
    const place = within ? `#${CSS.escape(within)} ` : "";
    document.querySelector(`${place}[data-contact="${CSS.escape(focused)}"]`)?.focus();
  }
}

function enter(given) {
  credential = given;
  sessionStorage.setItem(KEPT, given);
  state = new State();
  reached = null;
  for (const [id, hidden] of [["enter", true], ["board", false], ["leave", false]]) element(id).hidden = hidden;
  element("refused").textContent = "";
  connect();
  redraw();
}

function leave(word) {
  const last = socket;
  socket = credential = null;
  last?.close();
  sessionStorage.removeItem(KEPT);
  for (const [id, hidden] of [["enter", false], ["board", true], ["leave", true]]) element(id).hidden = hidden;
  element("refused").textContent = word ? say(word) : "";
  element("link").textContent = "";
  element("sums").replaceChildren();
  element("credential").value = "";
  element("credential").focus();
}

async function why(contactId) {
  try {
    show(contactId, await get(`contacts/${encodeURIComponent(contactId)}/trace`), state.agents);
  } catch {
    show(contactId, null, state.agents);
  }
}

document.documentElement.lang = language;
for (const each of document.querySelectorAll("[data-word]")) each.textContent = say(each.dataset.word);
element("leave").textContent = say("leave");
element("leave").addEventListener("click", () => leave());
element("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(element("credential").value.trim());
});
document.addEventListener("click", ({ target }) => {
  const asked = target.closest("[data-contact]")?.dataset.contact;
  if (asked) why(asked);
});
setInterval(later, 1000);
if (credential) enter(credential);
else leave();
