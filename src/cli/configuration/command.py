"""`cordboard apply` and `export`: a tenant's configuration as one file, over the public API."""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from src.cli.configuration.document import BadDocument, Document, read, write
from src.errors import StartupError

if TYPE_CHECKING:
    from src.client import Client, Configured, Declined

CHANGES: Final = 2
"""The exit code of a plan that would change something."""

_PLACEHOLDER: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_WITH_SECRETS: Final = ("channels", "connectors")

_Url = Annotated[str, typer.Option(help="the service; empty: this machine at CORDBOARD_PORT")]
_Key = Annotated[str, typer.Option(help="an API key; empty: CORDBOARD_ADMIN_KEY", show_default=False)]


def apply(  # typer calls it by name
    file: Annotated[Path, typer.Argument(help="the configuration, as `cordboard export` prints it; -: standard input")],
    plan: Annotated[bool, typer.Option("--plan", help="only show; exit code 2 if something would change")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="remove what is missing from the file's sections")] = False,
    url: _Url = "",
    key: _Key = "",
) -> None:
    """Make a tenant's configuration what a file says: all of it, or nothing.

    Sections that the file does not have are left alone. A secret is `${env:NAME}`; where that variable is not set, the
    secret stays as it is.
    """
    name = "standard input" if str(file) == "-" else str(file)
    try:
        document = read(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except OSError as error:
        _fail(f"{name}: {error.strerror}")
    except BadDocument as error:
        _fail(f"{_at(name, error.mark)}: {error.detail} ({error.code})")
    unset = _fill_secrets(document)
    _run(lambda client: _apply(client, _File(name, document, unset), plan=plan, yes=yes, prune=prune), url, key)


def export(
    *,
    full: Annotated[bool, typer.Option("--full", help="also fields that are as they are by default")] = False,
    url: _Url = "",
    key: _Key = "",
) -> None:
    """Print a tenant's configuration as a file for `cordboard apply`, with variables in the place of its secrets."""

    async def run(client: "Client") -> None:
        values, _ = await client.configuration(defaults=full)
        _hide_secrets(values)
        print(write({section: each for section, each in values.items() if each or full}), end="")

    _run(run, url, key)


def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    import json  # noqa: PLC0415  # other commands need none of this

    from src.api.schemas import ConfigurationBody  # noqa: PLC0415

    found = ConfigurationBody.model_json_schema(by_alias=True)
    print(
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **found}, indent=1, ensure_ascii=False)
    )


# -- secrets -----------------------------------------------------------------------------------------------------------


def _secrets(values: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, tuple[str, ...]]]:
    """Where secrets stand: what holds one, the key, and the whole way to it."""
    for section in _WITH_SECRETS:
        for name, entry in _entries(values, section):
            held = entry.get("secrets")
            if not isinstance(held, dict):
                continue
            for each in held:
                yield held, each, (section, name, "secrets", each)
    for name, entry in _entries(values, "webhooks"):
        if "secret" in entry:
            yield entry, "secret", ("webhooks", name, "secret")


def _entries(values: Mapping[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = values.get(section)
    for name, entry in found.items() if isinstance(found, dict) else ():
        if isinstance(entry, dict):
            yield name, entry


def _fill_secrets(document: Document) -> dict[str, str]:
    """Put the variables' values in; gives those that are not set, by the place that names them."""
    unset = {}
    for holder, key, place in _secrets(document.values):
        named = _PLACEHOLDER.fullmatch(holder[key]) if isinstance(holder[key], str) else None
        if named is not None:
            holder[key] = os.environ.get(named[1])
            if holder[key] is None:
                unset[".".join(place)] = named[1]
    return unset


def _hide_secrets(values: Mapping[str, Any]) -> None:
    for holder, key, place in _secrets(values):
        words = re.sub(r"[^A-Z0-9]+", "_", "_".join(place).upper())
        holder[key] = f"${{env:{words}}}"


# -- the plan ----------------------------------------------------------------------------------------------------------


class _File:
    """A file, to say where in it something is wrong."""

    def __init__(self, name: str, document: Document, unset: Mapping[str, str]) -> None:
        self.name = name
        self.document = document
        self._unset = unset

    def errors(self, declined: "Declined") -> list[str]:
        """What the service does not take, line by line."""
        problem = declined.problem
        found = problem.get("errors") or [{"field": problem.get("field", ""), "reason": declined.detail}]
        return [self._error(str(each["field"]), str(each["reason"])) for each in found]

    def _error(self, field: str, reason: str) -> str:
        unset = self._unset.get(field)
        hint = "" if unset is None else f"; the variable {unset} is not set"
        shown = f"{field}: {reason}" if field and not reason.startswith(f"{field}:") else reason
        return f"{_at(self.name, self.document.mark(field))}: {shown}{hint}"


async def _apply(client: "Client", file: _File, *, plan: bool, yes: bool, prune: bool) -> None:
    from src.client import Declined, NoAnswer  # noqa: PLC0415

    try:
        planned = await client.put_configuration(file.document.values, dry_run=True, prune=prune)
        _show(planned)
        if plan or not planned.changes:
            raise typer.Exit(CHANGES if planned.changes else 0)
        if not (yes or _agreed()):
            _fail("nothing was changed")
        done = await client.put_configuration(file.document.values, prune=prune, version=planned.version)
    except Declined as declined:
        _fail("\n".join(file.errors(declined)))
    except NoAnswer as error:
        _fail(f"no answer came ({error}): see with --plan what is still to be done")
    print(f"Done: {_counted(done)}.")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        _fail("nobody is there to be asked: look at the plan with --plan, then say --yes")
    return typer.confirm("Apply?")


def _show(planned: "Configured") -> None:
    signs = {"create": "+", "update": "~", "delete": "-"}
    for each in planned.changes:
        print(f"{signs[each.act]} {each.section if each.section == 'settings' else f'{each.section}.{each.name}'}")
        for one in each.fields:
            if one.secret:
                print(f"    {one.field}: (another secret)")
            elif each.act == "create":
                print(f"    {one.field}: {_json(one.after)}")
            else:
                print(f"    {one.field}: {_json(one.before)} → {_json(one.after)}")
    print(f"{_counted(planned)}." if planned.changes else "Nothing would change.")


def _json(value: object) -> str:
    import json  # noqa: PLC0415

    return json.dumps(value, ensure_ascii=False)


def _counted(found: "Configured") -> str:
    acts = [each.act for each in found.changes]
    return f"{acts.count('create')} to create, {acts.count('update')} to update, {acts.count('delete')} to delete"


# -- how it is run -----------------------------------------------------------------------------------------------------


def _run(what: Callable[["Client"], Any], url: str, key: str) -> None:
    from src.client import Client, ClientError  # noqa: PLC0415  # other commands need none of this

    async def whole() -> None:
        async with Client(*_service(url, key)) as client:
            await what(client)

    try:
        asyncio.run(whole())
    except ClientError as error:
        _fail(str(error))


def _service(url: str, key: str) -> tuple[str, str]:
    from src.config import Settings  # noqa: PLC0415

    try:
        settings = Settings()
    except ValueError as error:
        raise StartupError(f"the settings are not good: {error}") from error
    key = key or settings.admin_key.get_secret_value()
    if not key:
        _fail("an API key is needed: give it by --key or CORDBOARD_ADMIN_KEY")
    return url or f"http://127.0.0.1:{settings.port}", key


def _at(name: str, mark: tuple[int, int] | None) -> str:
    return name if mark is None else f"{name}:{mark[0]}:{mark[1]}"


def _fail(said: str) -> NoReturn:
    print(f"cordboard: {said}", file=sys.stderr)
    raise typer.Exit(1)
