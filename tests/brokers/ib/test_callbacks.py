"""Every message that a TWS can send arrives as the record that it means, whatever the client's version."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from brokers.ib import records as hear
from brokers.ib.callbacks import IGNORED, MAKERS, Callbacks
from brokers.ib.records import NAN, ContractRecord, ErrorMessage, OrderRecord, Record, Undecodable
from gateway.protocol import replies as say
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from tests.brokers.ib.peers import VERSIONS, Pair
from tests.brokers.ib.said import CONTRACT_NAMES, REPLIES

EXAMPLES = 15
NOT_SAID = {"order_id", "client_id", "perm_id", "transmit", "what_if", "parent_id"}
ORDER_NAMES = tuple(name for name in OrderRecord.__struct_fields__ if name not in NOT_SAID)


def contract(of: Contract) -> ContractRecord:
    return ContractRecord(**{name: getattr(of, name) for name in CONTRACT_NAMES})


def order(of: Order, **more: Any) -> OrderRecord:
    return OrderRecord(**{name: getattr(of, name) for name in ORDER_NAMES}, **more)


def bar(make: Callable[..., Record], request: int, of: say.HistoricalBar) -> Record:
    return make(request, of.date, of.open, of.high, of.low, of.close, of.volume, of.average, of.count)


def details(it: say.ContractDetailsRow, version: int) -> Record:
    sizes = (it.size_min, it.size_increment) if version >= 164 else (NAN, NAN)  # at 163 clients read and drop them
    return hear.ContractDetails(
        it.request, contract(it.contract), it.market_name, it.min_tick, it.price_magnifier, it.order_types,
        it.valid_exchanges, it.long_name, it.time_zone, it.trading_hours, it.liquid_hours, it.stock_type, *sizes,
    )  # fmt: skip


def execution(it: say.Execution) -> Record:
    return hear.Execution(
        it.request, contract(it.contract), it.exec_id, it.time, it.account, it.exchange, it.side, it.shares, it.price,
        it.perm_id, it.client_id, it.order_id, it.cumulative, it.average_price, it.order_ref, it.liquidity,
    )  # fmt: skip


def open_order(it: say.OpenOrder) -> Record:
    ids = {"order_id": it.order_id, "client_id": it.client_id, "perm_id": it.perm_id}
    terms = order(it.order, **ids)
    return hear.OpenOrder(
        it.order_id, contract(it.contract), terms, it.state.status, it.state.warning, it.state.commission
    )


def history(it: say.HistoricalData, version: int) -> list[Record]:
    bars = [bar(hear.HistoryBar, it.request, each) for each in it.bars]
    return bars if version >= 196 else [*bars, hear.HistoryEnd(it.request, it.start, it.end)]


def scan(it: say.ScannerData) -> list[Record]:
    rows: list[Record] = [
        hear.ScannerRow(
            it.request, row.rank, contract(row.contract), row.distance, row.benchmark, row.projection, row.legs
        )
        for row in it.rows
    ]
    return [*rows, hear.ScannerEnd(it.request)]


def same(make: Callable[..., Record], *without: str) -> Callable[[Any], Record]:
    """The record with the reply's own values, in their order."""
    return lambda it: make(*(getattr(it, f.name) for f in dataclasses.fields(it) if f.name not in without))


MEANT: Mapping[type, Callable[[Any], Record]] = {
    say.NextValidId: same(hear.NextValidId),
    say.ManagedAccountsList: lambda _: hear.ManagedAccounts(("DU1", "DU2")),
    say.Time: same(hear.CurrentTime),
    say.AccountValue: same(hear.AccountValue),
    say.AccountTime: same(hear.AccountTime),
    say.AccountDownloadEnd: same(hear.AccountEnd),
    say.PortfolioValue: lambda it: hear.PortfolioItem(
        contract(it.contract), it.position, it.price, it.value, it.average_cost, it.unrealised, it.realised, it.account
    ),
    say.PositionRow: lambda it: hear.PositionItem(it.account, contract(it.contract), it.position, it.average_cost),
    say.PositionEnd: same(hear.PositionsEnd),
    say.PnlUpdate: same(hear.AccountPnl),
    say.OrderStatus: same(hear.OrderState, "cap_price"),
    say.OpenOrder: open_order,
    say.OpenOrdersEnd: same(hear.OpenOrdersEnd),
    say.CompletedOrder: lambda it: hear.CompletedOrder(
        contract(it.contract), order(it.order, perm_id=it.perm_id), it.state.status, it.state.completed_status,
        it.state.completed_time, it.filled,
    ),
    say.CompletedOrdersEnd: same(hear.CompletedOrdersEnd),
    say.Execution: execution,
    say.ExecutionsEnd: same(hear.ExecutionsEnd),
    say.Commission: same(hear.Commission, "yield_", "yield_date"),
    say.TickPrice: same(hear.TickPrice, "size", "mask"),
    say.TickSize: same(hear.TickSize),
    say.TickString: same(hear.TickString),
    say.TickGeneric: same(hear.TickGeneric),
    say.SnapshotEnd: same(hear.SnapshotEnd),
    say.DataType: same(hear.MarketDataType),
    say.TickParameters: same(hear.TickParameters),
    say.TickLast: lambda it: hear.TickTrade(
        it.request, it.time, it.price, it.size, it.exchange, it.conditions, bool(it.mask & 1), bool(it.mask & 2)
    ),
    say.TickBidAsk: same(hear.TickQuote, "mask"),
    say.HistoricalDataUpdate: lambda it: bar(hear.HistoryUpdate, it.request, it.bar),
    say.RealTimeBar: same(hear.RealTimeBar),
    say.ContractDetailsEnd: same(hear.ContractDetailsEnd),
    say.ScannerXml: same(hear.ScannerParameters),
}  # fmt: skip


def meant(reply: Any, version: int) -> list[Record]:
    """The records that a reply means."""
    if isinstance(reply, say.TickMid):
        return []
    if isinstance(reply, say.HistoricalData):
        return history(reply, version)
    if isinstance(reply, say.ScannerData):
        return scan(reply)
    if isinstance(reply, say.ContractDetailsRow):
        return [details(reply, version)]
    if isinstance(reply, say.Error):
        advanced = reply.advanced if version >= 166 else ""
        return [ErrorMessage(reply.request if reply.request > 0 else -1, reply.code, reply.text, advanced)]
    return [MEANT[type(reply)](reply)]


@pytest.fixture(scope="module", params=VERSIONS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with Pair(request.param) as connected:
        yield connected


@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_reply_arrives_as_what_it_means(pair: Pair, data: st.DataObject) -> None:
    said = data.draw(st.lists(st.one_of(*REPLIES.values()), min_size=1, max_size=15))
    expected = [record for reply in said for record in meant(reply, pair.peer.version)]
    got = pair.told(*said)
    assert [repr(each) for each in got] == [repr(each) for each in expected]


def test_what_tws_spells_as_unset_is_unknown_whichever_way_it_spells_it(pair: Pair) -> None:
    for spelled in (b"", b"2147483647", b"1.7976931348623157e+308", b"1.7976931348623157E308"):
        payload = b"94\0" + b"5\0" + b"\0".join([spelled] * 3) + b"\0"
        pair.peer.write(len(payload).to_bytes(4, "big") + payload)
        (record,) = pair.told()
        assert isinstance(record, hear.AccountPnl)
        assert [math.isnan(value) for value in (record.daily, record.unrealised, record.realised)] == [True] * 3


def test_every_callback_of_the_installed_client_is_heard_or_left_out_on_purpose() -> None:
    wrapper = import_module("ibapi.wrapper").EWrapper
    names = {name for name, _ in inspect.getmembers(wrapper, inspect.isfunction) if not name.startswith("_")}
    known = set(MAKERS) | IGNORED | {"logAnswer"}
    assert {name for name in names - known if not name.endswith("ProtoBuf")} == set()
    assert not set(MAKERS) & IGNORED


def test_an_exception_in_making_a_record_is_a_record_itself() -> None:
    callbacks: Any = Callbacks()
    callbacks.updatePortfolio(None, 1, 2, 3, 4, 5, 6, "DU1")
    callbacks.tickSize(1, 2, "many")
    callbacks.currentTime(7)
    first, second, third = callbacks.take()
    assert isinstance(first, Undecodable)
    assert first.text.startswith("updatePortfolio: AttributeError")
    assert isinstance(second, Undecodable)
    assert second.text.startswith("tickSize: ValueError")
    assert third == hear.CurrentTime(7)


@pytest.mark.parametrize(
    ("arguments", "advanced"),
    [
        ((5, 201, "no"), ""),
        ((5, 201, "no", "{}"), "{}"),
        ((5, 1_763_800_000_123, 201, "no", "{}"), "{}"),
        ((5, 0, 201, "no"), ""),
    ],
)
def test_an_error_is_read_in_every_form_that_a_client_has_for_it(arguments: tuple[Any, ...], advanced: str) -> None:
    callbacks: Any = Callbacks()
    callbacks.error(*arguments)
    assert callbacks.take() == [ErrorMessage(5, 201, "no", advanced)]


def test_a_list_that_is_full_says_so_and_grows_no_more() -> None:
    callbacks: Any = Callbacks(most=3)
    for number in range(5):
        callbacks.currentTime(number)
    assert callbacks.overflowed
    assert callbacks.take() == [hear.CurrentTime(number) for number in range(3)]


def test_a_filled_order_without_a_quantity_has_an_unknown_one(pair: Pair) -> None:
    order = Order(action="BUY", quantity=10.0, type="MKT")
    contract = Contract(con_id=1, symbol="AAA", type="STK")
    told = [say.CompletedOrder(7, 0, contract, order, say.OrderState("Filled"), filled) for filled in (NAN, 4.0)]
    unknown, known = pair.told(*told)
    assert isinstance(unknown, hear.CompletedOrder)
    assert isinstance(known, hear.CompletedOrder)
    assert math.isnan(unknown.filled)
    assert known.filled == 4.0
