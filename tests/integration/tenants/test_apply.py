"""`cordboard apply` and `export` against a service: the plan, what is asked, and where something is wrong."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from src.cli.main import app
from tests.support.service import Client

FILE = """\
queues:
  refunds:
    overflow: {action: queue, queue: late}
    max_wait_s: 60
  late:
    hours: {time_zone: Asia/Shanghai, days: {mon: [[09:00, 18:00]]}}
rules:
  money: {when: {tags_any: [refund]}, then: {queue: refunds}}
agents:
  anna: {languages: [no], mentor_id: ben}
  ben: {mentor_id: anna}
connectors:
  crm:
    url: https://crm.example.com/{customer.id}
    secrets: {X-Key: "${env:CRM_KEY}"}
"""


class Shell:
    """The command line with a tenant's key, in a folder of its own."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._service = ["--url", client.url, "--key", client.http.headers["authorization"].removeprefix("Bearer ")]
        self.file = folder / "centre.yaml"

    async def run(self, *words: str, code: int = 0, env: dict[str, str] | None = None) -> str:
        """Run a command; gives what it printed."""
        done = await asyncio.to_thread(CliRunner().invoke, app, [*words, *self._service], env=env)
        assert code == done.exit_code, f"{done.exit_code} {done.output} {done.exception}"
        return done.output

    async def apply(self, *options: str, code: int = 0, **env: str) -> str:
        """Apply the file."""
        return await self.run("apply", str(self.file), *options, code=code, env=env)


@pytest.fixture
def shell(tenant: Client, tmp_path: Path) -> Shell:
    found = Shell(tenant, tmp_path)
    found.file.write_text(FILE, "utf-8")
    return found


async def test_a_file_is_planned_applied_and_exported(tenant: Client, shell: Shell) -> None:
    plan = await shell.apply("--plan", code=2, CRM_KEY="abc")
    assert "+ queues.refunds" in plan
    assert '    overflow.queue: "late"' in plan
    assert "    secrets.X-Key: (another secret)" in plan
    assert "abc" not in plan
    assert "6 to create, 0 to update, 0 to delete." in plan
    assert [] == (await tenant.call("GET", "/v1/agents"))["items"], "a plan changes nothing"
    assert "nobody is there to be asked" in await shell.apply(code=1, CRM_KEY="abc")
    assert "Done: 6 to create" in await shell.apply("--yes", CRM_KEY="abc")
    assert [["09:00", "18:00"]] == (await tenant.call("GET", "/v1/queues/late"))["hours"]["days"]["mon"]
    assert "Nothing would change." in await shell.apply("--plan"), "a variable that is not set changes no secret"
    for options in ((), ("--full",)):
        exported = await shell.run("export", *options)
        assert "X-Key: ${env:CONNECTORS_CRM_SECRETS_X_KEY}" in exported
        shell.file.write_text(exported, "utf-8")
        assert "Nothing would change." in await shell.apply("--plan", "--prune")


async def test_changes_are_shown_and_removals_only_made_on_demand(tenant: Client, shell: Shell) -> None:
    await shell.apply("--yes", CRM_KEY="abc")
    shell.file.write_text("queues: {refunds: {max_wait_s: 90, overflow: {action: close}}}\nrules: {}\n", "utf-8")
    plan = await shell.apply("--plan", code=2)
    assert "~ queues.refunds\n    max_wait_s: 60 → 90\n" in plan
    assert "- " not in plan.replace("→", "")
    plan = await shell.apply("--plan", "--prune", code=2)
    assert "- queues.late\n" in plan
    assert "- rules.money\n" in plan
    await shell.apply("--yes", "--prune")
    assert ["default", "refunds"] == [each["name"] for each in (await tenant.call("GET", "/v1/queues"))["items"]]
    assert ["anna", "ben"] == [each["id"] for each in (await tenant.call("GET", "/v1/agents"))["items"]]


@pytest.mark.parametrize(
    ("place", "said", "change"),
    [
        (":3:31", "queues.refunds.overflow.queue: there is no queue 'lat'", ("queue: late}", "queue: lat}")),
        (":4:5", "queues.refunds.max_wait_s: Input should be a valid integer", ("60", "soon")),
        (":10:27", "agents.anna.mentor_id: there is no agent 'eve'", ("mentor_id: ben", "mentor_id: eve")),
        (":15:15", "not stored yet: it must be given; the variable CRM_KEY is not set", ("", "")),
        (":16:1", "(not_yaml)", ('CRM_KEY}"}', 'CRM_KEY}"')),
    ],
)
async def test_errors_say_where_they_stand(
    tenant: Client, shell: Shell, place: str, said: str, change: tuple[str, str]
) -> None:
    shell.file.write_text(FILE.replace(*change) if change[0] else FILE, "utf-8")
    env = {} if "CRM_KEY" in said else {"CRM_KEY": "abc"}
    told = await shell.apply("--yes", code=1, **env)
    assert f"centre.yaml{place}" in told
    assert said in told
    assert ["default"] == [each["name"] for each in (await tenant.call("GET", "/v1/queues"))["items"]]


async def test_the_schema_is_what_is_taken(shell: Shell) -> None:
    done = await asyncio.to_thread(CliRunner().invoke, app, ["schema"])
    schema: dict[str, Any] = json.loads(done.output)
    assert {"settings", "queues", "rules", "agents", "channels", "webhooks"} < set(schema["properties"])
    assert Path("docs/configuration.schema.json").read_text("utf-8") == done.output
    assert "No such file" in await shell.run("apply", "nowhere.yaml", code=1)
