// How the widget looks. A constructed style sheet is not inline: it works under a strict Content-Security-Policy.

export const sheet = new CSSStyleSheet();

sheet.replaceSync(`
:host {
  --accent: var(--cordboard-accent, #1257a8);
  --on-accent: var(--cordboard-on-accent, #fff);
  --fill: var(--accent); --on-fill: var(--on-accent);
  --ground: #fff; --raised: #eff2f6; --text: #16202b; --soft: #55616e; --line: #dbe1e8; --edge: #7b8794;
  --alarm: #a61b1b; --warn: #fff3d6; --on-warn: #5b4100; --there: #178344; --wait: #b36b00;
  all: initial; position: fixed; inset-block-end: 20px; inset-inline-end: 20px; z-index: 2147483000;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  color: var(--text); color-scheme: light;
}
@media (prefers-color-scheme: dark) { :host(:not([theme="light"])) { --accent: var(--cordboard-accent, #7db4f5);
  --on-accent: var(--cordboard-on-accent, #0b1a2b); --fill: var(--cordboard-accent, #1f4f8a);
  --on-fill: var(--cordboard-on-accent, #fff); --ground: #151b22; --raised: #26303b; --text: #e8edf2; --soft: #a9b4bf;
  --line: #2f3944; --edge: #7d8a97; --alarm: #ff9d9d; --warn: #4a3a10; --on-warn: #ffe9b0; --there: #5fd08f;
  --wait: #f0b352; color-scheme: dark; } }
:host([theme="dark"]) { --accent: var(--cordboard-accent, #7db4f5); --on-accent: var(--cordboard-on-accent, #0b1a2b);
  --fill: var(--cordboard-accent, #1f4f8a); --on-fill: var(--cordboard-on-accent, #fff); --ground: #151b22;
  --raised: #26303b; --text: #e8edf2; --soft: #a9b4bf; --line: #2f3944; --edge: #7d8a97; --alarm: #ff9d9d;
  --warn: #4a3a10; --on-warn: #ffe9b0; --there: #5fd08f; --wait: #f0b352; color-scheme: dark; }
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
button, input, select, textarea { font: inherit; color: inherit; }
button { min-block-size: 44px; border: 0; border-radius: 10px; padding: 8px 16px; background: var(--accent);
  color: var(--on-accent); cursor: pointer; font-weight: 600; transition: filter .12s; }
button:hover { filter: brightness(1.08); }
button.quiet { background: transparent; color: var(--text); font-weight: 400; }
button.line { background: transparent; color: var(--accent); border: 1px solid var(--line); }
button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
header :focus-visible { outline-color: var(--on-fill); outline-offset: -4px; }
svg { inline-size: 24px; block-size: 24px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round;
  stroke-linejoin: round; display: block; }
.launcher { display: flex; align-items: center; gap: 10px; min-block-size: 52px; border-radius: 26px; padding: 0 20px;
  box-shadow: 0 4px 16px rgb(0 0 0 / .25); }
.badge { min-inline-size: 24px; padding: 0 7px; border-radius: 12px; background: var(--on-accent); color: var(--accent);
  text-align: center; }
.panel { display: flex; flex-direction: column; inline-size: 380px; block-size: min(600px, calc(100vh - 40px));
  block-size: min(600px, calc(100dvh - 40px)); background: var(--ground); border: 1px solid var(--line);
  border-radius: 16px; overflow: hidden; box-shadow: 0 12px 40px rgb(0 0 0 / .3); }
header { display: flex; align-items: center; gap: 4px; padding: 6px 8px 6px 16px; background: var(--fill);
  color: var(--on-fill); }
header h2 { flex: 1; margin: 0; font-size: 16px; font-weight: 600; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
header button { padding: 8px 10px; background: transparent; color: inherit; font-weight: 400; }
.notice { margin: 0; padding: 8px 16px; background: var(--warn); color: var(--on-warn); font-size: 14px; }
.status { position: relative; margin: 0; padding: 8px 16px 8px 34px; color: var(--soft); font-size: 14px;
  unicode-bidi: plaintext; border-block-end: 1px solid var(--line); }
.status::before { content: ""; position: absolute; inset-inline-start: 17px; inset-block-start: 15px; inline-size: 8px;
  block-size: 8px; border-radius: 50%; background: var(--edge); }
.status[data-state="active"]::before { background: var(--there); }
.status[data-state="waiting"]::before, .status[data-state="parked"]::before { background: var(--wait); }
.body { flex: 1; min-block-size: 0; overflow-y: auto; overscroll-behavior: contain; padding: 16px; }
ol { list-style: none; margin: 0; padding: 0; display: flex; flex-direction: column; }
li { max-inline-size: 85%; margin-block-end: 12px; align-self: flex-start; }
li.own { align-self: flex-end; }
li.middle { align-self: center; text-align: center; }
li.joined { margin-block-end: 3px; }
.bubble { inline-size: fit-content; max-inline-size: 100%; padding: 9px 13px; border-radius: 16px;
  border-end-start-radius: 4px; background: var(--raised); white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: plaintext; }
.own .bubble { margin-inline-start: auto; background: var(--fill); color: var(--on-fill); border-radius: 16px;
  border-end-end-radius: 4px; }
.joined .bubble { border-radius: 16px; }
.bubble a { color: inherit; }
.bubble.picture { padding: 0; overflow: hidden; background: var(--raised); color: var(--text);
  border: 1px solid var(--line); }
.bubble img { display: block; min-inline-size: 48px; min-block-size: 48px; max-inline-size: 100%; max-block-size: 240px;
  object-fit: contain; }
.bubble button { min-block-size: 36px; padding: 6px 12px; background: var(--ground); color: var(--accent);
  border: 1px solid var(--line); font-weight: 400; text-align: start; overflow-wrap: anywhere; }
.bubble .file { display: flex; align-items: center; gap: 8px; padding: 0; border: 0; background: transparent;
  color: inherit; text-decoration: underline; }
.file svg { flex: none; inline-size: 20px; block-size: 20px; }
.choices { display: flex; flex-direction: column; gap: 6px; padding-block: 6px; }
.meta { margin: 3px 4px 0; font-size: 12px; color: var(--soft); }
.own .meta { text-align: end; }
.meta.bad { color: var(--alarm); }
.meta button { min-block-size: 28px; padding: 0 6px; background: transparent; color: var(--accent);
  text-decoration: underline; font-size: 12px; }
.greeting { inline-size: fit-content; max-inline-size: 85%; margin: 0 0 14px; padding: 9px 13px; border-radius: 16px;
  border-end-start-radius: 4px; background: var(--raised); white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: plaintext; }
.typing { min-block-size: 22px; margin: 0; padding: 0 16px; font-size: 13px; color: var(--soft); unicode-bidi: plaintext; }
form.composer { display: flex; align-items: flex-end; gap: 6px; padding: 10px 10px max(10px, env(safe-area-inset-bottom));
  border-block-start: 1px solid var(--line); }
.composer label.write { flex: 1; min-inline-size: 0; }
textarea, input, select { inline-size: 100%; min-block-size: 44px; padding: 9px 12px; border: 1px solid var(--edge);
  border-radius: 10px; background: var(--ground); }
:is(textarea, input, select):focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
[aria-invalid="true"] { border-color: var(--alarm); }
::placeholder { color: var(--soft); opacity: 1; }
textarea { display: block; resize: none; max-block-size: 160px; }
.composer button { padding: 8px 10px; }
.composer [type="submit"] { border-radius: 50%; }
.write:has(:placeholder-shown) + [type="submit"] { background: var(--raised); color: var(--soft); }
.composer svg { inline-size: 22px; block-size: 22px; }
.fields { display: flex; flex-direction: column; gap: 14px; }
.fields label, .fields legend { display: block; margin-block-end: 4px; font-weight: 600; }
.fields p { margin: 4px 0 0; color: var(--alarm); font-size: 14px; }
.foot { display: flex; flex-direction: column; gap: 10px; padding: 14px 16px; border-block-start: 1px solid var(--line); }
.foot p { margin: 0; }
.row { display: flex; gap: 10px; }
.row > * { flex: 1; }
fieldset { border: 0; margin: 0; padding: 0; }
fieldset legend { inline-size: 100%; text-align: center; }
.stars { display: flex; justify-content: center; gap: 6px; }
.stars label { position: relative; display: grid; place-items: center; inline-size: 44px; block-size: 44px; color: var(--soft);
  cursor: pointer; border-radius: 10px; font-weight: 400; margin: 0; }
.stars input { position: absolute; inset: 0; opacity: 0; inline-size: 44px; min-block-size: 44px; margin: 0; cursor: pointer; }
.stars label:has(:focus-visible) { outline: 3px solid var(--accent); }
.stars label:has(~ label :checked), .stars label:has(:checked) { color: var(--accent); }
.stars label:has(~ label :checked) svg, .stars label:has(:checked) svg { fill: currentColor; }
.hidden, .joined .meta { position: absolute; inline-size: 1px; block-size: 1px; margin: -1px; padding: 0; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; border: 0; min-block-size: 0; }
@media (max-width: 480px) {
  :host([open]) { inset: 0; }
  .panel { inline-size: 100%; block-size: 100vh; block-size: var(--seen, 100dvh); margin-block-start: var(--above, 0); border: 0;
    border-radius: 0; }
  textarea, input, select { font-size: 16px; }
}
@media (forced-colors: active) {
  .bubble, .greeting, .launcher, .composer [type="submit"] { border: 1px solid; }
  .status::before { forced-color-adjust: none; }
}
@media (prefers-reduced-motion: no-preference) { .panel { animation: rise .18s ease-out; } }
@keyframes rise { from { transform: translateY(12px); opacity: 0; } }
`);
