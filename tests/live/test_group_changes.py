"""Changes of orders in one-cancels-other groups, which fills of their fellows make smaller meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from brokers.ib import commands as c
from brokers.ib.events import OrderAmended
from tests.live.adapted import Adapted, close_journals


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_journals()


def test_a_change_decided_before_its_group_filled_in_part_does_not_put_back_what_filled(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    adapted.order(1, limit_price=9.0, group=1)
    entry = adapted.adapter.ib.orders.entries[1]
    placed = adapted.tws.orders[entry.order_id]
    placed.order = msgspec.structs.replace(placed.order, quantity=4.0)
    adapted.gateway.say(placed.open_order())
    adapted.turn()
    adapted.modify(1, known_quantity=10.0, limit_price=9.5, group=1)
    sent = adapted.sent_of(c.PlaceOrder)[-1].order
    assert (sent.quantity, sent.limit_price) == (4.0, 9.5)
    adapted.modify(1, known_quantity=10.0, quantity=5.0, limit_price=9.7, group=1)
    assert adapted.sent_of(c.PlaceOrder)[-1].order is sent
    (refused,) = [each for each in adapted.happened(OrderAmended) if "group" in each.text]
    assert refused.request.quantity == 4.0
    adapted.modify(1, known_quantity=4.0, quantity=12.0, limit_price=9.5, group=1)
    assert adapted.sent_of(c.PlaceOrder)[-1].order.quantity == 12.0
