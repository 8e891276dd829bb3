// The AsyncAPI document on standard input, in AsyncAPI's own parser: how many messages it has, or what is wrong.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
for (const each of diagnostics) console.log(each.severity, each.path.join("."), each.message);
console.log(document ? `valid ${document.messages().all().length}` : "invalid");
