"""The price step that an order's prices are put on: of the instrument as it was given, and as TWS defines it."""

from __future__ import annotations

import math

import pytest

from brokers.ib import commands as c
from brokers.ib.registry import Registry
from papertape.core.model import Instrument, InstrumentType
from tests.brokers.ib.linked import Linked, request


@pytest.mark.parametrize(
    ("kind", "given", "told", "step"),
    [
        (InstrumentType.STOCK, 0.01, math.nan, 0.01),
        (InstrumentType.STOCK, 0.01, 0.0001, 0.01),
        (InstrumentType.STOCK, 0.01, 0.05, 0.05),
        (InstrumentType.CASH, 0.01, 0.00005, 0.00005),
        (InstrumentType.CASH, 0.01, math.nan, math.nan),
        (InstrumentType.FUTURE, 0.25, math.nan, 0.25),
        (InstrumentType.FUTURE, 0.25, 0.5, 0.5),
    ],
)
def test_the_price_step_is_tws_own_where_it_is_known_and_never_finer_than_a_stock_trades(
    kind: InstrumentType, given: float, told: float, step: float
) -> None:
    registry = Registry()
    j, _ = registry.add(Instrument("AAA", kind, tick_size=given))
    registry.define(j, 5, told)
    assert registry.price_step(j) == pytest.approx(step, nan_ok=True)
    assert registry.con_ids == [5]


@pytest.mark.parametrize(("told", "sent"), [(math.nan, 1.08537), (0.00005, 1.08535)])
def test_a_price_of_a_currency_is_never_put_on_a_stocks_step(told: float, sent: float) -> None:
    linked = Linked()
    linked.connect()
    linked.registry.instruments[0] = Instrument("EUR.USD", InstrumentType.CASH)
    linked.registry.define(0, 101, told)
    linked.order(1, limit_price=1.08537)
    assert linked.sent_of(c.PlaceOrder)[0].order.limit_price == sent


@pytest.mark.parametrize(("kind", "sent"), [(InstrumentType.STOCK, 0.5312), (InstrumentType.OPTION, 0.53)])
def test_only_stocks_have_a_finer_step_below_a_price_of_one(kind: InstrumentType, sent: float) -> None:
    linked = Linked()
    linked.connect()
    linked.registry.instruments[0] = Instrument("AAA", kind)
    linked.registry.define(0, 101, 0.01)
    entry = linked.ib.orders.admit(1, request(limit_price=0.5312))
    assert entry.terms.limit_price == sent
