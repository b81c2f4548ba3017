"""What is sent means what was commanded, with the installed client at every server version that it speaks."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from brokers.ib import commands as do
from brokers.ib import compat
from brokers.ib.records import NAN, NO_REQUEST, ContractRecord, ErrorMessage, OrderRecord
from gateway.protocol import requests as ask
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from tests.brokers.ib.peers import VERSIONS, Pair

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = 20
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
IDS = st.integers(1, 2**31 - 2)
FLOATS = st.integers(-(10**13), 10**13).map(lambda n: n / 4096.0)
PRICES = FLOATS | st.just(NAN)
BOOLS = st.booleans()
CONTRACTS = st.builds(
    ContractRecord, con_id=IDS, symbol=TEXT, type=st.sampled_from(["STK", "FUT", "OPT", "CASH", "IND", "CRYPTO"]), expiry=TEXT,
    strike=st.integers(0, 10**6).map(lambda n: n / 8.0), right=TEXT, multiplier=TEXT, exchange=TEXT, primary_exchange=TEXT,
    currency=TEXT, local_symbol=TEXT, trading_class=TEXT,
)  # fmt: skip
ORDERS = st.builds(
    OrderRecord, action=st.sampled_from(["BUY", "SELL"]),
    quantity=st.integers(1, 10**6).map(float) | st.sampled_from([0.5, 1e-07, 12345.6789]),
    type=st.sampled_from(["MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "MOC", "LOC"]), limit_price=PRICES,
    aux_price=PRICES, tif=st.sampled_from(["DAY", "GTC", "IOC", "FOK", "OPG", "GTD"]), oca_group=TEXT,
    oca_type=st.integers(0, 3), account=TEXT, order_ref=TEXT, transmit=BOOLS, parent_id=st.integers(0, 2**31 - 2),
    outside_hours=BOOLS, good_till=TEXT, trail_stop_price=PRICES, trailing_percent=PRICES, limit_offset=PRICES, what_if=BOOLS,
)  # fmt: skip
COMMANDS: Mapping[type, st.SearchStrategy[Any]] = {
    do.AskTime: st.just(do.AskTime()),
    do.AskIds: st.just(do.AskIds()),
    do.FollowAccount: st.builds(do.FollowAccount, TEXT, BOOLS),
    do.AskPositions: st.just(do.AskPositions()),
    do.StopPositions: st.just(do.StopPositions()),
    do.FollowPnl: st.builds(do.FollowPnl, IDS, TEXT),
    do.StopPnl: st.builds(do.StopPnl, IDS),
    do.AskOpenOrders: st.builds(do.AskOpenOrders, BOOLS),
    do.AskCompletedOrders: st.builds(do.AskCompletedOrders, BOOLS),
    do.AskExecutions: st.builds(do.AskExecutions, IDS, TEXT, st.integers(0, 99)),
    do.PlaceOrder: st.builds(do.PlaceOrder, IDS, CONTRACTS, ORDERS),
    do.CancelOrder: st.builds(do.CancelOrder, IDS),
    do.CancelAll: st.just(do.CancelAll()),
    do.SetMarketDataType: st.builds(do.SetMarketDataType, st.integers(1, 4)),
    do.FollowMarket: st.builds(do.FollowMarket, IDS, CONTRACTS, st.sampled_from(["", "233", "233,236"]), BOOLS),
    do.StopMarket: st.builds(do.StopMarket, IDS),
    do.FollowTicks: st.builds(do.FollowTicks, IDS, CONTRACTS, st.sampled_from(["Last", "AllLast", "BidAsk", "MidPoint"])),
    do.StopTicks: st.builds(do.StopTicks, IDS),
    do.AskHistory: st.builds(do.AskHistory, IDS, CONTRACTS, TEXT, TEXT, TEXT, TEXT, BOOLS, BOOLS),
    do.StopHistory: st.builds(do.StopHistory, IDS),
    do.FollowBars: st.builds(do.FollowBars, IDS, CONTRACTS, TEXT, BOOLS),
    do.StopBars: st.builds(do.StopBars, IDS),
    do.AskContract: st.builds(do.AskContract, IDS, CONTRACTS),
    do.FollowScan: st.builds(
        do.FollowScan, IDS, TEXT, TEXT, TEXT, st.integers(1, 50), PRICES, PRICES, st.none() | IDS, PRICES, PRICES,
        st.none() | IDS, TEXT, st.dictionaries(st.sampled_from(["priceAbove", "avgVolumeAbove"]), st.sampled_from(["1", "2.5"])),
    ),
    do.StopScan: st.builds(do.StopScan, IDS),
    do.AskScannerParameters: st.just(do.AskScannerParameters()),
}  # fmt: skip


def contract(of: ContractRecord) -> Contract:
    return Contract(**msgspec.structs.asdict(of))


def place(it: do.PlaceOrder, read: Any) -> Any:
    """What the request must be: all that the record says, and of the rest what the client's order has by default."""
    said = {
        name: getattr(it.order, name)
        for name in it.order.__struct_fields__
        if name not in ("order_id", "client_id", "perm_id")
    }
    assert not read.order.e_trade_only
    assert not read.order.firm_quote_only
    plain = Order(**said)
    kept = {name: getattr(plain, name) for name in said}
    assert repr({name: getattr(read.order, name) for name in said}) == repr(kept)
    assert read.contract == contract(it.contract)
    return ask.PlaceOrder(it.order_id, read.contract, read.order)


def scan(it: do.FollowScan) -> ask.Request:
    options = "".join(f"{tag}={value};" for tag, value in it.options.items())
    return ask.ScannerSubscription(
        it.request_id, it.rows, it.instrument, it.location, it.code, it.above_price, it.below_price, it.above_volume,
        it.market_cap_above, it.market_cap_below, average_option_volume_above=it.average_option_volume_above,
        stock_type=it.stock_type, filter_options=options,
    )  # fmt: skip


MEANT: Mapping[type, Callable[[Any], ask.Request]] = {
    do.AskTime: lambda _: ask.CurrentTime(),
    do.AskIds: lambda _: ask.NextId(1),
    do.FollowAccount: lambda it: ask.AccountUpdates(it.subscribe, it.account),
    do.AskPositions: lambda _: ask.Positions(),
    do.StopPositions: lambda _: ask.CancelPositions(),
    do.FollowPnl: lambda it: ask.Pnl(it.request_id, it.account),
    do.StopPnl: lambda it: ask.CancelPnl(it.request_id),
    do.AskOpenOrders: lambda it: ask.AllOpenOrders() if it.all_clients else ask.OpenOrders(),
    do.AskCompletedOrders: lambda it: ask.CompletedOrders(it.api_only),
    do.AskExecutions: lambda it: ask.Executions(it.request_id, ask.ExecutionFilter(it.client_id, it.account)),
    do.SetMarketDataType: lambda it: ask.SetMarketDataType(it.type),
    do.FollowMarket: lambda it: ask.MarketData(it.request_id, contract(it.contract), it.generic_ticks, it.snapshot),
    do.StopMarket: lambda it: ask.CancelMarketData(it.request_id),
    do.FollowTicks: lambda it: ask.TickByTick(it.request_id, contract(it.contract), it.type),
    do.StopTicks: lambda it: ask.CancelTickByTick(it.request_id),
    do.AskHistory: lambda it: ask.HistoricalBars(
        it.request_id,
        contract(it.contract),
        it.end,
        it.bar,
        it.duration,
        it.regular_hours,
        it.what,
        2,
        it.keep_up_to_date,
    ),
    do.StopHistory: lambda it: ask.CancelHistoricalBars(it.request_id),
    do.FollowBars: lambda it: ask.RealTimeBars(it.request_id, contract(it.contract), 5, it.what, it.regular_hours),
    do.StopBars: lambda it: ask.CancelRealTimeBars(it.request_id),
    do.AskContract: lambda it: ask.ContractDetails(it.request_id, contract(it.contract)),
    do.FollowScan: scan,
    do.StopScan: lambda it: ask.CancelScanner(it.request_id),
    do.AskScannerParameters: lambda _: ask.ScannerParameters(),
}


def meant(command: Any, read: Any) -> Any:
    """The request that a command means."""
    if isinstance(command, do.PlaceOrder):
        return place(command, read)
    if isinstance(command, do.CancelOrder):
        return ask.CancelOrder(command.order_id)
    if isinstance(command, do.CancelAll):
        return ask.GlobalCancel()
    return MEANT[type(command)](command)


@pytest.fixture(scope="module", params=VERSIONS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with Pair(request.param) as connected:
        yield connected


def test_every_command_can_be_said() -> None:
    assert set(compat.ENCODE) == set(get_args(do.Command)) == set(COMMANDS)


@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(*COMMANDS.values()), min_size=1, max_size=10))
def test_tws_reads_what_was_commanded(pair: Pair, commands: list[do.Command]) -> None:
    for command in commands:
        read = pair.carry(command)
        assert repr(read) == repr(meant(command, read))


@pytest.mark.parametrize("command", [do.FollowAccount("DÜ1"), do.FollowPnl(7, "a\x01b")], ids=repr)
def test_a_text_that_tws_can_not_be_sent_fails_that_command_and_nothing_else(pair: Pair, command: do.Command) -> None:
    assert pair.gateway.send(command)
    (record,) = pair.gateway.poll(0)
    assert isinstance(record, ErrorMessage)
    assert record.request_id == getattr(command, "request_id", NO_REQUEST)
    assert record.text.startswith("not sent: ")
    assert pair.carry(do.AskTime()) == ask.CurrentTime()


def test_an_order_that_can_not_be_written_down_is_answered_with_its_own_id(pair: Pair) -> None:
    order = OrderRecord("BUY", 1.0, "MKT", order_ref="ärger")
    assert pair.gateway.send(do.PlaceOrder(41, ContractRecord(symbol="X"), order))
    (record,) = pair.gateway.poll(0)
    assert isinstance(record, ErrorMessage)
    assert record.request_id == 41
    assert pair.carry(do.AskIds()) == ask.NextId(1)


def test_terms_that_are_unknown_are_unset_in_the_clients_order_and_not_zero() -> None:
    made = compat.order(compat.load(), OrderRecord("BUY", 1.0, "MKT"))
    assert made.lmtPrice == made.auxPrice == made.trailStopPrice == sys.float_info.max
    assert not math.isnan(made.trailingPercent)


def test_an_order_has_nothing_of_the_one_before_it() -> None:
    api = compat.load()
    compat.order(
        api, OrderRecord("SELL", 2.5, "STP LMT", limit_price=9.0, aux_price=8.0, oca_group="a", outside_hours=True)
    )
    made, blank = compat.order(api, OrderRecord("BUY", 1.0, "MKT")), api.order()
    changed = {name for name, value in vars(made).items() if value != vars(blank)[name]}
    assert vars(made).keys() == vars(blank).keys()
    assert changed - {"softDollarTier"} <= {
        "action",
        "totalQuantity",
        "orderType",
        "tif",
        "eTradeOnly",
        "firmQuoteOnly",
    }
    assert (made.action, made.totalQuantity, made.orderType) == ("BUY", "1", "MKT")


def test_a_contract_is_the_one_that_its_record_means() -> None:
    api = compat.load()
    first, second = ContractRecord(symbol="A", type="STK"), ContractRecord(symbol="B", type="STK", con_id=5)
    made = [compat.contract(api, each) for each in (first, second, first)]
    assert [(each.symbol, each.conId) for each in made] == [("A", 0), ("B", 5), ("A", 0)]


def test_no_newer_version_is_offered_than_the_text_protocol_has() -> None:
    api = compat.load()
    assert api.server_version_max == min(import_module("ibapi.client").MAX_CLIENT_VER, 200)
    assert import_module("ibapi.client").MAX_CLIENT_VER == import_module("ibapi.server_versions").MAX_CLIENT_VER


def test_the_loggers_of_the_client_cost_nothing_unless_somebody_wants_them() -> None:
    log = logging.getLogger("ibapi")
    before = log.level
    try:
        for wanted, kept in ((logging.NOTSET, logging.CRITICAL), (logging.INFO, logging.INFO)):
            log.setLevel(wanted)
            compat.load.__wrapped__()
            assert log.level == kept
    finally:
        log.setLevel(before)


def run(code: str) -> str:
    """What a fresh interpreter prints; its working directory is the repository."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return ran.stdout.strip() or ran.stderr[-500:]


HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
import papertape, brokers.ib.gateway, brokers.ib.callbacks, brokers.ib.translate
from papertape.core.errors import ConfigError
try:
    brokers.ib.gateway.IbGateway()
except ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(not compat.load().number_apart, reason="old clients need no protobuf")
def test_without_protobuf_one_line_says_what_is_missing() -> None:
    said = run(HIDDEN.format(hidden="google"))
    assert said.startswith("google")
    assert said.endswith(", which ibapi needs, is not installed: pip install '.[ib]'")


def test_without_the_client_everything_can_be_imported_and_one_line_says_what_to_install() -> None:
    assert run(HIDDEN.format(hidden="ibapi")) == "ibapi is not installed: pip install '.[ib]'"
