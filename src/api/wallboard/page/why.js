// A contact's trace in words.

import { make } from "./draw.js";
import { known, say } from "./words.js";

const dialog = document.getElementById("why");

export function show(contactId, trace, agents) {
  document.getElementById("why-title").textContent = `${say("why")} …${contactId.slice(-6)}`;
  const decisions = trace?.decisions ?? [];
  const body = document.getElementById("why-body");
  body.replaceChildren(...decisions.toReversed().map((each) => decision(each, agents)));
  if (!decisions.length) body.append(make("p", {}, say(trace ? "notrace" : "gone_contact")));
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
}

function decision(each, agents) {
  const name = (id) => agents.get(id)?.name ?? id;
  const rows = [];
  const row = (word, ...texts) => {
    if (texts.length) rows.push(make("dt", {}, say(word)), ...texts.map((text) => make("dd", {}, text)));
  };
  if (each.queue) row("queue", [each.queue, each.step ? say("step", { n: each.step }) : ""].filter(Boolean).join(", "));
  row("needs", ...(each.requirements ?? []).map((need) => `${need.skill}, ${say("level", { n: need.level })}`));
  if (each.rules?.length) row("rules", each.rules.join(", "));
  if (each.winner) row("winner", name(each.winner.agent_id));
  row("runners", ...(each.runners_up ?? []).map((other) => name(other.agent_id)));
  row("excluded", ...(each.excluded ?? []).map((few) => excluded(few, name)));
  const title = each.decision === "offered" && each.winner ? say("offered", { a: name(each.winner.agent_id) }) : say(each.decision);
  return make(
    "section", { class: "decision" },
    make("h3", {}, title, make("time", {}, new Date(each.at).toLocaleTimeString())),
    make("dl", {}, ...rows),
  );
}

function excluded(few, name) {
  const [reason, skill] = few.reason.split(/:(.*)/s);
  const words = reason === "excluded" ? say("excluded_agent") : known(reason) ? say(reason, { s: skill ?? "" }) : few.reason;
  const blanks = { n: few.count, r: words, a: name(few.example) };
  return few.count === 1 ? say("people_one", blanks) : say("people", blanks);
}
