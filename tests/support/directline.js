// Speaks Direct Line with Microsoft's own client: activities to send come as lines of JSON, what it hears goes out so.
// Needs `botframework-directlinejs`, `ws` and `xhr2` beside it: `make test-directline` brings them.

globalThis.XMLHttpRequest = require("xhr2");
globalThis.WebSocket = require("ws");
const { DirectLine } = require("botframework-directlinejs");

const [domain, token] = process.argv.slice(2);
const line = new DirectLine({ token, domain, webSocket: true });
const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

line.connectionStatus$.subscribe((status) => tell({ status }));
line.activity$.subscribe((activity) => tell({ activity }), (error) => tell({ error: String(error) }));
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (text) => {
    line.postActivity(JSON.parse(text)).subscribe((id) => tell({ posted: id }), (error) => tell({ error: String(error) }));
  });
