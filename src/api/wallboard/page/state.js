// What there is, and what each event does to it. No page, no network.

export const TOLD_MAX = 60;
const WAITING = new Set(["contact.requeued", "contact.resumed", "contact.transferred"]);

export class State {
  constructor() {
    this.contacts = new Map(); // by id: state, queue, channel, tags, priority, agent, since, at
    this.agents = new Map(); // by id: name, status, connected, paused, capacity
    this.told = []; // the newest events about contacts, newest first
  }

  /** A contact as REST shows it. */
  putContact(shown) {
    const holder = shown.assignment && ["offered", "active", "wrap_up", "parked"].includes(shown.assignment.state);
    this.contacts.set(shown.id, {
      id: shown.id, state: shown.state, queue: shown.queue, channel: shown.channel, tags: shown.tags,
      priority: shown.priority, flags: [...shown.flags, ...shown.alarms.map((each) => each.name)], agent: holder ? shown.assignment.agent_id : null,
      since: Date.parse(shown.created_at), at: Date.parse(shown.updated_at),
    });
  }

  /** An agent as REST shows it. */
  putAgent(shown) {
    const { status, connected, paused } = shown.presence;
    this.agents.set(shown.id, { id: shown.id, name: shown.name || shown.id, status, connected, paused });
  }

  /** What follows from an event; true if an agent must be asked for anew. */
  apply(event) {
    const { type, data } = event;
    if (type === "agent.presence") {
      const agent = this.agents.get(event.agent_id);
      if (agent) Object.assign(agent, { status: data.status, connected: data.connected });
    } else if (type === "agent.paused" || type === "agent.unpaused") {
      const agent = this.agents.get(event.agent_id);
      if (agent) agent.paused = type === "agent.paused";
    } else if (type === "agent.deleted") {
      this.agents.delete(event.agent_id);
    }
    if (event.contact_id) {
      const before = this.contacts.get(event.contact_id);
      this.#ofContact(event, Date.parse(event.at));
      if (type.startsWith("message.")) return false;
      this.told.unshift({ ...event, tags: data.tags ?? before?.tags ?? [] });
      this.told.length = Math.min(this.told.length, TOLD_MAX);
    }
    return type === "agent.updated";
  }

  #ofContact(event, at) {
    const { type, data, contact_id: id } = event;
    if (type === "contact.received") {
      this.contacts.set(id, {
        id, state: "waiting", queue: data.queue, channel: data.channel, tags: data.tags, priority: data.priority,
        flags: [], agent: null, since: at, at,
      });
      return;
    }
    const contact = this.contacts.get(id);
    if (!contact || at < contact.at) return; // it was read after this happened
    contact.at = at;
    if (data.queue && type !== "contact.waiting") contact.queue = data.queue;
    if (data.tags) contact.tags = data.tags;
    if (typeof data.priority === "number") contact.priority = data.priority;
    if (type === "contact.offered") Object.assign(contact, { state: "offered", agent: event.agent_id });
    else if (type === "contact.active") Object.assign(contact, { state: "active", agent: event.agent_id });
    else if (WAITING.has(type)) Object.assign(contact, { state: "waiting", agent: null });
    else if (type === "contact.parked") contact.state = "parked";
    else if (type === "assignment.wrap_up") contact.state = "wrap_up";
    else if (type === "contact.flagged") contact.flags = [...contact.flags, data.flag];
    else if (type === "contact.alarm") contact.flags = [...contact.flags, data.name];
    else if (type === "contact.escalated") contact.flags = [...contact.flags, "escalated"];
    else if (type === "contact.closed") this.contacts.delete(id);
  }

  /** The contacts that nobody has yet, by queue, each in the order of its rank. */
  waiting() {
    const queues = new Map();
    for (const each of this.contacts.values()) {
      if (each.state !== "waiting") continue;
      if (!queues.has(each.queue)) queues.set(each.queue, []);
      queues.get(each.queue).push(each);
    }
    const rank = (contact) => contact.since - contact.priority * 1000;
    for (const each of queues.values()) each.sort((a, b) => rank(a) - rank(b));
    return [...queues].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** The contacts of each agent that has some. */
  held() {
    const agents = new Map();
    for (const each of this.contacts.values()) {
      if (each.agent === null || each.state === "waiting") continue;
      if (!agents.has(each.agent)) agents.set(each.agent, []);
      agents.get(each.agent).push(each);
    }
    return agents;
  }
}
