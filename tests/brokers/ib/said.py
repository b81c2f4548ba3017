"""Any message that a TWS can say of what we ask, as strategies of hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from brokers.ib.records import NAN, ContractRecord
from gateway.protocol import replies as say
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order

CONTRACT_NAMES = tuple(ContractRecord.__struct_fields__)
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
        say.PortfolioValue, contracts("exchange"), SIZES | st.just(NAN), PRICES, PRICES, PRICES, PRICES, PRICES, TEXT),
    say.PositionRow: st.builds(say.PositionRow, TEXT, SAID_CONTRACT, PRICES, PRICES),
    say.PositionEnd: st.just(say.PositionEnd()),
    say.PnlUpdate: st.builds(say.PnlUpdate, IDS, PRICES, PRICES, PRICES),
    say.OrderStatus: st.builds(
        say.OrderStatus, IDS, TEXT, SIZES | st.just(NAN), SIZES | st.just(NAN), PRICES, IDS, IDS, PRICES, IDS, TEXT),
    say.OpenOrder: st.builds(
        say.OpenOrder, IDS, IDS, IDS, SAID_CONTRACT, orders(),
        st.builds(say.OrderState, TEXT, commission=PRICES, warning=TEXT)),
    say.OpenOrdersEnd: st.just(say.OpenOrdersEnd()),
    say.CompletedOrder: st.builds(
        say.CompletedOrder, IDS, IDS, SAID_CONTRACT, orders(),
        st.builds(say.OrderState, TEXT, completed_time=TEXT, completed_status=TEXT), SIZES),
    say.CompletedOrdersEnd: st.just(say.CompletedOrdersEnd()),
    say.Execution: st.builds(
        say.Execution, st.sampled_from([-1, 9]), IDS, SAID_CONTRACT, TEXT, TEXT, TEXT, TEXT, st.sampled_from(["BOT", "SLD"]),
        SIZES | st.just(NAN), PRICES, IDS, IDS, SIZES, PRICES, TEXT),
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
