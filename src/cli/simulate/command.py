"""The command line's options. It reads the settings and turns the report into an exit code."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from src.errors import StartupError

if TYPE_CHECKING:
    from src.cli.simulate.report import Report
    from src.cli.simulate.run import Options, Watcher
    from src.cli.simulate.scenario import Scenario


def command(  # noqa: PLR0917  # typer calls it by name
    url: Annotated[str, typer.Option(help="the service; empty: this machine at CORDBOARD_PORT")] = "",
    key: Annotated[str, typer.Option(help="an admin key; empty: CORDBOARD_ADMIN_KEY", show_default=False)] = "",
    duration: Annotated[float, typer.Option(help="seconds until closing time", min=1)] = 60,
    speed: Annotated[float, typer.Option(help="how many times as fast the centre's clock runs", min=0.1)] = 30,
    rate: Annotated[
        float | None, typer.Option(help="contacts a minute; empty: what suits the agents", min=0.01)
    ] = None,
    agents: Annotated[int | None, typer.Option(help="agents, by copying those of the scenario", min=1)] = None,
    max_contacts: Annotated[int | None, typer.Option(help="close after so many contacts", min=1)] = None,
    seed: Annotated[str, typer.Option(help="the same seed brings the same customers with the same words")] = "1",
    scenario: Annotated[Path | None, typer.Option(help="a scenario; empty: the demonstration tenant")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="a line now and then instead of the live picture")] = False,
) -> None:
    """Run a contact centre's worth of customers and agents against a service, over its public API alone.

    It puts the scenario's settings, queues, tags, rules and agents into the tenant of the key, so take a tenant that
    may be played with. It ends with a summary, and with exit code 1 if a promise was broken: a contact lost or doubled,
    an event missed or told twice.
    """
    from rich.console import Console  # noqa: PLC0415  # other commands need none of this

    from src.cli.simulate import picture  # noqa: PLC0415
    from src.cli.simulate.run import Options  # noqa: PLC0415
    from src.cli.simulate.scenario import load  # noqa: PLC0415

    console = Console()
    try:
        settings = _settings()
        key = key or settings.admin_key.get_secret_value()
        if not key:
            raise StartupError("an admin key is needed: give it by --key or CORDBOARD_ADMIN_KEY")  # noqa: TRY301
        options = Options(
            url=url.rstrip("/") or f"http://127.0.0.1:{settings.port}",
            key=key,
            duration_s=duration,
            rate_per_minute=rate,
            agents=agents,
            speed=speed,
            seed=seed,
            contacts_max=max_contacts,
        )
        watch = picture.live(console) if console.is_terminal and not plain else picture.plain(console)
        report = asyncio.run(_run(options, load(scenario), watch))
    except StartupError as error:
        print(f"cordboard simulate: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("cordboard simulate: broken off, nothing was checked", file=sys.stderr)
        raise typer.Exit(130) from None
    picture.summary(report, console)
    if not report.ok:
        raise typer.Exit(1)


def _settings() -> Any:  # noqa: ANN401  # Settings, imported only when it is needed
    from pydantic import ValidationError  # noqa: PLC0415

    from src.config import Settings  # noqa: PLC0415

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "CORDBOARD_" + "_".join(str(each) for each in first["loc"]).upper()
        raise StartupError(f"{name}: {first['msg']}") from error


async def _run(options: "Options", scenario: "Scenario", watch: "Watcher") -> "Report":
    """Run; the first interruption brings closing time, the second ends it all."""
    from src.cli.simulate.run import simulate  # noqa: PLC0415

    stop, task = asyncio.Event(), asyncio.current_task()
    assert task is not None

    def interrupted() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # not on Windows
            loop.add_signal_handler(number, interrupted)
    return await simulate(options, scenario, watch=watch, stop=stop)
