"""Orders, contracts, statuses and names as TWS spells them, and back."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.ib.records import ContractDetails, ContractRecord
from brokers.ib.translate import (
    contract_of,
    execution_key,
    history_terms,
    instrument_of,
    is_paper_account,
    on_step,
    order_of,
    order_ref,
    parse_order_ref,
    rounding,
    rt_volume,
    scan_command,
    side_of,
    status_of,
)
from gateway.contracts import Contracts
from gateway.history_terms import SIZES, read_span
from gateway.order_terms import Terms, conforms, understand
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from gateway.protocol.requests import ScannerSubscription
from gateway.scanners import read_scan
from papertape.core.errors import ConfigError, PeerError, StrategyError, UserError
from papertape.core.model import (
    NS_PER_S,
    Instrument,
    InstrumentType,
    OrderStatus,
    OrderType,
    ScanSpec,
    Side,
    TimeInForce,
)
from papertape.core.orders import OrderRequest
from papertape.core.requests import Duration, duration
from papertape.core.scanner import FILTERS, MOST_ACTIVE

S = OrderStatus
NOW = 1_717_421_400 * NS_PER_S
INSTRUMENTS = (
    Instrument("AAPL", exchange="NASDAQ"),
    Instrument("IBM", exchange="NYSE"),
    Instrument("BRK.B"),
    Instrument("SAP", currency="EUR", exchange="IBIS"),
    Instrument("EUR.USD", InstrumentType.CASH),
    Instrument("BTCUSD", InstrumentType.CRYPTO),
    Instrument("ESZ25", InstrumentType.FUTURE, exchange="CME", multiplier=50.0, tick_size=0.25),
    Instrument("AAPL240621C00190000", InstrumentType.OPTION, multiplier=100.0),
    Instrument("SPX", InstrumentType.INDEX, exchange="CBOE"),
)
PRICES = st.integers(100_000, 50_000_000).map(lambda n: n / 10_000.0)
TICKS = st.sampled_from([0.01, 0.05, 0.25, 0.0001, 0.005, 1.0, 1 / 32])
QUANTITIES = st.integers(1, 10_000).map(float)


@pytest.mark.parametrize("j", range(len(INSTRUMENTS)))
def test_tws_finds_the_one_contract_that_an_instrument_means(j: int) -> None:
    record = contract_of(INSTRUMENTS[j])
    assert Contracts(INSTRUMENTS).one(Contract(**msgspec.structs.asdict(record))) == j


@pytest.mark.parametrize("each", INSTRUMENTS, ids=lambda each: each.symbol)
def test_what_tws_defines_names_the_same_contract_again(each: Instrument) -> None:
    world = Contracts(INSTRUMENTS)
    defined = world.wire(INSTRUMENTS.index(each))
    names = ContractRecord.__struct_fields__
    details = ContractDetails(
        1, ContractRecord(**{name: getattr(defined, name) for name in names}), "", each.tick_size, 1, "", "", "", "", "", ""
    )  # fmt: skip
    known = instrument_of(details)
    assert (known.type, known.currency, known.con_id) == (each.type, defined.currency, defined.con_id)
    assert (known.tick_size, known.multiplier) == (each.tick_size, each.multiplier)
    assert known.tradable == (each.type is not InstrumentType.INDEX)
    again = contract_of(msgspec.structs.replace(known) if isinstance(known, msgspec.Struct) else known)
    assert again.con_id == defined.con_id
    nameless = Contract(**{**msgspec.structs.asdict(again), "con_id": 0})
    assert world.one(nameless) == INSTRUMENTS.index(each)


def test_a_stock_is_routed_smart_and_told_apart_by_its_primary_exchange() -> None:
    record = contract_of(INSTRUMENTS[0], 265598)
    assert (record.con_id, record.exchange, record.primary_exchange) == (265598, "SMART", "NASDAQ")
    assert contract_of(Instrument("XYZ")).primary_exchange == ""


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"type": "BAG"}, "is of type BAG; papertape trades STK, FUT, OPT"),
        ({"type": "FUT", "symbol": "ZC", "magnifier": 100}, "ZC: its prices are magnified by 100"),
    ],
)
def test_what_is_not_traded_is_refused_by_name(details: dict[str, object], said: str) -> None:
    magnifier = int(str(details.pop("magnifier", 1)))
    contract = msgspec.convert(details, ContractRecord)
    with pytest.raises(UserError, match=said):
        instrument_of(ContractDetails(1, contract, "", 0.01, magnifier, "", "", "", "", "", ""))


def test_a_multiplier_that_is_no_number_is_the_brokers_fault() -> None:
    contract = ContractRecord(type="FUT", symbol="ES", multiplier="fifty")
    with pytest.raises(PeerError, match='multiplier "fifty"'):
        instrument_of(ContractDetails(1, contract, "", 0.25, 1, "", "", "", "", "", ""))


# ------------------------------------------------------------------------------------------------------------- orders


@st.composite
def requests(draw: st.DrawFn) -> OrderRequest:
    """Any order that a strategy may give, at prices above 10."""
    kind = draw(st.sampled_from(OrderType))
    tifs = [TimeInForce.DAY, TimeInForce.GTC]
    if kind not in (OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE):
        tifs += [TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD]
    if kind in (OrderType.MARKET, OrderType.LIMIT):
        tifs.append(TimeInForce.OPG)
    tif = draw(st.sampled_from(tifs))
    trails = kind in (OrderType.TRAIL, OrderType.TRAIL_LIMIT)
    fraction = trails and draw(st.booleans())
    limits = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_ON_CLOSE)
    stops = kind in (OrderType.STOP, OrderType.STOP_LIMIT)
    return OrderRequest(
        instrument=0,
        symbol="AAPL",
        side=draw(st.sampled_from(Side)),
        quantity=draw(QUANTITIES),
        type=kind,
        limit_price=draw(PRICES) if limits else math.nan,
        stop_price=draw(PRICES) if stops or kind is OrderType.TRAIL_LIMIT else math.nan,
        trail=draw(st.integers(1, 90).map(lambda n: n / 100.0) if fraction else PRICES) if trails else math.nan,
        trail_is_fraction=fraction,
        tif=tif,
        expire_ts=NOW + draw(st.integers(1, 10**6)) * NS_PER_S if tif is TimeInForce.GTD else 0,
        outside_hours=draw(st.booleans()),
        tag="pt-r-1",
    )


def as_tws_reads_it(request: OrderRequest, tick: float, zone: str = "") -> OrderRequest:
    """What a TWS makes of the order that is sent for a request."""
    sent = order_of(request, account="DU1", order_ref=request.tag, min_tick=tick, zone=zone)
    names = set(sent.__struct_fields__) - {"order_id", "client_id", "perm_id"}
    order = Order(**{name: getattr(sent, name) for name in names})
    read = understand(order, 0, Instrument("AAPL", tick_size=tick), 200, "US/Eastern", NOW)
    assert isinstance(read, Terms), read
    return read.request


@given(requests(), st.sampled_from(["", "US/Eastern", "Europe/Berlin"]))
def test_tws_reads_every_order_as_it_was_meant(request: OrderRequest, zone: str) -> None:
    read = as_tws_reads_it(request, 0.0001, zone)
    for name in request.__struct_fields__:
        ours, theirs = getattr(request, name), getattr(read, name)
        same = math.isclose(ours, theirs, rel_tol=1e-12) if isinstance(ours, float) and ours == ours else True
        assert same, name
        assert repr(ours) == repr(theirs) or isinstance(ours, float), name
        assert (ours == ours) == (theirs == theirs), name


@given(requests(), TICKS)
def test_prices_fit_the_step_and_none_is_worse_for_the_trader(request: OrderRequest, tick: float) -> None:
    read = as_tws_reads_it(request, tick)
    up = request.side is Side.SELL
    for asked, got in ((request.limit_price, read.limit_price), (request.stop_price, read.stop_price)):
        if asked != asked or request.type is OrderType.TRAIL_LIMIT:
            continue
        assert conforms(got, Instrument("AAPL", tick_size=tick))
        assert abs(got - asked) < tick * (1 + 1e-6)
        assert got >= asked - 1e-9 if up else got <= asked + 1e-9


def test_what_was_rounded_is_said_and_nothing_else() -> None:
    request = OrderRequest(0, "AAPL", Side.SELL, 5.0, OrderType.STOP_LIMIT, limit_price=10.123, stop_price=10.25)
    sent = order_of(request, account="DU1", order_ref="x", min_tick=0.01)
    assert (sent.limit_price, sent.aux_price) == (10.13, 10.25)
    assert rounding(request, sent) == "limit 10.123 sent as 10.13"
    unknown = order_of(request, account="DU1", order_ref="x")
    assert (unknown.limit_price, rounding(request, unknown)) == (10.123, "")


def test_the_trail_of_an_order_is_never_longer_than_asked_and_never_nothing() -> None:
    trail = OrderRequest(0, "AAPL", Side.SELL, 5.0, OrderType.TRAIL, trail=0.129)
    assert order_of(trail, account="", order_ref="", min_tick=0.01).aux_price == 0.12
    tiny = msgspec.structs.replace(trail, trail=0.001)
    assert order_of(tiny, account="", order_ref="", min_tick=0.01).aux_price == 0.01
    share = msgspec.structs.replace(trail, trail=0.07, trail_is_fraction=True)
    sent = order_of(share, account="", order_ref="", min_tick=0.01)
    assert sent.trailing_percent == 7.0
    assert math.isnan(sent.aux_price)


def test_a_stock_below_one_keeps_its_finer_prices_and_a_future_does_not() -> None:
    request = OrderRequest(0, "PENY", Side.BUY, 5.0, OrderType.LIMIT, limit_price=0.52345)
    assert order_of(request, account="", order_ref="", min_tick=0.01).limit_price == 0.5234
    future = order_of(request, account="", order_ref="", min_tick=0.25, type=InstrumentType.FUTURE)
    assert future.limit_price == 0.5


@given(st.integers(-(10**9), 10**9), TICKS, st.booleans())
def test_a_price_on_a_step_stays_where_it_is_however_it_was_computed(steps: int, tick: float, up: bool) -> None:
    price = steps * tick
    assert math.isclose(on_step(price, tick, up=up), price, rel_tol=1e-12, abs_tol=1e-12)
    assert on_step(0.1 + 0.2, 0.1, up=up) == 0.3


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"type": OrderType.LIMIT}, "needs a limit price"),
        ({"type": OrderType.STOP}, "needs a stop price"),
        ({"type": OrderType.TRAIL}, "a trail of nan"),
        ({"type": OrderType.TRAIL_LIMIT, "trail": 0.1}, "needs a limit offset"),
        ({"quantity": math.nan}, "quantity nan"),
        ({"quantity": 0.0}, "quantity 0"),
        ({"tif": TimeInForce.GTD}, "GTD needs a time"),
    ],
)
def test_an_order_with_a_term_missing_is_never_sent(terms: dict[str, object], said: str) -> None:
    request = msgspec.structs.replace(OrderRequest(0, "AAPL", Side.BUY, 1.0), **terms)
    with pytest.raises(StrategyError, match=said):
        order_of(request, account="", order_ref="")


def test_an_order_of_a_group_takes_partial_fills_off_its_fellows() -> None:
    request = OrderRequest(0, "AAPL", Side.BUY, 1.0, group=3)
    grouped = order_of(request, account="DU1", order_ref="pt-r-1", oca_group="pt-r-g3", parent_id=7, transmit=False)
    assert (grouped.oca_group, grouped.oca_type, grouped.parent_id, grouped.transmit) == ("pt-r-g3", 2, 7, False)
    assert order_of(request, account="DU1", order_ref="pt-r-1").oca_type == 0


# ------------------------------------------------------------------------------------------------------- words of TWS


@pytest.mark.parametrize(
    ("text", "filled", "remaining", "expected"),
    [
        ("ApiPending", 0.0, 10.0, S.PENDING_SUBMIT),
        ("PendingSubmit", 0.0, 10.0, S.PENDING_SUBMIT),
        ("PreSubmitted", 0.0, 10.0, S.SUBMITTED),
        ("Submitted", 0.0, 10.0, S.SUBMITTED),
        ("Submitted", math.nan, math.nan, S.SUBMITTED),
        ("Submitted", 4.0, 6.0, S.PARTIALLY_FILLED),
        ("PendingCancel", 4.0, 6.0, S.PENDING_CANCEL),
        ("ApiCancelled", 0.0, 10.0, S.CANCELLED),
        ("Cancelled", 4.0, 6.0, S.CANCELLED),
        ("Filled", 10.0, 0.0, S.FILLED),
        ("Filled", math.nan, math.nan, S.FILLED),
        ("Filled", 4.0, 6.0, S.PARTIALLY_FILLED),
        ("Inactive", 0.0, 10.0, S.REJECTED),
        ("Inactive", 4.0, 6.0, S.CANCELLED),
    ],
)
def test_a_status_of_tws_is_one_of_ours(text: str, filled: float, remaining: float, expected: OrderStatus) -> None:
    assert status_of(text, filled, remaining) is expected


@pytest.mark.parametrize("text", ["", "filled", "Submitted ", "ValidationError"])
def test_a_status_that_tws_does_not_have_is_no_status(text: str) -> None:
    with pytest.raises(PeerError, match="which is no status"):
        status_of(text, 0.0, 1.0)


def test_sides_are_read_from_executions_and_orders() -> None:
    assert [side_of(text) for text in ("BOT", "SLD", "BUY", "SELL", "SSHORT")] == [1, -1, 1, -1, -1]
    with pytest.raises(PeerError, match='names the side "bot"'):
        side_of("bot")


def test_a_correction_has_the_root_of_what_it_replaces_and_a_higher_revision() -> None:
    assert execution_key("0000e0d5.64f3a1b2.01.01") == ("0000e0d5.64f3a1b2.01", 1)
    assert execution_key("0000e0d5.64f3a1b2.01.02") == ("0000e0d5.64f3a1b2.01", 2)
    assert execution_key("0000e0d5.64f3a1b2.01.10")[1] > execution_key("0000e0d5.64f3a1b2.01.09")[1]
    for bad in ("", "abc", "abc.", "abc.x", ".1"):
        with pytest.raises(PeerError, match="no revision"):
            execution_key(bad)


RUN_IDS = st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True)


@given(RUN_IDS, st.integers(1, 10**10 - 1))
def test_an_orders_mark_is_read_back(run_id: str, number: int) -> None:
    assert parse_order_ref(order_ref(run_id, number)) == (run_id, number)


@pytest.mark.parametrize(
    "text", ["", "pt", "pt-1", "pt-run-", "pt-run-0", "pt-run-01", "PT-run-1", "pt-run-1 ", "my pt-run-1"]
)
def test_the_marks_of_others_are_none_of_ours(text: str) -> None:
    assert parse_order_ref(text) is None


@pytest.mark.parametrize("run_id", ["", "a b", "a\0b", "ä", "x" * 41])
def test_a_run_id_that_might_not_survive_tws_is_refused(run_id: str) -> None:
    with pytest.raises(ConfigError, match="can mark its orders"):
        order_ref(run_id, 1)


def test_only_known_prefixes_are_paper_accounts() -> None:
    assert all(map(is_paper_account, ["DU1234567", "DF1234567", "DI1234567"]))
    assert not any(map(is_paper_account, ["U1234567", "F1234567", "I1234567", "DX1234567", "du1234567", "D", ""]))


# --------------------------------------------------------------------------------------------------------- market data


def test_a_trade_is_read_from_rt_volume() -> None:
    trade = rt_volume("701.28;1.0000;1348075471534;67854;701.46918464;true")
    assert trade is not None
    assert msgspec.structs.astuple(trade) == (701.28, 1.0, 1348075471534, 67854.0, 701.46918464)


@pytest.mark.parametrize(
    "text", [";0;1348075476533;67854;701.46;false", "701.28;0;1348075476533;67854;;true", ";;1;;;"]
)
def test_rt_volume_without_a_price_or_a_size_is_no_trade(text: str) -> None:
    assert rt_volume(text) is None


def test_what_rt_volume_leaves_out_is_unknown_and_not_zero() -> None:
    trade = rt_volume("701.28;5;1348075471534;;;true")
    assert trade is not None
    assert math.isnan(trade.total)
    assert math.isnan(trade.vwap)


@pytest.mark.parametrize("text", ["", "701.28", "a;1;2;3;4;true", "1;1;x;3;4;true", "1;1;1;1;1;true;1"])
def test_rt_volume_of_another_form_is_the_brokers_fault(text: str) -> None:
    with pytest.raises(PeerError, match="RTVolume"):
        rt_volume(text)


@pytest.mark.parametrize(
    ("length", "bar", "expected"),
    [
        ("1 h", "1 min", ("3600 S", "1 min")),
        ("10 s", "5 s", ("30 S", "5 secs")),
        ("90 min", "2 h", ("5400 S", "2 hours")),
        ("1 D", "1 min", ("6 D", "1 min")),
        ("10 D", "1 D", ("18 D", "1 day")),
        ("400 D", "1 D", ("2 Y", "1 day")),
        ("20 D", "1 w", ("32 D", "1W")),
        ("48 h", "30 min", ("2 D", "30 mins")),
        ("1 h", "1 D", ("1 D", "1 day")),
    ],
)
def test_a_length_is_asked_for_so_that_it_is_covered(length: str, bar: str, expected: tuple[str, str]) -> None:
    assert history_terms(duration(length), duration(bar)) == expected


@given(st.integers(1, 3_000) | st.none(), st.integers(1, 10**7), st.sampled_from([1, 5, 60, 3600, 28800]))
def test_tws_takes_every_length_and_every_size_that_is_asked(sessions: int | None, seconds: int, bar_s: int) -> None:
    length = Duration(ns=seconds * NS_PER_S) if sessions is None else Duration(sessions=sessions)
    length_text, bar_text = history_terms(length, Duration(ns=bar_s * NS_PER_S))
    assert bar_text in SIZES
    assert hasattr(read_span(length_text), "count")


@pytest.mark.parametrize("bar", ["7 s", "90 s", "0.5 s", "5 h", "2 D"])
def test_a_bar_that_tws_does_not_have_is_refused_with_those_it_has(bar: str) -> None:
    with pytest.raises(UserError, match=r"has no bars of .*; it has 1 secs, 5 secs"):
        history_terms(duration("1 D"), duration(bar))


def test_a_scan_asks_for_every_filter_by_the_name_that_tws_has_for_it() -> None:
    spec = MOST_ACTIVE.where(avg_volume_above=1_000_000, price_above=10.5)
    command = scan_command(spec, 500, 7)
    assert (command.request_id, command.code, command.rows) == (7, "MOST_ACTIVE", 50)
    assert command.options == {"avgVolumeAbove": "1000000", "priceAbove": "10.5"}


@given(
    st.dictionaries(st.sampled_from(sorted(FILTERS)), st.integers(0, 10**14).map(lambda n: n / 1000.0)),
    st.integers(1, 50),
)
def test_tws_reads_every_filter_of_a_scan(filters: dict[str, float], rows: int) -> None:
    command = scan_command(ScanSpec("MOST_ACTIVE", filters), rows, 7)
    options = "".join(f"{tag}={value};" for tag, value in command.options.items())
    wire = ScannerSubscription(7, rows, "STK", command.location, command.code, filter_options=options)
    read = read_scan(wire, 50)
    assert getattr(read, "spec", read) == ScanSpec("MOST_ACTIVE", filters)
