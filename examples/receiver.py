"""A receiver of webhooks: it believes what is signed, and does each event once.

python examples/receiver.py           # with WEBHOOK_SECRET (whsec_…) and PORT; needs the package standardwebhooks
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
DONE: set[str] = set()  # in earnest: a table with the id as its key, written together with what is done


class Receiver(BaseHTTPRequestHandler):
    """One request for each event."""

    def do_POST(self) -> None:
        """Check who sent it, do it unless it is done, and say so: 204 takes it, all else has it sent again."""
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            WEBHOOK.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            self.send_response(401)
        else:
            event = json.loads(body)
            if event["id"] not in DONE:
                print(event["type"], event["contact_id"], flush=True)
                DONE.add(event["id"])
            self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
