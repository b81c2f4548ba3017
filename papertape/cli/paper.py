"""``papertape paper``: the same strategy on a paper account, or on a simulated one that needs no account at all."""

from __future__ import annotations

from typing import Annotated

import typer

from papertape.cli import live_options as p
from papertape.cli import options as o


def paper(
    context: typer.Context,
    strategy: Annotated[
        str, typer.Argument(metavar="STRATEGY", help="tick_momentum, my_file.py, my_file.py:MyStrategy, or run.toml.")
    ],
    gateway: p.Gateway = None,
    account: p.Account = None,
    client_id: p.ClientId = None,
    framework: o.Framework = None,
    parameter: o.Parameter = None,
    symbols: o.Symbols = None,
    duration: p.Duration = None,
    until: p.Until = None,
    confirm: p.Confirm = None,
    read_only: p.ReadOnly = False,
    at_end: p.AtEnd = None,
    record: p.Record = None,
    notify: p.Notify = None,
    resume: p.Resume = None,
    trades: p.Trades = None,
    tick_by_tick: p.TickByTick = None,
    delayed: p.Delayed = None,
    tws_zone: p.TwsZone = None,
    data: o.Data = None,
    start: o.Start = None,
    end: o.End = None,
    tz: o.Zone = None,
    bar_stamp: o.BarStamp = None,
    bar_interval_s: o.BarInterval = None,
    signed: o.Signed = None,
    on_bad: o.OnBad = None,
    delimiter: o.Delimiter = None,
    conflate: o.Conflate = None,
    calendar: o.Calendar = None,
    no_cache: o.NoCache = False,
    cash: o.Cash = None,
    currency: o.Currency = None,
    balances: o.Balances = None,
    margin: o.Margin = None,
    fees: o.Fees = None,
    slippage: o.Slippage = None,
    latency: o.Latency = None,
    limit_fill: o.LimitFill = None,
    volume_share: o.VolumeShare = None,
    speed: p.Speed = None,
    scenario: p.Scenario = None,
    seed: o.Seed = None,
    max_drawdown: o.MaxDrawdown = None,
    guard_basis: o.GuardBasis = None,
    guard_reference: o.GuardReference = None,
    cash_floor: o.CashFloor = None,
    max_order_quantity: o.MaxOrderQuantity = None,
    max_order_value: o.MaxOrderValue = None,
    max_position: o.MaxPosition = None,
    price_collar: o.PriceCollar = None,
    max_orders_per_minute: o.MaxOrdersPerMinute = None,
    duplicate_s: o.Duplicate = None,
    allowed_symbols: o.AllowedSymbols = None,
    flatten: o.Flatten = False,
    flatten_at_once: p.NoFlattenConfirmed = False,
    disconnect: p.Disconnect = False,
    scope: p.Scope = None,
    stale_s: p.Stale = None,
    risk_free: o.RiskFree = None,
    out: o.Out = None,
    plain: p.Plain = False,
    as_json: o.AsJson = False,
) -> int:
    """Trade a strategy on paper.

    Without --gateway it trades on a simulated TWS, started for it, that plays --data (default: the sample), in step with
    the strategy: the same orders, fills and fees as in a backtest of these data. With --gateway 127.0.0.1:7497 it trades on
    the paper account of TWS. Options can also stand in a TOML file, in its section [live].

    Ctrl-C ends the run in order, a second one at once. Exit status: 0 done, 2 a mistake that you can mend, 3 the guard
    tripped, the run was halted, or its connection was lost for good.
    """
    from papertape.cli.trading import trade
    from papertape.cli.trading_options import read_options
    from papertape.core.model import Mode

    return trade(read_options(Mode.PAPER, strategy, context.params))
