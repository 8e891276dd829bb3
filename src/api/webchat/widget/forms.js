// The two forms around a chat: what is asked before it, and how it was.

import { whole } from "./connection.js";
import { el, icon } from "./dom.js";
import { own } from "./words.js";

const TYPES = { email: "email", phone: "tel", text: "text" };

/** The questions before the chat. `start` gets the answers by name. */
export function questions(fields, language, say, start) {
  const rows = fields.map((field, place) => row(field, `field-${place}`, language, say));
  const submit = (event) => {
    event.preventDefault();
    const missing = rows.filter((each) => !each.check());
    if (missing.length) return missing[0].input.focus();
    start(Object.fromEntries(rows.map((each) => [each.name, whole(each.input.value.trim())]).filter(([, answer]) => answer)));
  };
  const form = el("form", { class: "fields", novalidate: true, onsubmit: submit });
  form.append(...rows.map((each) => each.element), el("button", { type: "submit" }, say("start")));
  return form;
}

function row(field, id, language, say) {
  const shared = { id, name: field.name, required: field.required, "aria-describedby": `${id}-wrong` };
  const input =
    field.kind === "choice"
      ? el("select", shared, el("option", { value: "" }, say("choose")), ...field.options.map((each) => el("option", { value: each }, each)))
      : field.kind === "long"
        ? el("textarea", { ...shared, rows: 3, maxlength: 1000, dir: "auto" })
        : el("input", { ...shared, type: TYPES[field.kind], maxlength: 1000, dir: "auto" });
  const wrong = el("p", { id: `${id}-wrong`, role: "alert" });
  const check = () => {
    const good = input.value.trim() ? input.checkValidity() : !field.required;
    input.setAttribute("aria-invalid", String(!good));
    wrong.textContent = good ? "" : say(input.value.trim() ? "badEmail" : "required"); // not in the browser's words: its language may be another
    return good;
  };
  const label = el("label", { for: id }, own(field.label, language), field.required ? " *" : "");
  return { name: field.name, input, check, element: el("div", {}, label, input, wrong) };
}

/** How it was: one to five, and a word if the visitor likes. */
export function rating(say, send) {
  const stars = [1, 2, 3, 4, 5].map((score) =>
    el("label", {}, el("input", { type: "radio", name: "score", value: score, required: true, "aria-label": say("star", { score }) }), icon("star")),
  );
  const comment = el("textarea", { id: "comment", rows: 2, maxlength: 2000, dir: "auto" });
  const more = el(
    "div",
    { class: "fields", hidden: true },
    el("div", {}, el("label", { for: "comment" }, say("comment")), comment),
    el("button", { type: "submit" }, say("rateSend")),
  );
  const submit = (event) => {
    event.preventDefault();
    const chosen = event.target.elements.score.value;
    if (chosen) send(Number(chosen), comment.value.trim());
  };
  return el(
    "form",
    { class: "fields", onsubmit: submit, onchange: () => (more.hidden = false) },
    el("fieldset", {}, el("legend", {}, say("rate")), el("div", { class: "stars" }, ...stars)),
    more,
  );
}
