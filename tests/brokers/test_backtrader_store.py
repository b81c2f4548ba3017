"""Times and lengths as backtrader writes them, and orders as requests."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")

import backtrader as bt
from hypothesis import given
from hypothesis import strategies as st

from brokers.backtrader_store import DAY_NS, WallClock, plain, timeframe_of
from brokers.backtrader_store_data import LiveData
from brokers.backtrader_store_orders import UnavailableError, request_of
from papertape.core.model import NS_PER_S, OrderType, Side, TimeInForce

ZONE = "America/New_York"
NOW = round(dt.datetime(2024, 6, 3, 14, 0, tzinfo=dt.UTC).timestamp()) * NS_PER_S
moments = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2060, 1, 1)).map(lambda m: m.replace(tzinfo=dt.UTC))


def instant(moment: dt.datetime) -> int:
    return round(moment.replace(microsecond=0).timestamp()) * NS_PER_S + moment.microsecond * 1_000


@given(st.lists(moments, min_size=1, max_size=50))
def test_a_time_is_to_the_last_bit_the_number_that_backtrader_makes_of_the_wall_clock(times: list[dt.datetime]) -> None:
    clock = WallClock(ZONE)
    wanted = [bt.date2num(each.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)) for each in times]
    ts = np.array([instant(each) for each in times])
    assert clock.numbers(ts).tolist() == wanted
    assert [clock.number(each) for each in ts.tolist()] == wanted


@given(moments)
def test_a_number_leads_back_to_its_time(moment: dt.datetime) -> None:
    clock = WallClock(ZONE)
    local = moment.astimezone(ZoneInfo(ZONE))
    if local.fold or local.replace(fold=1).utcoffset() != local.utcoffset():
        return  # the hour that the wall clock shows twice
    there_and_back = clock.instant(clock.number(instant(moment)))
    assert abs(there_and_back - instant(moment)) <= 20_000, "backtrader's numbers tell 10 us apart"


def test_lengths_are_timeframe_and_compression() -> None:
    frames = bt.TimeFrame
    assert timeframe_of(None) == (frames.Ticks, 1)
    assert timeframe_of(5 * NS_PER_S) == (frames.Seconds, 5)
    assert timeframe_of(3_600 * NS_PER_S) == (frames.Minutes, 60)
    assert timeframe_of(DAY_NS) == (frames.Days, 1)
    assert timeframe_of(250_000_000) == (frames.MicroSeconds, 250_000)


def test_whole_quantities_are_integers() -> None:
    assert (plain(3.0), type(plain(3.0)), plain(-2.5)) == (3, int, -2.5)


def data() -> Any:
    """A data that has heard one bar, at 10:00."""
    kind: Any = LiveData
    made = kind(dataname="AAA")
    made.setenvironment(bt.Cerebro())
    made._start()
    made.rows.append((True, (bt.date2num(dt.datetime(2024, 6, 3, 10, 0)), 99.0, 101.0, 98.0, 100.0, 10.0)))
    assert made.load()
    return made


def order(kind: type = bt.order.BuyOrder, **terms: object) -> object:
    return kind(owner=None, data=data(), size=terms.pop("size", 5), **terms)


def test_a_trailing_limit_keeps_its_distance_beyond_the_stop() -> None:
    terms = {"exectype": bt.Order.StopTrailLimit, "trailamount": 2.0}
    sell = request_of(order(bt.order.SellOrder, price=100.0, pricelimit=99.5, **terms), 0, WallClock(ZONE), NOW)
    buy = request_of(order(price=100.0, pricelimit=100.5, **terms), 0, WallClock(ZONE), NOW)
    assert (sell.type, sell.trail, sell.stop_price) == (OrderType.TRAIL_LIMIT, 2.0, 0.5)
    assert (buy.side, buy.stop_price) == (Side.BUY, 0.5)
    with pytest.raises(UnavailableError, match="must lie beyond its stop"):
        request_of(order(price=100.0, pricelimit=99.5, **terms), 0, WallClock(ZONE), NOW)


def test_a_percentage_trails_as_a_fraction() -> None:
    made = request_of(order(exectype=bt.Order.StopTrail, trailpercent=0.02), 0, WallClock(ZONE), NOW)
    assert (made.trail, made.trail_is_fraction) == (0.02, True)


def test_an_order_without_a_price_takes_the_last_close_as_in_backtrader() -> None:
    assert request_of(order(exectype=bt.Order.Limit), 0, WallClock(ZONE), NOW).limit_price == 100.0


def test_a_datetime_in_valid_is_the_exchanges_wall_clock() -> None:
    made = request_of(order(valid=dt.datetime(2024, 6, 3, 15, 30)), 3, WallClock(ZONE), NOW)
    assert (made.tif, made.instrument) == (TimeInForce.GTD, 3)
    assert made.expire_ts == instant(dt.datetime(2024, 6, 3, 19, 30, tzinfo=dt.UTC))


@pytest.mark.parametrize("size", [0, float("nan"), float("inf")])
def test_a_size_that_is_none_is_refused(size: float) -> None:
    with pytest.raises(UnavailableError, match="is no number of units"):
        request_of(order(size=size), 0, WallClock(ZONE), NOW)


def test_outside_hours_is_the_one_field_of_the_brokers_own_that_can_be_given() -> None:
    late = order()
    late.addinfo(outsideRth=True)  # type: ignore[attr-defined]
    assert request_of(late, 0, WallClock(ZONE), NOW).outside_hours
