"""The account's guard: trips on the event that a backtest trips on, counts what others do, blocks what is not known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.engine import drive
from brokers.fees import FeeModel
from brokers.ib.registry import Registry
from brokers.sim import FillRules, SimBroker
from papertape.calendar import session_times
from papertape.core.errors import ConfigError
from papertape.core.guard import Approved, Basis, Guard, GuardSettings, Reference, Refused
from papertape.core.ledger import Ledger
from papertape.core.model import EventKind, Fill, Instrument, Side, Trade
from papertape.core.orders import OrderRequest
from papertape.core.series import Batch
from papertape.core.session import Session
from papertape.core.state import State
from papertape.journal import MemoryJournal
from papertape.live.supervisor import Supervisor, Thresholds, Trip
from strategies.base import Strategy
from tests.contract.test_broker_contract import OPEN, PushedFeed, S

DAY = 86_400 * S
NAMES = ("A", "B")


def batch(rows: list[tuple[int, int, float]]) -> Batch:
    """Trades as (time, instrument, price)."""
    ts, j, price = (list(column) for column in zip(*rows, strict=True))
    none = np.zeros(len(rows))
    kinds = np.full(len(rows), EventKind.TRADE, np.uint8)
    return Batch(
        np.array(ts, np.int64), kinds, np.array(j, np.int32), (np.array(price), none + 100.0, none, none, none)
    )


def guarded(
    *, cash: float = 10_000.0, held: float = 0.0, price: float = 100.0, allow_short: bool = False, opens: Any = (),
    currencies: tuple[str, ...] = ("USD", "EUR"), kept: Thresholds | None = None, stock: float = 0.0, **limits: Any,
) -> Supervisor:  # fmt: skip
    registry = Registry(8)
    for name in NAMES:
        registry.add(Instrument(name))
    supervisor = Supervisor(GuardSettings(**limits), registry, currencies, allow_short=allow_short, opens=opens)
    positions = {0: (held, price)} if held else {}
    supervisor.open({"USD": cash}, {"USD": 1.0, "EUR": 1.1}, positions, OPEN, kept, stock)
    return supervisor


def order(side: Side = Side.BUY, quantity: float = 10.0, j: int = 0, **terms: Any) -> OrderRequest:
    return OrderRequest(j, NAMES[j], side, quantity, **terms)


def refusal(verdict: Approved | Refused) -> str:
    return verdict.rule if isinstance(verdict, Refused) else ""


# -- the same event as in a backtest --------------------------------------------------------------------------


class Scripted(Strategy):
    """Orders at chosen trades; keeps its fills."""

    allow_short = True

    def __init__(self) -> None:
        super().__init__()
        self.script: dict[int, tuple[str, int]] = {}
        self.count = 0
        self.fills: list[Fill] = []

    def on_start(self) -> None:
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        symbol, quantity = self.script.get(self.count, ("", 0))
        self.count += 1
        if quantity > 0:
            self.buy(symbol, quantity)
        elif quantity < 0:
            self.sell(symbol, -quantity)

    def on_fill(self, fill: Fill) -> None:
        self.fills.append(fill)


def backtested(rows: list[tuple[int, int, float]], script: dict[int, tuple[str, int]], limits: GuardSettings) -> Any:
    """(fills, time and rule of the trip or None) of a backtest, trade by trade."""
    instruments = tuple(Instrument(name) for name in NAMES)
    state = State(2, 1)
    ledger = Ledger(state, instruments, ("USD",))
    ledger.open({"USD": 10_000.0}, {})
    client = Scripted()
    client.script = script
    guard = Guard(limits, state, instruments, ("USD",), allow_short=True)
    session = Session(
        handlers=client.handlers(), feed=PushedFeed(instruments),
        broker=SimBroker(FeeModel.parse("per-share:0.5"), FillRules(margin_multiple=4.0, allow_short=True)),
        guard=guard, ledger=ledger, journal=MemoryJournal(state), calendar=session_times("XNYS", OPEN, OPEN + 3 * DAY),
    )  # fmt: skip
    client.bind(session, list(NAMES))
    guard.arm()
    drive(session, session.begin(OPEN))
    for row in rows:
        drive(session, session.step(batch([row])))
    trips = [each for each in session.log.guard if each.kind == "trip"]
    return client.fills, (trips[0].ts, trips[0].rule) if trips else None


limit_sets = st.one_of(
    st.builds(
        GuardSettings,
        max_drawdown=st.sampled_from([0.005, 0.02, 0.05]),
        basis=st.sampled_from([Basis.NET_LIQUIDATION, Basis.PNL, Basis.DAILY_LOSS]),
        reference=st.sampled_from([Reference.START, Reference.PEAK]),
    ),
    st.builds(GuardSettings, cash_floor=st.sampled_from([{"USD": 6_000.0}, {"BASE": 8_000.0}])),
)


@given(
    steps=st.lists(st.tuples(st.integers(0, 1), st.integers(-6, 6)), min_size=5, max_size=60),
    script=st.dictionaries(st.integers(0, 40), st.tuples(st.sampled_from(NAMES), st.integers(-40, 40)), max_size=8),
    limits=limit_sets,
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    gap=st.sampled_from([1, 900, 7_200]),
)
def test_it_trips_on_the_event_and_by_the_rule_of_a_backtest(
    steps: list[tuple[int, int]], script: dict[int, tuple[str, int]], limits: GuardSettings, cuts: list[int], gap: int
) -> None:
    prices = [100.0, 50.0]
    rows = []
    for k, (j, move) in enumerate(steps):
        prices[j] = round(max(5.0, prices[j] * (1.0 + move / 100.0)), 2)
        rows.append((OPEN + (k + 1) * gap * S, j, prices[j]))
    fills, expected = backtested(rows, script, limits)
    registry = Registry(4)
    for name in NAMES:
        registry.add(Instrument(name))
    opens = session_times("XNYS", OPEN, OPEN + 30 * DAY).open
    supervisor = Supervisor(limits, registry, ("USD",), allow_short=True, opens=opens)
    supervisor.open({"USD": 10_000.0}, {"USD": 1.0}, {}, OPEN)
    by_ts: dict[int, list[Fill]] = {}
    for fill in fills:
        by_ts.setdefault(fill.ts, []).append(fill)
    found: Trip | None = None
    waiting: list[tuple[int, int, float]] = []
    sizes = iter(cuts * 60)

    def play() -> None:
        nonlocal found
        if waiting:
            trip = supervisor.mark(batch(waiting))
            found = found or trip
            waiting.clear()

    size = next(sizes)
    for row in rows:
        if row[0] in by_ts:
            play()
            for fill in by_ts[row[0]]:
                j = NAMES.index(fill.symbol)
                trip = supervisor.fill(j, fill.quantity * fill.side, fill.price, fill.fee, fill.ts)
                found = found or trip
        waiting.append(row)
        if len(waiting) >= size:
            play()
            size = next(sizes)
    play()
    assert (found.ts, found.rule) == expected if found is not None else expected is None


# -- limits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "path", "trips_at"),
    [
        ({"max_drawdown": 0.1, "reference": "start"}, [120.0, 91.0, 89.9], 2),
        ({"max_drawdown": 0.1, "reference": "start"}, [120.0, 90.0], None),  # strictly less
        ({"max_drawdown": 0.1, "reference": "peak"}, [120.0, 109.0, 107.9], 2),
        ({"max_drawdown": 0.1, "basis": "pnl"}, [120.0, 91.0, 89.9], 2),
        ({"max_drawdown": 0.1, "basis": "daily_loss"}, [120.0, 91.0, 89.9], 2),
        ({"max_drawdown": 0.2, "basis": "stock_value"}, [120.0, 81.0, 79.9], 2),
    ],
)
def test_each_basis_has_its_limit(limits: dict[str, Any], path: list[float], trips_at: int | None) -> None:
    """100 held at 100, no cash: net liquidation is the price times 100."""
    supervisor = guarded(cash=0.0, held=100.0, stock=10_000.0, **limits)
    rows = [(OPEN + (k + 1) * S, 0, price) for k, price in enumerate(path)]
    trip = supervisor.mark(batch(rows))
    assert (None if trip is None else trip.at) == trips_at
    assert supervisor.is_breached is (trips_at is not None)
    assert refusal(supervisor.approve(order(), OPEN, 0.0, 0.0)) == ("" if trip is None else "tripped")


def test_daily_loss_is_measured_from_each_sessions_open() -> None:
    opens = (OPEN, OPEN + DAY)
    supervisor = guarded(cash=0.0, held=100.0, opens=opens, max_drawdown=0.1, basis="daily_loss")
    assert supervisor.mark(batch([(OPEN + S, 0, 92.0), (OPEN + DAY + S, 0, 84.0)])) is None
    assert supervisor.thresholds.session == OPEN + DAY
    trip = supervisor.mark(batch([(OPEN + DAY + 2 * S, 0, 82.7)]))
    assert trip is not None


def test_stock_value_without_stock_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="no stock is held"):
        guarded(max_drawdown=0.1, basis="stock_value")
    with pytest.raises(ConfigError, match="does not say what the stock is worth"):
        guarded(max_drawdown=0.1, basis="stock_value", stock=math.nan)


def test_a_trip_latches_and_blocks_what_comes_after() -> None:
    supervisor = guarded(cash=0.0, held=100.0, max_drawdown=0.1)
    assert supervisor.mark(batch([(OPEN + S, 0, 80.0), (OPEN + 2 * S, 0, 120.0)])) is not None
    assert supervisor.mark(batch([(OPEN + 3 * S, 0, 50.0)])) is None
    assert refusal(supervisor.approve(order(), OPEN, 0.0, 0.0)) == "tripped"
    assert refusal(supervisor.approve(order(Side.SELL), OPEN, 0.0, 0.0)) == "tripped"


def test_thresholds_are_kept_by_a_run_that_goes_on() -> None:
    kept = Thresholds(9_500.0, 0.0, 11_000.0, 10_000.0, {"USD": 1_000.0})
    supervisor = guarded(cash=10_600.0, kept=kept, max_drawdown=0.05, reference="start")
    assert supervisor.equity == 9_600.0  # 1,000 of the cash were paid in
    assert supervisor.start == 10_000.0
    assert supervisor.check(OPEN) is None
    assert supervisor.pay(0, 101.0, "USD", OPEN) is not None


# -- the whole account ----------------------------------------------------------------------------------------


def test_fills_of_others_and_what_was_held_before_count_for_risk() -> None:
    supervisor = guarded(cash=5_000.0, held=50.0, max_drawdown=0.1, max_position=60.0)
    assert refusal(supervisor.approve(order(quantity=20.0), OPEN, 0.0, 0.0)) == "max_position"
    assert supervisor.fill(1, 50.0, 100.0, math.nan, OPEN) is None
    trip = supervisor.mark(batch([(OPEN + S, 1, 79.0)]))
    assert trip is not None
    assert supervisor.equity == pytest.approx(5_000.0 + 50 * 79.0)


def test_a_fill_that_leaves_nothing_is_judged_at_once_since_no_event_marks_it_any_more() -> None:
    supervisor = guarded(cash=500.0, held=5.0, max_drawdown=0.1)
    trip = supervisor.fill(0, -5.0, 50.0, math.nan, OPEN + S)
    assert trip is not None
    assert (trip.ts, trip.rule) == (OPEN + S, "max_drawdown (net_liquidation)")


def test_the_fee_of_what_left_nothing_is_judged_too_and_a_new_peak_is_without_it() -> None:
    supervisor = guarded(cash=500.0, held=5.0, max_drawdown=0.1, reference=Reference.PEAK)
    assert supervisor.fill(0, -5.0, 120.0, math.nan, OPEN + S) is None
    assert supervisor.thresholds.guard_peak == 1_000.0
    assert supervisor.pay(0, 20.0, "USD", OPEN + S) is None
    assert supervisor.thresholds.guard_peak == 1_080.0
    assert supervisor.pay(0, 109.0, "USD", OPEN + 2 * S) is not None


def test_what_is_held_and_has_no_price_makes_net_liquidation_unknown_and_blocks() -> None:
    supervisor = guarded(held=50.0, price=math.nan, max_drawdown=0.1)
    assert math.isnan(supervisor.equity)
    assert not supervisor.is_breached
    assert refusal(supervisor.approve(order(j=1), OPEN, 0.0, 0.0)) == "unknown"
    supervisor.note_image(0, 100.0, math.nan, math.nan, OPEN)
    assert supervisor.equity == 15_000.0
    assert supervisor.start == 15_000.0  # the limit is armed when it has something to refer to
    assert refusal(supervisor.approve(order(j=1), OPEN, 0.0, 0.0)) == ""
    assert supervisor.mark(batch([(OPEN + S, 0, 60.0)])) is not None


def test_an_unknown_exchange_rate_blocks_and_its_coming_arms() -> None:
    registry = Registry(4)
    registry.add(Instrument("A"))
    supervisor = Supervisor(GuardSettings(max_drawdown=0.1), registry, ("USD", "EUR"), allow_short=False)
    supervisor.open({"USD": 10_000.0, "EUR": 100.0}, {"USD": 1.0}, {}, OPEN)
    assert refusal(supervisor.approve(order(), OPEN, 0.0, 0.0)) == "unknown"
    supervisor.set_rate("EUR", 1.1)
    assert supervisor.equity == pytest.approx(10_110.0)
    assert refusal(supervisor.approve(order(), OPEN, 0.0, 0.0)) == ""


def test_cash_in_a_currency_without_books_is_refused_in_one_line() -> None:
    registry = Registry(4)
    supervisor = Supervisor(GuardSettings(), registry, ("USD",), allow_short=False)
    with pytest.raises(ConfigError, match="holds cash in SEK"):
        supervisor.open({"USD": 1.0, "SEK": 5.0}, {"USD": 1.0}, {}, OPEN)


@pytest.mark.parametrize(
    ("request_", "working", "rule"),
    [
        (order(Side.BUY, j=1), (0.0, 0.0), "stale"),
        (order(Side.BUY), (0.0, 0.0), "stale"),
        (order(Side.SELL, 50.0), (0.0, 0.0), ""),
        (order(Side.SELL, 50.0), (0.0, 10.0), "stale"),
        (order(Side.SELL, 51.0), (0.0, 0.0), "stale"),
    ],
)
def test_stale_data_of_what_is_held_blocks_what_adds_risk(
    request_: OrderRequest, working: tuple[float, float], rule: str
) -> None:
    supervisor = guarded(held=50.0, allow_short=True)
    assert refusal(supervisor.approve(request_, OPEN, *working, stale=["A"])) == rule


def test_a_change_that_adds_risk_is_blocked_by_stale_data_and_one_that_does_not_is_not() -> None:
    supervisor = guarded(held=50.0)
    old = order(Side.BUY, 10.0)
    more, less = order(Side.BUY, 20.0), order(Side.BUY, 5.0)
    assert refusal(supervisor.approve_change(more, old, OPEN, 0.0, 10.0, 0.0, ["A"])) == "stale"
    assert refusal(supervisor.approve_change(less, old, OPEN, 0.0, 10.0, 0.0, ["A"])) == ""


def test_a_change_is_judged_with_all_that_works_and_not_with_itself() -> None:
    supervisor = guarded(max_position=30.0)
    old = order(Side.BUY, 10.0)
    assert refusal(supervisor.approve_change(order(quantity=20.0), old, OPEN, 0.0, 10.0, 0.0)) == ""
    assert refusal(supervisor.approve_change(order(quantity=20.0), old, OPEN, 0.0, 25.0, 0.0)) == "max_position"


# -- flows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [5_000.0, -5_000.0])
def test_a_deposit_or_withdrawal_is_no_profit_and_no_loss(amount: float) -> None:
    supervisor = guarded(cash=10_000.0, held=100.0, max_drawdown=0.1)
    before = supervisor.equity
    assert supervisor.flow("USD", amount, OPEN) is None
    assert supervisor.equity == before
    assert supervisor.mark(batch([(OPEN + S, 0, 81.0)])) is None
    assert supervisor.mark(batch([(OPEN + S, 0, 79.0)])) is not None


def test_a_withdrawal_crosses_a_cash_floor() -> None:
    supervisor = guarded(cash=10_000.0, cash_floor={"USD": 4_000.0, "BASE": 3_000.0})
    assert supervisor.flow("USD", -5_000.0, OPEN) is None
    trip = supervisor.flow("USD", -1_500.0, OPEN)
    assert trip is not None
    assert trip.rule == "cash_floor USD"


def test_a_deposit_lifts_what_a_cash_floor_allows() -> None:
    supervisor = guarded(cash=5_000.0, cash_floor={"USD": 4_000.0})
    assert supervisor.flow("USD", 2_000.0, OPEN) is None
    assert supervisor.fill(0, 25.0, 100.0, 0.0, OPEN) is None
    assert supervisor.fill(0, 6.0, 100.0, 0.0, OPEN) is not None


def test_flattening_closes_no_more_than_the_account_holds() -> None:
    supervisor = guarded(held=50.0)
    closing = supervisor.flattening({0: 80.0, 1: 5.0})
    assert [(each.request.side, each.request.quantity) for each in closing] == [(Side.SELL, 50.0)]
    assert supervisor.flattening({0: -10.0}) == []
