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

EXAMPLES = 15
CONTRACT_NAMES = tuple(name for name in ContractRecord.__struct_fields__)
NOT_SAID = {"order_id", "client_id", "perm_id", "transmit", "what_if", "parent_id"}
ORDER_NAMES = tuple(name for name in OrderRecord.__struct_fields__ if name not in NOT_SAID)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=12)
IDS = st.integers(1, 2**31 - 2)
FLOATS = st.integers(-(10**13), 10**13).map(lambda n: n / 4096.0)
PRICES = FLOATS | st.just(NAN)
SIZES = st.integers(0, 10**9).map(float)
BOOLS = st.booleans()


def contracts(*without: str, **fixed: Any) -> st.SearchStrategy[Contract]:
    """Contracts, with nothing in fields that a message does not have."""
    plain: dict[str, Any] = {name: TEXT for name in CONTRACT_NAMES if name not in without}
    plain["con_id"] = IDS
    plain["type"] = st.sampled_from(["STK", "FUT", "OPT"])
    plain["expiry"] = st.sampled_from(["", "20241220"])
    if "strike" not in without:
        plain["strike"] = st.integers(0, 10**6).map(lambda n: n / 8.0)
    plain.update({name: st.just(value) for name, value in fixed.items()})
    return st.builds(Contract, **plain)


def orders() -> st.SearchStrategy[Order]:
    """Orders with what our records have; everything else as a plain order leaves it."""
    return st.builds(
        Order, action=st.sampled_from(["BUY", "SELL"]), quantity=st.integers(1, 10**6).map(float),
        type=st.sampled_from(["MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT"]), limit_price=PRICES,
        aux_price=PRICES, tif=st.sampled_from(["DAY", "GTC", "IOC"]), oca_group=TEXT, oca_type=st.integers(0, 3),
        account=TEXT, order_ref=TEXT, outside_hours=BOOLS, good_till=TEXT, trail_stop_price=PRICES,
        trailing_percent=PRICES, limit_offset=PRICES,
    )  # fmt: skip


SAID_CONTRACT = contracts("primary_exchange")
REPLIES: Mapping[type, st.SearchStrategy[Any]] = {
    say.NextValidId: st.builds(say.NextValidId, IDS),
    say.ManagedAccountsList: st.just(say.ManagedAccountsList("DU1,DU2,")),
    say.Time: st.builds(say.Time, IDS),
    say.Error: st.builds(
        say.Error, st.sampled_from([-1, 0, 5]), st.integers(100, 20_000), st.text(min_size=1, max_size=20).filter(
            lambda text: text.isprintable()), TEXT, IDS),
    say.AccountValue: st.builds(say.AccountValue, TEXT, TEXT, TEXT, TEXT),
    say.AccountTime: st.builds(say.AccountTime, TEXT),
    say.AccountDownloadEnd: st.builds(say.AccountDownloadEnd, TEXT),
    say.PortfolioValue: st.builds(
        say.PortfolioValue, contracts("exchange"), SIZES, PRICES, PRICES, PRICES, PRICES, PRICES, TEXT),
    say.PositionRow: st.builds(say.PositionRow, TEXT, SAID_CONTRACT, FLOATS, PRICES),
    say.PositionEnd: st.just(say.PositionEnd()),
    say.PnlUpdate: st.builds(say.PnlUpdate, IDS, PRICES, PRICES, PRICES),
    say.OrderStatus: st.builds(
        say.OrderStatus, IDS, TEXT, SIZES | st.just(NAN), SIZES, PRICES, IDS, IDS, PRICES, IDS, TEXT),
    say.OpenOrder: st.builds(
        say.OpenOrder, IDS, IDS, IDS, SAID_CONTRACT, orders(),
        st.builds(say.OrderState, TEXT, commission=PRICES, warning=TEXT)),
    say.OpenOrdersEnd: st.just(say.OpenOrdersEnd()),
    say.CompletedOrder: st.builds(
        say.CompletedOrder, IDS, IDS, SAID_CONTRACT, orders(),
        st.builds(say.OrderState, TEXT, completed_time=TEXT, completed_status=TEXT), SIZES | st.just(NAN)),
    say.CompletedOrdersEnd: st.just(say.CompletedOrdersEnd()),
    say.Execution: st.builds(
        say.Execution, st.sampled_from([-1, 9]), IDS, SAID_CONTRACT, TEXT, TEXT, TEXT, TEXT, st.sampled_from(["BOT", "SLD"]),
        SIZES, PRICES, IDS, IDS, SIZES, PRICES, TEXT),
    say.ExecutionsEnd: st.builds(say.ExecutionsEnd, IDS),
    say.Commission: st.builds(say.Commission, TEXT, PRICES, TEXT, PRICES),
    say.TickPrice: st.builds(say.TickPrice, IDS, st.sampled_from([6, 9, 14]), PRICES, SIZES),
    say.TickSize: st.builds(say.TickSize, IDS, st.integers(0, 90), SIZES),
    say.TickString: st.builds(say.TickString, IDS, st.integers(0, 90), TEXT),
    say.TickGeneric: st.builds(say.TickGeneric, IDS, st.integers(0, 90), PRICES),
    say.SnapshotEnd: st.builds(say.SnapshotEnd, IDS),
    say.DataType: st.builds(say.DataType, IDS, st.integers(1, 4)),
    say.TickParameters: st.builds(say.TickParameters, IDS, FLOATS, TEXT, st.integers(0, 3)),
    say.TickLast: st.builds(say.TickLast, IDS, st.sampled_from([1, 2]), IDS, PRICES, SIZES, st.integers(0, 3), TEXT, TEXT),
    say.TickBidAsk: st.builds(say.TickBidAsk, IDS, IDS, PRICES, PRICES, SIZES, SIZES),
    say.TickMid: st.builds(say.TickMid, IDS, IDS, FLOATS),
    say.HistoricalData: st.builds(
        say.HistoricalData, IDS, TEXT, TEXT, st.lists(
            st.builds(say.HistoricalBar, TEXT, FLOATS, FLOATS, FLOATS, FLOATS, SIZES, FLOATS, IDS), max_size=3).map(tuple)),
    say.HistoricalDataUpdate: st.builds(
        say.HistoricalDataUpdate, IDS, st.builds(
            say.HistoricalBar, TEXT, FLOATS, FLOATS, FLOATS, FLOATS, SIZES, FLOATS, IDS)),
    say.RealTimeBar: st.builds(say.RealTimeBar, IDS, IDS, FLOATS, FLOATS, FLOATS, FLOATS, SIZES, FLOATS, IDS),
    say.ContractDetailsRow: st.builds(
        say.ContractDetailsRow, IDS, contracts(), TEXT, FLOATS, TEXT, TEXT, st.integers(1, 100), long_name=TEXT,
        time_zone=TEXT, trading_hours=TEXT, liquid_hours=TEXT, stock_type=TEXT, size_min=SIZES, size_increment=SIZES),
    say.ContractDetailsEnd: st.builds(say.ContractDetailsEnd, IDS),
    say.ScannerData: st.builds(
        say.ScannerData, IDS, st.lists(st.builds(
            say.ScannerRow, st.integers(0, 49), contracts("multiplier", "primary_exchange"), TEXT, TEXT, TEXT, TEXT, TEXT),
            max_size=3).map(tuple)),
    say.ScannerXml: st.builds(say.ScannerXml, TEXT),
}  # fmt: skip


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
