"""The options of ``papertape paper`` and ``papertape live`` beside those of a backtest, each with its help."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

_LIVE = "Connection and account"
_RUN = "Run"
_SIM = "Simulated gateway"
_GUARD = "Guard: a run that crosses a limit stops trading and exits with status 3"

Gateway = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT|sim", rich_help_panel=_LIVE, help="TWS or IB Gateway; default sim, simulated."),
]
LiveGateway = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", rich_help_panel=_LIVE, help="TWS or IB Gateway; no default.")
]
Account = Annotated[
    str | None, typer.Option(metavar="ID", rich_help_panel=_LIVE, help="One of the login's; default: its only one.")
]
ClientId = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_LIVE, help="Tells programs at one TWS apart; default 1.")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", rich_help_panel=_LIVE, help="Follow the market; send no order.")]
Delayed = Annotated[
    bool | None,
    typer.Option(
        "--delayed/--no-delayed", rich_help_panel=_LIVE, help="Take delayed data where there are no live ones."
    ),
]
Trades = Annotated[
    Literal["auto", "alllast", "rtvolume"] | None,
    typer.Option(
        rich_help_panel=_LIVE, help="Where trades come from; default auto: tick by tick as far as TWS allows."
    ),
]
TickByTick = Annotated[
    int | None,
    typer.Option(metavar="N", rich_help_panel=_LIVE, help="Tick-by-tick lines that TWS allows; default 3."),
]
TwsZone = Annotated[
    str | None,
    typer.Option("--tws-zone", metavar="ZONE", rich_help_panel=_LIVE, help="TWS's own time zone; default US/Eastern."),
]
Duration = Annotated[
    str | None, typer.Option(metavar="T", rich_help_panel=_RUN, help="End after so long, as 30m or 2h.")
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", rich_help_panel=_RUN, help="End then, as 15:55 or 2026-01-05T15:55.")
]
Confirm = Annotated[
    Literal["ask", "yes", "no", "if-affordable"] | None,
    typer.Option(rich_help_panel=_RUN, help="Who answers a strategy's questions; default if-affordable."),
]
AtEnd = Annotated[
    Literal["cancel", "keep"] | None,
    typer.Option(rich_help_panel=_RUN, help="What becomes of working orders at the end; default cancel."),
]
Record = Annotated[
    str | None, typer.Option(metavar="DIR", rich_help_panel=_RUN, help="Record what is heard, to play it again.")
]
Notify = Annotated[
    str | None,
    typer.Option(metavar="COMMAND|URL", rich_help_panel=_RUN, help="Told of trips, lost connections, the end."),
]
Resume = Annotated[
    str | None, typer.Option(metavar="RUN", rich_help_panel=_RUN, help="Go on with a run that was killed or stopped.")
]
Plain = Annotated[bool, typer.Option("--plain", rich_help_panel=_RUN, help="Lines, also on a terminal.")]
Speed = Annotated[
    str | None,
    typer.Option(
        metavar="X", rich_help_panel=_SIM, help="Times as fast as the clock; default: as fast as the strategy follows."
    ),
]
Scenario = Annotated[
    str | None, typer.Option(metavar="FILE", rich_help_panel=_SIM, help="Faults, as papertape sim takes them.")
]
NoFlattenConfirmed = Annotated[
    bool,
    typer.Option(
        "--flatten-at-once", rich_help_panel=_GUARD, help="Close without waiting for a second price or half a second."
    ),
]
Disconnect = Annotated[
    bool, typer.Option("--guard-disconnects", rich_help_panel=_GUARD, help="A trip ends the connection at last.")
]
Scope = Annotated[
    Literal["run", "account"] | None,
    typer.Option("--guard-scope", rich_help_panel=_GUARD, help="Whose orders and positions a trip ends; default run."),
]
Stale = Annotated[
    float | None,
    typer.Option("--stale-s", metavar="SECONDS", rich_help_panel=_GUARD, help="Older data block risk; default 10."),
]
Arm = Annotated[
    str | None, typer.Option(metavar="FILE", rich_help_panel=_LIVE, help="Begin unattended, by a file armed before.")
]
WriteArm = Annotated[
    str | None, typer.Option(metavar="FILE", rich_help_panel=_LIVE, help="Arm such a file on a terminal, and end.")
]
