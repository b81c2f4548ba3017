"""``papertape live``: the same strategy with real money, behind catches that hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli import live_options as p
from papertape.cli import options as o


def live(
    context: typer.Context,
    strategy: Annotated[
        str, typer.Argument(metavar="STRATEGY", help="tick_momentum, my_file.py, my_file.py:MyStrategy, or run.toml.")
    ],
    gateway: p.LiveGateway = None,
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
    arm: p.Arm = None,
    write_arm: p.WriteArm = None,
    trades: p.Trades = None,
    tick_by_tick: p.TickByTick = None,
    delayed: p.Delayed = None,
    tws_zone: p.TwsZone = None,
    calendar: o.Calendar = None,
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
    """Trade a strategy with real money.

    It needs --gateway and --account, and the account's id typed again on a terminal; unattended, a file that was armed
    with --write-arm for this very strategy, parameters, limits and account. Delayed data are refused unless --delayed.

    Ctrl-C ends the run in order, a second one at once. Exit status: 0 done, 2 a mistake that you can mend, 3 the guard
    tripped, the run was halted, or its connection was lost for good.
    """
    from papertape.cli.arm import arm_run
    from papertape.cli.trading import trade
    from papertape.cli.trading_options import read_options
    from papertape.core.errors import ConfigError
    from papertape.core.model import Mode

    trading = read_options(Mode.LIVE, strategy, context.params)
    if write_arm is None:
        return trade(trading)
    if trading.config.live.arm is not None:
        raise ConfigError("--arm begins a run and --write-arm prepares one; give one of them")
    return arm_run(trading, Path(write_arm))
