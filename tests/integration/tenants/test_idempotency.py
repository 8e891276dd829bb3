"""Idempotency keys hold for every POST there is; lists of configuration come by pages too."""

import json
from typing import Final

from tests.integration.test_tenants_apart import asked_of, body_of, operations, things_of_the_first
from tests.support.service import Client

LOOKS: Final = {"explain_routing"}
"""What changes nothing."""

LIVE: Final = {"external"}
"""What other systems know of a customer now: it is never part of what was done."""

ORDER: Final = ("post_", "transfer", "escalate", "pause", "unpause", "resume_queue")


async def test_a_repeated_post_gets_the_first_answer_and_another_body_is_refused(client: Client) -> None:
    ids = await things_of_the_first(client)
    done, refused = set(), {}
    posts = [each for each in operations() if each[0] == "post" and each[1].startswith("/v1/") and each[2] not in LOOKS]
    for _, path, name, operation in sorted(posts, key=lambda each: not each[2].startswith(ORDER)):
        address, query = asked_of(path, operation, ids)
        body = body_of(name, ids)
        content = b"\x89PNG\r\n\x1a\n" + b"0" * 64 if body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if body is None else "application/json"
        headers = {"idempotency-key": f"once {name}", "content-type": kind}
        first, again, other = [
            await client.http.post(address, params=query, content=each, headers=headers)
            for each in (content, content, content + b" ")
        ]
        if not first.is_success:
            refused[name] = first.text
            continue
        done.add(name)
        differs = {key for key, value in first.json().items() if again.json().get(key) != value} - LIVE
        assert (first.status_code, set()) == (again.status_code, differs), (name, first.text, again.text)
        assert (422, "idempotency_mismatch") == (other.status_code, other.json()["code"]), (name, other.text)
    assert len(done) >= 22, (sorted(done), refused)
    assert {"post_contact", "post_contacts", "post_message", "post_media", "post_key", "post_token"} <= done
    assert {"post_progress_link", "rotate_key", "post_collaboration", "merge_customers"} <= done


async def test_lists_of_configuration_come_by_pages(client: Client) -> None:
    names = [f"q{each}" for each in range(5)]
    for name in names:
        await client.call("PUT", f"/v1/queues/{name}", json={})
        await client.call("PUT", f"/v1/tags/{name}", json={})
        await client.call("POST", "/v1/keys", json={"name": name, "scopes": ["events:read"]})
    for kind, key, expected in (("queues", "name", ["default", *names]), ("tags", "name", names), ("keys", "id", None)):
        whole = [each[key] for each in (await client.call("GET", f"/v1/{kind}"))["items"]]
        assert whole == (expected or sorted(whole))
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await client.call("GET", f"/v1/{kind}?limit=2" + (f"&cursor={cursor}" if cursor else ""))
            assert len(page["items"]) <= 2
            found += [each[key] for each in page["items"]]
            cursor = page["next_cursor"]
        assert whole == found, kind
        await client.call("GET", f"/v1/{kind}?limit=0", 422)
