// The same receiver in JavaScript: node receiver.mjs, with WEBHOOK_SECRET and PORT; needs the package standardwebhooks.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const done = new Set(); // in earnest: a table with the id as its key, written together with what is done

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let event;
  try {
    event = webhook.verify(Buffer.concat(chunks).toString(), request.headers);
  } catch {
    response.writeHead(401).end();
    return;
  }
  if (!done.has(event.id)) {
    console.log(event.type, event.contact_id);
    done.add(event.id);
  }
  response.writeHead(204).end();
}).listen(Number(process.env.PORT), "127.0.0.1");
