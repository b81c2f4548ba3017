"""The options of ``papertape backtest``, each with its help; a name that TOML and the environment share with them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

_DATA = "Data"
_FILLS = "Account and fills"
_ENGINE = "Engine"
_GUARD = "Guard: a run that crosses a limit stops trading and exits with status 3"
_OUTPUT = "Output"

Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data", metavar="PATH...", rich_help_panel=_DATA, help="Files, folders or patterns of trades, quotes, bars."
    ),
]
Framework = Annotated[
    Literal["papertape", "backtrader"] | None,
    typer.Option(help="What the strategy is written for; default: papertape."),
]
Symbols = Annotated[
    str | None, typer.Option(metavar="A,B", rich_help_panel=_DATA, help="The strategy's symbols; default: all.")
]
Start = Annotated[
    str | None,
    typer.Option(metavar="TIME", rich_help_panel=_DATA, help="2026-01-05 or 2026-01-05T09:30 (exchange time)."),
]
End = Annotated[
    str | None, typer.Option(metavar="TIME", rich_help_panel=_DATA, help="The same; a date includes its day.")
]
Zone = Annotated[
    str | None, typer.Option("--tz", metavar="ZONE", rich_help_panel=_DATA, help="Zone of times that name none.")
]
BarStamp = Annotated[
    Literal["open", "close"] | None, typer.Option(rich_help_panel=_DATA, help="Which end of a bar its time is.")
]
BarInterval = Annotated[
    float | None,
    typer.Option(
        "--bar-interval-s",
        metavar="SECONDS",
        rich_help_panel=_DATA,
        help="Length of a bar, where the file has too few to tell.",
    ),
]
Signed = Annotated[
    str | None,
    typer.Option(metavar="A,B", rich_help_panel=_DATA, help="Symbols whose prices may be 0 or below, as spreads."),
]
OnBad = Annotated[
    Literal["refuse", "skip"] | None, typer.Option(rich_help_panel=_DATA, help="What happens to rows that are wrong.")
]
Delimiter = Annotated[
    str | None, typer.Option(metavar="C", rich_help_panel=_DATA, help="Between columns; default: comma.")
]
Conflate = Annotated[
    str | None, typer.Option(metavar="250ms", rich_help_panel=_DATA, help="See the tape as a broker's feed shows it.")
]
Scans = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|derived", rich_help_panel=_DATA, help="Recorded scans, or derived from the tape (default)."
    ),
]
Calendar = Annotated[
    str | None, typer.Option(metavar="NAME", rich_help_panel=_DATA, help="The exchange's calendar; default XNYS.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", rich_help_panel=_DATA, help="Parse anew, keep nothing parsed.")]

Cash = Annotated[
    float | None, typer.Option(metavar="AMOUNT", rich_help_panel=_FILLS, help="At the start; default 100000.")
]
Currency = Annotated[
    str | None, typer.Option(metavar="USD", rich_help_panel=_FILLS, help="Of cash and results; default USD.")
]
Balances = Annotated[
    list[str] | None,
    typer.Option(metavar="EUR=AMOUNT", rich_help_panel=_FILLS, help="Cash in another currency; repeat for more."),
]
Margin = Annotated[
    float | None,
    typer.Option(metavar="X", rich_help_panel=_FILLS, help="Buying power / net liquidation; 1: cash account."),
]
Fees = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        rich_help_panel=_FILLS,
        help="ib-fixed (default), ib-tiered, per-share:X[:MIN], percent:X or none.",
    ),
]
Slippage = Annotated[
    str | None, typer.Option(metavar="X", rich_help_panel=_FILLS, help="Per unit as 0.01, or a part as 5bp or 0.05%.")
]
Latency = Annotated[
    str | None, typer.Option(metavar="0ms", rich_help_panel=_FILLS, help="From a decision to the market.")
]
RequestLatency = Annotated[
    str | None,
    typer.Option(metavar="0ms", rich_help_panel=_FILLS, help="From a strategy's question to its answer."),
]
LimitFill = Annotated[
    Literal["through", "touch"] | None,
    typer.Option(rich_help_panel=_FILLS, help="What the price must do to a limit; default through."),
]
VolumeShare = Annotated[
    float | None,
    typer.Option(metavar="X", rich_help_panel=_FILLS, help="Most of an event's volume to fill; 0: no cap."),
]
Confirm = Annotated[
    Literal["yes", "no", "if-affordable"] | None,
    typer.Option(rich_help_panel=_FILLS, help="Who asks gets this; default if-affordable."),
]
Seed = Annotated[
    int | None, typer.Option(rich_help_panel=_FILLS, help="Of the random numbers that a strategy draws; default 0.")
]

Engine = Annotated[
    Literal["papertape", "backtrader"] | None,
    typer.Option(rich_help_panel=_ENGINE, help="What matches orders; backtrader is an independent check."),
]
Analyzers = Annotated[
    list[str] | None,
    typer.Option(
        "--analyzer", metavar="NAME", rich_help_panel=_ENGINE, help="backtrader's, as sharpe; repeat for more."
    ),
]

MaxDrawdown = Annotated[
    str | None, typer.Option(metavar="5%", rich_help_panel=_GUARD, help="Largest loss, see the next two.")
]
GuardBasis = Annotated[
    Literal["net_liquidation", "pnl", "stock_value", "daily_loss"] | None,
    typer.Option(
        metavar="BASIS",
        rich_help_panel=_GUARD,
        help="What the loss is of: net_liquidation (default), pnl, stock_value or daily_loss.",
    ),
]
GuardReference = Annotated[
    Literal["start", "peak"] | None, typer.Option(rich_help_panel=_GUARD, help="Against what; default peak.")
]
CashFloor = Annotated[
    list[str] | None,
    typer.Option(metavar="[USD=]AMOUNT", rich_help_panel=_GUARD, help="Cash below this stops trading."),
]
MaxOrderQuantity = Annotated[
    float | None, typer.Option(metavar="UNITS", rich_help_panel=_GUARD, help="Larger orders are refused.")
]
MaxOrderValue = Annotated[
    float | None, typer.Option(metavar="AMOUNT", rich_help_panel=_GUARD, help="Orders of more are refused.")
]
MaxPosition = Annotated[
    float | None,
    typer.Option(metavar="UNITS", rich_help_panel=_GUARD, help="Of an instrument, working orders included."),
]
PriceCollar = Annotated[
    str | None,
    typer.Option(metavar="2%", rich_help_panel=_GUARD, help="Largest distance of a limit beyond the market."),
]
MaxOrdersPerMinute = Annotated[int | None, typer.Option(metavar="N", rich_help_panel=_GUARD, help="More are refused.")]
Duplicate = Annotated[
    float | None,
    typer.Option("--duplicate-s", metavar="SECONDS", rich_help_panel=_GUARD, help="The same order again is refused."),
]
AllowedSymbols = Annotated[
    str | None, typer.Option(metavar="A,B", rich_help_panel=_GUARD, help="Orders in others are refused.")
]
Flatten = Annotated[bool, typer.Option("--flatten", rich_help_panel=_GUARD, help="Also close what is held.")]

Parameter = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the strategy; repeat for more.")
]
Grid = Annotated[
    list[str] | None, typer.Option("--grid", metavar="NAME=V1,V2,...", help="Run every combination; repeat for more.")
]
Sort = Annotated[
    str | None, typer.Option(metavar="METRIC", rich_help_panel=_OUTPUT, help="Order of a grid's table, best first.")
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_OUTPUT, help="Processes of a grid; default: one a core.")
]
Benchmark = Annotated[
    str | None, typer.Option(metavar="SYMBOL|CSV", rich_help_panel=_OUTPUT, help="For alpha and beta.")
]
RiskFree = Annotated[float | None, typer.Option(metavar="RATE", rich_help_panel=_OUTPUT, help="A year, as 0.03.")]
Out = Annotated[
    str | None, typer.Option(metavar="DIR", rich_help_panel=_OUTPUT, help="Where runs are kept; default runs.")
]
AsJson = Annotated[
    bool, typer.Option("--json", rich_help_panel=_OUTPUT, help="Print one JSON object and nothing else.")
]
