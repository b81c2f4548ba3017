"""Random lives of orders: any order of messages ends in the same fills, and sums of what works are what they should be."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import (
    Charged,
    Executed,
    FillCorrected,
    Mismatch,
    Notice,
    OrderFilled,
)
from brokers.ib.orders import Entry
from brokers.ib.records import Record
from papertape.core.model import OrderStatus, Side
from tests.brokers.ib.linked import Linked, request

Status = OrderStatus


def ready() -> Linked:
    linked = Linked()
    linked.connect()
    return linked


def now(entry: Entry) -> OrderStatus:
    """Status of an order as it is now."""
    return entry.status


def halts(linked: Linked) -> list[str]:
    return [each.text for each in linked.happened(Notice) if each.halts]


def error(entry: Entry, code: int, text: str = "text") -> r.ErrorMessage:
    return r.ErrorMessage(entry.order_id, code, text)


# -- sums -----------------------------------------------------------------------------------------------------

lives = st.lists(
    st.tuples(
        st.sampled_from(["give", "fill", "cancel", "end", "change"]),
        st.integers(0, 9),
        st.integers(1, 30),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(steps=lives)
def test_running_sums_of_what_works_are_what_adding_it_up_gives(steps: list[tuple[str, int, int, Side, int]]) -> None:
    linked = ready()
    for what, k, quantity, side, group in steps:
        working = linked.ib.orders.working()
        if what == "give":
            number = len(linked.ib.orders.entries) + 1
            parent = working[k % len(working)].number if working and k > 7 else 0
            linked.working_order(number, side=side, quantity=float(quantity), group=group, parent=parent, j=k % 2)
        elif working:
            entry = working[k % len(working)]
            placed = linked.tws.orders[entry.order_id]
            if what == "fill":
                linked.tell(*linked.tws.fill(entry.order_id, min(float(quantity), entry.remaining)))
            elif what == "end":
                placed.status = "Cancelled"
                linked.tell(placed.state())
            elif what == "change":
                changed = msgspec.structs.replace(entry.request, quantity=entry.filled + quantity)
                linked.ib.orders.modify(entry.number, changed)
                linked.settle()
                linked.tell(placed.open_order())
            else:
                linked.ib.orders.cancel(entry.number)
    for j, side in itertools.product((0, 1), (Side.BUY, Side.SELL)):
        plain = 0.0
        groups: dict[int, float] = {}
        for entry in linked.ib.orders.working():
            asked = entry.request
            parent_entry = linked.ib.orders.entries.get(asked.parent)
            waits = parent_entry is not None and not parent_entry.status.is_final
            if (asked.instrument, asked.side) != (j, side) or waits:
                continue
            if asked.group:
                groups[asked.group] = max(groups.get(asked.group, 0.0), entry.remaining)
            else:
                plain += entry.remaining
        told = linked.ib.orders.working_quantities(j)[0 if side is Side.BUY else 1]
        assert told == pytest.approx(plain + sum(groups.values()))


# -- any order of messages ------------------------------------------------------------------------------------


@st.composite
def happenings(draw: st.DrawFn) -> tuple[list[int], str, dict[str, float], int]:
    """(parts of the fill, how it ends, share of dropped and doubled statuses, seed of the shuffle)."""
    parts = draw(st.lists(st.integers(1, 5), max_size=4))
    end = draw(st.sampled_from(["filled", "cancelled", "open"]))
    return parts, end, {"drop": draw(st.floats(0, 0.8)), "double": draw(st.floats(0, 0.8))}, draw(st.integers(0, 2**32))


@given(case=happenings(), corrects=st.booleans(), breaks=st.booleans())
def test_any_order_of_messages_ends_in_the_same_fills_position_and_status(
    case: tuple[list[int], str, dict[str, float], int], corrects: bool, breaks: bool
) -> None:
    """Statuses may be lost, doubled and come in any order, executions be doubled and late, fees before or after.

    When TWS was asked about everything once (a break), all that is true is known, and each thing once.
    """
    parts, end, shares, seed = case
    linked = ready()
    quantity = float(sum(parts)) if end == "filled" and parts else float(sum(parts) + 3)
    entry = linked.order(quantity=quantity, side=Side.BUY, limit_price=20.0)
    placed = linked.tws.orders[entry.order_id]
    messages: list[Record] = [placed.open_order(), placed.state()]
    for k, part in enumerate(parts):
        messages += linked.tws.fill(entry.order_id, float(part), 10.0 + k, 0.5 + k)
    if corrects and parts:
        messages += linked.tws.correct(0, float(parts[0]), 9.0, 0.25)
    if end == "cancelled":
        linked.ib.orders.cancel(1)
        linked.settle()
        placed.status = "Cancelled"
        messages += [error(entry, 202, "Order Canceled"), placed.open_order(), placed.state()]
    rng = random.Random(seed)
    told: list[Record] = []
    for message in messages:
        is_status = isinstance(message, r.OpenOrder | r.OrderState | r.ErrorMessage)
        if is_status and rng.random() < shares["drop"]:
            continue
        told += [message] * (2 if rng.random() < shares["double"] else 1)
    rng.shuffle(told)
    for message in told:
        linked.tell(message)
        if rng.random() < 0.3:
            linked.wait(rng.choice([0.1, 0.7, 3.0]))
    if breaks:
        linked.break_off()
        linked.come_back()
    linked.wait(12)
    if not breaks:
        linked.break_off()
        linked.come_back()
    expected = sum(parts)
    assert linked.ib.orders.positions == ({0: float(expected)} if expected else {})
    moved = sum(each.signed_quantity for each in linked.happened(Executed))
    assert moved == expected
    assert sum(each.amount for each in linked.happened(Charged)) == pytest.approx(sum(linked.tws.fees.values()))
    latest = {each.exec_id: (each.quantity, each.price) for each in linked.happened(OrderFilled)}
    for each in linked.happened(FillCorrected):
        del latest[each.replaces]
        latest[each.exec_id] = (each.quantity, each.price)
    true = {each.exec_id: (each.quantity, each.price) for each in linked.tws.executions.values()}
    assert latest == true
    assert max(Counter(each.exec_id for each in linked.happened(OrderFilled)).values(), default=1) == 1
    assert now(entry) is _final(end, parts)
    assert [each.order_id for each in linked.sent_of(c.PlaceOrder)] == [entry.order_id]
    assert halts(linked) == []
    assert linked.happened(Mismatch) == []


def _final(end: str, parts: list[int]) -> OrderStatus:
    if end == "filled" and parts:
        return Status.FILLED
    if end == "cancelled":
        return Status.CANCELLED
    return Status.PARTIALLY_FILLED if parts else Status.SUBMITTED


def test_thousands_of_orders_leave_nothing_behind_that_each_message_walks_over() -> None:
    linked = Linked(messages_per_s=0)
    linked.connect()
    for number in range(1, 5_001):
        entry = linked.ib.orders.admit(number, request(j=number % 3))
        linked.ib.orders.send(entry)
        (sent,) = linked.ib.take_commands(linked.now)
        assert isinstance(sent, c.PlaceOrder)
        linked.tws.place(sent)
        linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    orders = linked.ib.orders
    assert len(orders.entries) == 5_000
    assert (orders.working(), orders._unheard, orders._searched, orders.fills._held, orders.told.open) == (
        [], {}, {}, {}, {},
    )  # fmt: skip
    assert sum(orders.positions.values()) == 50_000.0
