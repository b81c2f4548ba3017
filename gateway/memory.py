"""What the simulated TWS keeps over a restart: written at the end of each step, and the account made from it again."""

from __future__ import annotations

import math

import msgspec

from gateway.contracts import Contracts, Refused
from gateway.costs import Costs
from gateway.exchange import Exchange
from gateway.executions import DAYS_KEPT, Fill
from gateway.order_entries import Entry, Shown
from gateway.order_terms import Rejected, understand
from gateway.restoring import remember_day, remember_fill, restore
from gateway.settings import GatewaySettings
from gateway.store import Counters, Saved, SavedExecution, SavedOrder, Store
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S

KEPT_NS = DAYS_KEPT * 86_400 * NS_PER_S
"""How long executions and ended orders are kept."""


class AccountMemory:
    """Notes what changes in a step, and writes it when the step is over."""

    def __init__(self, store: Store, settings: GatewaySettings, exchange: Exchange, costs: Costs, contracts: Contracts):
        self._store = store
        self._settings = settings
        self._exchange = exchange
        self._costs = costs
        self._contracts = contracts
        self._orders: dict[int, Entry] = {}
        self._fills: dict[int, Fill] = {}
        self._next_ids: dict[int, int] = {}
        self._last_serial = 0
        self._last_perm_id = 0
        self._last_order_id = 0

    def keep_order(self, entry: Entry) -> None:
        """An order is new or has changed."""
        self._orders[entry.perm_id] = entry

    def keep_execution(self, fill: Fill) -> None:
        """An execution happened or was revised."""
        self._fills[fill.serial] = fill

    def keep_split(self, j: int, ratio: float) -> None:
        """An instrument was split."""
        self._store.put_split(self._exchange.instruments[j].symbol, ratio)
        remember_fill(self._store, self._exchange.ledger, self._costs, j)

    def keep_day(self, now: int) -> None:
        """A session begins: positions and cash as the day finds them."""
        remember_day(self._store, self._exchange.ledger, self._costs)
        self._store.forget_before(now - KEPT_NS)

    def commit(self, now: int) -> None:
        """Write what has changed since the last call, all of it or nothing."""
        if self._orders or self._fills:
            for entry in self._orders.values():
                self._put_order(entry)
            for fill in self._fills.values():
                self._put_execution(fill)
            for j in {fill.instrument for fill in self._fills.values()}:
                remember_fill(self._store, self._exchange.ledger, self._costs, j)
            self._store.put_counters(Counters(self._last_order_id, self._last_perm_id, self._last_serial))
            self._orders.clear()
            self._fills.clear()
        self._store.commit(now)

    def _put_order(self, entry: Entry) -> None:
        row = self._exchange.state.orders[entry.number - 1] if entry.number else None
        self._last_perm_id = max(self._last_perm_id, entry.perm_id)
        self._last_order_id = max(self._last_order_id, entry.order_id)
        self._next_ids[entry.client_id] = max(self._next_ids.get(entry.client_id, 1), entry.order_id + 1)
        self._store.put_next_id(entry.client_id, self._next_ids[entry.client_id])
        self._store.put_order(
            SavedOrder(
                perm_id=entry.perm_id, client_id=entry.client_id, order_id=entry.order_id, contract=entry.contract,
                order=entry.order, status=entry.shown.value, filled=entry.filled, average_price=entry.average_price,
                last_price=entry.last_price, ended_ts=entry.ended,
                parent_perm_id=entry.parent.perm_id if entry.parent is not None else 0,
                completed_time=entry.completed_time, completed_status=entry.completed_status, version=entry.version,
                good_after=entry.good_after, triggered=row is not None and bool(row["triggered"]),
                best=math.nan if row is None else float(row["best"]),
            )
        )  # fmt: skip

    def _put_execution(self, fill: Fill) -> None:
        symbol = self._exchange.instruments[fill.instrument].symbol
        self._last_serial = max(self._last_serial, fill.serial)
        if not fill.signed:
            self._store.remove_execution(fill.previous_id)
            return
        contract = self._contracts.wire(fill.instrument)
        message = fill.execution(
            -1, contract, self._settings.account, self._settings.zone, self._settings.server_version
        )
        saved = SavedExecution(
            fill.exec_id, fill.ts, symbol, fill.signed, fill.price, fill.fee, message, fill.commission()
        )
        if fill.revision > 1:
            self._store.correct_execution(fill.previous_id, saved)
        else:
            self._store.put_execution(saved)

    # -- starting again -----------------------------------------------------------------------------------------

    def load(self, now: int) -> Saved | None:
        """What the account had, its positions and cash restored already; None for a new account."""
        saved = self._store.load()
        if saved is not None:
            restore(saved, self._exchange.ledger, self._costs, now)
            self._last_serial, self._last_perm_id = saved.counters.execution, saved.counters.perm_id
            self._last_order_id = saved.counters.order_id
            self._next_ids.update(saved.next_ids)
        return saved

    def fills(self, saved: Saved) -> list[Fill]:
        """The executions of a memory."""
        index = {each.symbol: j for j, each in enumerate(self._exchange.instruments)}
        return [_fill(each, index[each.symbol]) for each in saved.executions if each.symbol in index]

    def entries(self, saved: Saved, now: int) -> list[Entry]:
        """The orders of a memory, parents before their children; the exchange has none of them yet."""
        by_perm_id: dict[int, Entry] = {}
        for each in saved.orders:
            entry = self._entry(each, by_perm_id.get(each.parent_perm_id), now)
            by_perm_id[each.perm_id] = entry
            if entry.parent is not None:
                entry.parent.children.append(entry)
        return list(by_perm_id.values())

    def _entry(self, saved: SavedOrder, parent: Entry | None, now: int) -> Entry:
        shown = Shown(saved.status)
        j = self._contracts.one(saved.contract)
        if isinstance(j, Refused):
            raise ConfigError(f"the tape has no {saved.contract.symbol}, which an order of this account's memory names")
        before = now if not saved.ended_ts else 0  # what has ended may have had a time that is past
        terms = understand(
            saved.order,
            j,
            self._exchange.instruments[j],
            saved.version,
            self._settings.zone,
            min(before, saved.placed_ts),
        )
        assert not isinstance(terms, Rejected), "it was taken before"
        request = msgspec.structs.replace(terms.request, quantity=max(0.0, saved.order.quantity - saved.filled))
        return Entry(
            client_id=saved.client_id, order_id=saved.order_id, perm_id=saved.perm_id, instrument=j,
            contract=saved.contract, order=saved.order, version=saved.version, request=request, best=saved.best,
            good_after=saved.good_after, shown=shown, filled=saved.filled, value=saved.filled * saved.average_price,
            last_price=saved.last_price, fills=int(saved.filled > 0.0), carried=saved.filled, parent=parent,
            completed_time=saved.completed_time, completed_status=saved.completed_status, ended=saved.ended_ts,
            was_triggered=saved.triggered,
        )  # fmt: skip


def _fill(saved: SavedExecution, j: int) -> Fill:
    """An execution as the account keeps it, from what was told of it."""
    serial, revision = saved.exec_id.split(".")[1::2]
    told = saved.execution
    return Fill(
        serial=int(serial, 16), revision=int(revision), ts=saved.ts, instrument=j, signed=saved.quantity,
        price=saved.price, fee=saved.fee, realised=saved.commission.realised, currency=saved.commission.currency,
        order_id=told.order_id, client_id=told.client_id, perm_id=told.perm_id, cumulative=told.cumulative,
        average_price=told.average_price, order_ref=told.order_ref, liquidity=told.liquidity,
    )  # fmt: skip
