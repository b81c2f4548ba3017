"""Positions and cash between the books and the memory: what is put when they change, and the books made from it."""

from __future__ import annotations

import math

from gateway.costs import CostFill, Costs, DayStart
from gateway.store import Saved, SavedPosition, Store
from papertape.core.errors import ConfigError, DataError
from papertape.core.ledger import Ledger
from papertape.core.marking import set_value
from papertape.moments import iso_utc

CLOSE = 1e-6
"""Relative difference that rounding may make between a position and what its executions add up to."""


def saved_position(ledger: Ledger, costs: Costs, j: int) -> SavedPosition:
    """One instrument's position as the memory holds it."""
    ledger.state.settle()
    record = ledger.state.instruments[j]
    basis = costs.basis(j)
    start = basis.start
    return SavedPosition(
        ledger.instruments[j].symbol,
        basis.quantity,
        basis.average_cost,
        float(record["average_cost"]),
        float(record["mark"]),
        start.quantity,
        start.average_cost,
        start.value,
        start.ts,
    )


def remember_fill(store: Store, ledger: Ledger, costs: Costs, j: int) -> None:
    """Put what a fill (a bust, a correction, a split) changed: the position, and the cash of its currency."""
    store.put_position(saved_position(ledger, costs, j))
    currency = ledger.instruments[j].currency
    store.put_balance(currency, ledger.account.balances[currency])


def remember_day(store: Store, ledger: Ledger, costs: Costs) -> None:
    """Put what the begin of a day changed, after the account's :meth:`~gateway.account.AccountDesk.begin_session`."""
    store.keep_positions([ledger.instruments[j].symbol for j in costs.known])
    for j in costs.known:
        store.put_position(saved_position(ledger, costs, j))
    for currency, amount in ledger.account.balances.items():
        store.put_balance(currency, amount)
    store.put_day_equity(ledger.account.equity)


def restore(saved: Saved, ledger: Ledger, costs: Costs, now: int) -> None:
    """Make open books without positions what the memory holds; ``now`` is the exchange time (UTC ns) to go on from.

    A currency that the memory does not know keeps the cash that it was opened with. Raises ConfigError where the tape
    does not go with the memory, DataError where the memory contradicts itself.
    """
    if saved.ts > now:
        raise ConfigError(
            f"the account's memory is of {iso_utc(saved.ts)}, and the tape starts before that, at {iso_utc(now)}: "
            "start it later, or name another memory"
        )
    index = {each.symbol: j for j, each in enumerate(ledger.instruments)}
    for position in saved.positions:
        if position.symbol in index:
            _restore_position(saved, position, ledger, costs, index[position.symbol])
        elif position.quantity != 0.0:
            raise ConfigError(
                f"the account holds {position.quantity:g} {position.symbol}, which the tape does not have: "
                "add its data, or name another memory"
            )
    for currency, amount in saved.balances.items():
        if currency in ledger.currencies:
            ledger.deposit(currency, amount - ledger.account.balances[currency])
        elif amount != 0.0:
            raise ConfigError(f"the account has {amount:.2f} {currency}: name {currency} among its cash")
    ledger.state.account["peak"] = ledger.account.equity


def _restore_position(saved: Saved, position: SavedPosition, ledger: Ledger, costs: Costs, j: int) -> None:
    start = DayStart(position.start_quantity, position.start_cost, position.start_value, position.start_ts)
    fills = [
        CostFill(each.exec_id, each.quantity * each.split, each.price / each.split, each.fee)
        for each in saved.executions
        if each.symbol == position.symbol and each.ts >= start.ts and each.quantity != 0.0
    ]
    costs.restore(j, start, fills)
    basis = costs.basis(j)
    pairs = ((basis.quantity, position.quantity), (basis.average_cost, position.average_cost))
    if not all(math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE) for a, b in pairs):
        raise DataError(
            f"the account's memory has {position.quantity:g} {position.symbol}, and its executions add up to "
            f"{basis.quantity:g}: move the file away to start anew"
        )
    if position.mark == position.mark:
        ledger.note_image(j, position.mark, math.nan, math.nan, saved.ts)
    if basis.quantity != 0.0:
        is_marked = not math.isnan(ledger.positions[j].mark)
        ledger.book_fill(j, basis.quantity, position.average_price, 0.0, saved.ts)
        if not is_marked:  # booking has marked it at its cost, which is no price
            ledger.state.instruments["mark"][j] = math.nan
            set_value(ledger.state.tree, j, math.nan)
