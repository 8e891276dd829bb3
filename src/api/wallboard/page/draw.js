// From the state to the page.

import { known, say, span } from "./words.js";

const SHOWN_MAX = 30;
const MARKS = { escalated: "★", repeat: "↻", callback: "↩" };
const ids = ["link", "sums", "queues", "agents", "told"];
const at = Object.fromEntries(ids.map((id) => [id, document.getElementById(id)]));

/** An element with attributes and children; text is never read as HTML. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((each) => each !== null));
  return element;
}

export function link(name) {
  at.link.textContent = say(name);
  at.link.className = name;
}

export function draw(state, now) {
  const queues = state.waiting();
  const held = state.held();
  drawSums(state, queues, now);
  drawQueues(queues, now);
  drawAgents(state, held, now);
  const news = state.told.map((each) => told(state, each)).filter(Boolean);
  at.told.replaceChildren(...(news.length ? news : [make("li", { class: "empty" }, say("nothing_yet"))]));
}

function drawSums(state, queues, now) {
  const waiting = queues.flatMap(([, contacts]) => contacts);
  const there = [...state.agents.values()].filter((each) => each.status === "available" && each.connected);
  const served = [...state.contacts.values()].filter((each) => ["active", "wrap_up"].includes(each.state));
  const oldest = Math.min(...waiting.map((each) => each.since));
  const sums = {
    sum_waiting: waiting.length, sum_oldest: waiting.length ? span(now - oldest) : "–",
    sum_served: served.length, sum_agents: there.length,
  };
  at.sums.replaceChildren(
    ...Object.entries(sums).map(([name, value]) => make("div", {}, make("dt", {}, say(name)), make("dd", {}, `${value}`))),
  );
}

function drawQueues(queues, now) {
  if (!queues.length) {
    at.queues.replaceChildren(make("p", { class: "empty" }, say("nobody")));
    return;
  }
  at.queues.replaceChildren(
    ...queues.map(([name, contacts]) => {
      const rest = contacts.length - SHOWN_MAX;
      return make(
        "section", { class: "queue" },
        make("h3", {}, name, make("span", { class: "count" }, `${contacts.length}`)),
        make("ul", {}, ...contacts.slice(0, SHOWN_MAX).map((each) => make("li", {}, chip(each, now)))),
        rest > 0 ? make("p", { class: "hint" }, say("more", { n: rest })) : null,
      );
    }),
  );
}

function drawAgents(state, held, now) {
  const agents = [...state.agents.values()].sort((a, b) => order(a, held) - order(b, held) || (a.id < b.id ? -1 : 1));
  at.agents.replaceChildren(
    ...agents.map((agent) => {
      const word = presence(agent);
      const contacts = held.get(agent.id) ?? [];
      return make(
        "li", { class: `agent ${word}` },
        make("h3", {}, agent.name, make("span", { class: "presence" }, say(word))),
        make("ul", {}, ...contacts.map((each) => make("li", {}, chip(each, now)))),
        contacts.length || word !== "available" ? null : make("p", { class: "empty" }, say("free")),
      );
    }),
  );
  if (!agents.length) at.agents.append(make("li", { class: "empty" }, say("none")));
}

function order(agent, held) {
  if (held.has(agent.id)) return 0;
  return ["available", "paused", "gone", "away", "offline"].indexOf(presence(agent)) + 1;
}

function presence(agent) {
  if (agent.status !== "offline" && agent.paused) return "paused";
  if (agent.status === "available" && !agent.connected) return "gone";
  return agent.status;
}

function chip(contact, now) {
  const nameless = contact.tags.length ? "" : " nameless";
  const tags = contact.tags.join(" · ") || `…${contact.id.slice(-6)}`;
  const marks = [...new Set(contact.flags.map((flag) => MARKS[flag] ?? "!"))].join("");
  const label = [contact.channel, tags, contact.state, ...contact.flags, say("why")].join(", ");
  return make(
    "button", { type: "button", class: `chip ${contact.state}`, "data-contact": contact.id, "aria-label": label },
    make("span", { class: "channel" }, say(contact.channel)),
    make("span", { class: `tags${nameless}` }, marks ? `${marks} ${tags}` : tags),
    make("time", {}, span(now - contact.since)),
  );
}

function told(state, event) {
  if (!known(event.type)) return null;
  const { data } = event;
  const agent = event.agent_id && (state.agents.get(event.agent_id)?.name ?? event.agent_id);
  const words = say(event.type, { a: agent, f: data.flag, n: data.name, o: data.outcome, p: say(data.status ?? "") });
  const tags = event.tags.join(" · ");
  const time = new Date(event.at).toLocaleTimeString();
  return make(
    "li", {},
    make("time", {}, time),
    make(
      "button", { type: "button", class: "line", "data-contact": event.contact_id },
      make("b", {}, tags || event.contact_id.slice(-6)), " ", words,
    ),
  );
}
