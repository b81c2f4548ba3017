"""The guard: every control before an order, every threshold on the event that crosses it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from papertape.core.errors import ConfigError
from papertape.core.guard import Approved, Basis, Guard, GuardSettings, Reference, Refused, fraction
from papertape.core.model import Instrument, InstrumentType, OrderStatus, OrderType, Side
from papertape.core.orders import OrderRequest
from papertape.core.state import State
from tests.brokers.tapes import CLOSE, DAY, Played, bars, play, quotes, trades

NAN = math.nan
S = 1_000_000_000


def guard(*, allow_short: bool = False, instrument: Instrument | None = None, **limits: Any) -> Guard:
    """A guard over one flat instrument in dollars, armed with 100,000 in cash."""
    state = State(1, 1)
    state.rates[0] = 1.0
    state.cash[0] = state.account["cash"][0] = state.account["equity"][0] = 100_000.0
    state.instruments["rate"] = 1.0
    made = Guard(GuardSettings(**limits), state, (instrument or Instrument("A"),), ("USD",), allow_short=allow_short)
    made.arm()
    return made


def hold(made: Guard, quantity: float = 0.0, working_buy: float = 0.0, working_sell: float = 0.0) -> Guard:
    """The same guard, over a position and working orders."""
    record = made._state.instruments
    record["quantity"], record["working_buy"], record["working_sell"] = quantity, working_buy, working_sell
    return made


def ask(side: Side = Side.BUY, quantity: float = 10, **terms: Any) -> OrderRequest:
    return OrderRequest(0, "A", side, quantity, **terms)


def verdict(made: Guard, request: OrderRequest, now: int = 0, reference: float = 100.0) -> str:
    """Name of the rule that refuses a request; empty where it is approved."""
    outcome = made.approve(request, now, reference)
    return outcome.rule if isinstance(outcome, Refused) else ""


# -- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [5, 1, 0, -0.1, 1.0, "5", "100%", "0%", "-5%", "", "five", NAN, math.inf, True])
def test_a_loss_limit_that_is_no_fraction_between_0_and_1_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"a fraction between 0 and 1 is needed, as 0\.05 or 5%"):
        guard(max_drawdown=value)


@pytest.mark.parametrize(("value", "wanted"), [(0.05, 0.05), ("0.05", 0.05), ("5%", 0.05), (" 5 % ", 0.05), (".5%", 0.005)])  # fmt: skip
def test_a_loss_limit_is_a_fraction_or_a_percentage_with_its_sign(value: float | str, wanted: float) -> None:
    assert fraction(value, "max_drawdown") == pytest.approx(wanted)
    assert GuardSettings(max_drawdown=value).loss_limit() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"basis": "net_liquidaton"}, 'guard basis "net_liquidaton" is unknown; did you mean "net_liquidation"?'),
        ({"reference": "peek"}, 'guard reference "peek" is unknown; did you mean "peak"?'),
        ({"max_order_quantity": 0}, "max_order_quantity=0: an amount above 0 is needed"),
        ({"max_order_value": NAN}, "max_order_value=nan: an amount above 0 is needed"),
        ({"max_position": -1}, "max_position=-1: an amount above 0 is needed"),
        ({"max_orders_per_minute": 0}, "max_orders_per_minute=0: a whole number from 1 is needed"),
        ({"duplicate_s": -1.0}, "duplicate_s=-1.0: a number of seconds is needed"),
        ({"cash_floor": {"USD": NAN}}, "cash floor USD=nan: an amount is needed"),
        ({"price_collar": 5}, "price_collar=5: a fraction between 0 and 1 is needed"),
        ({"cash_floor": {"EUR": 1.0}}, "cash floor for EUR: the run has only USD and BASE"),
        ({"cash_floor": {"USD": 100_001.0}}, "cash floor USD=100001: the account starts below it, with 100000"),
        ({"max_drawdown": 0.1, "basis": "stock_value"}, "guard basis stock_value: no stock is held at the start"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_how_to_go_on(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        guard(**settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_bases_and_references_may_be_given_as_text() -> None:
    settings = GuardSettings(max_drawdown=0.1, basis="daily_loss", reference="start")  # type: ignore[arg-type]
    assert settings.basis is Basis.DAILY_LOSS
    assert settings.reference is Reference.START


# -- approval is a type -------------------------------------------------------------------------------------------


def test_only_a_guard_makes_an_approved_order() -> None:
    with pytest.raises(AssertionError, match="only a guard approves orders"):
        Approved(ask(), object())
    with pytest.raises(TypeError):
        Approved(ask())  # type: ignore[call-arg]
    approved = guard().approve(ask(), 0, 100.0)
    assert isinstance(approved, Approved)
    assert approved.request == ask()


def test_flattening_only_ever_closes() -> None:
    held = hold(guard(), 10.0)
    assert held.approve_flattening(ask(Side.SELL, 10)).request.quantity == 10
    for wrong in (ask(Side.SELL, 11), ask(Side.BUY, 10)):
        with pytest.raises(AssertionError, match="flattening only ever closes"):
            held.approve_flattening(wrong)


# -- before an order ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", [0.0, -1.0, NAN, math.inf])
def test_a_quantity_that_is_no_amount_above_0_is_refused(quantity: float) -> None:
    assert verdict(guard(), ask(quantity=quantity)) == "quantity"


def test_what_is_not_tradable_is_refused() -> None:
    assert verdict(guard(instrument=Instrument("A", tradable=False)), ask()) == "tradable"


def test_a_sale_of_more_than_is_sellable_is_refused_unless_shorting_is_declared() -> None:
    assert verdict(hold(guard(), 10, working_sell=4), ask(Side.SELL, 6)) == ""
    assert verdict(hold(guard(), 10, working_sell=4), ask(Side.SELL, 7)) == "short"
    assert verdict(hold(guard(), 10, working_buy=9), ask(Side.SELL, 11)) == "short"
    assert verdict(hold(guard(allow_short=True), 10, working_sell=4), ask(Side.SELL, 7)) == ""


def test_only_allowed_symbols_are_traded() -> None:
    assert verdict(guard(allowed_symbols=frozenset({"A"})), ask()) == ""
    assert verdict(guard(allowed_symbols={"B"}), ask()) == "allowed_symbols"
    assert verdict(guard(allowed_symbols="B, A"), ask()) == ""


def test_an_order_above_the_largest_quantity_is_refused() -> None:
    assert verdict(guard(max_order_quantity=10), ask(quantity=10)) == ""
    assert verdict(guard(max_order_quantity=10), ask(quantity=10.5)) == "max_order_quantity"


@pytest.mark.parametrize(
    ("request_", "reference", "refused"),
    [
        (ask(), 100.0, False),
        (ask(), 100.01, True),
        (ask(), NAN, True),  # an unknown price is no small order
        (ask(type=OrderType.LIMIT, limit_price=100.0), 500.0, False),
        (ask(type=OrderType.LIMIT, limit_price=100.0), NAN, False),
        (ask(type=OrderType.LIMIT, limit_price=101.0), 50.0, True),
        (ask(type=OrderType.STOP, stop_price=101.0), 50.0, True),
        (ask(Side.SELL, type=OrderType.LIMIT, limit_price=1.0), 101.0, True),  # it sells at the market
        (ask(Side.SELL, type=OrderType.LIMIT, limit_price=1.0), NAN, True),
        (ask(Side.SELL, type=OrderType.LIMIT, limit_price=1.0), 99.0, False),
        (ask(type=OrderType.TRAIL_LIMIT, trail=5.0, stop_price=1000.0), 99.0, False),  # there it is an offset
    ],
)
def test_an_order_above_the_largest_value_is_refused(request_: OrderRequest, reference: float, refused: bool) -> None:
    made = guard(max_order_value=1000.0, allow_short=True)
    assert verdict(made, request_, reference=reference) == ("max_order_value" if refused else "")


def test_the_value_of_an_order_counts_the_multiplier_and_the_exchange_rate() -> None:
    made = guard(max_order_value=1000.0, instrument=Instrument("A", multiplier=2.0))
    made._state.instruments["rate"] = 0.5
    assert verdict(made, ask()) == ""
    made._state.instruments["rate"] = 0.51
    assert verdict(made, ask()) == "max_order_value"
    made._state.instruments["rate"] = NAN
    assert verdict(made, ask()) == "max_order_value"


@pytest.mark.parametrize(
    ("side", "limit", "reference", "refused"),
    [
        (Side.BUY, 105.0, 100.0, False),
        (Side.BUY, 105.1, 100.0, True),
        (Side.BUY, 1.0, 100.0, False),  # far away on the safe side
        (Side.SELL, 95.0, 100.0, False),
        (Side.SELL, 94.9, 100.0, True),
        (Side.SELL, 900.0, 100.0, False),
        (Side.BUY, 100.0, NAN, True),  # compared with nothing
    ],
)
def test_a_limit_too_far_beyond_the_reference_price_is_refused(
    side: Side, limit: float, reference: float, refused: bool
) -> None:
    made = guard(price_collar="5%", allow_short=True)
    request = ask(side, type=OrderType.LIMIT, limit_price=limit)
    assert verdict(made, request, reference=reference) == ("price_collar" if refused else "")
    assert verdict(made, ask(side), reference=reference) == ""  # a market order has no price to judge


def test_the_position_limit_counts_working_orders_and_never_hinders_reducing() -> None:
    assert verdict(hold(guard(max_position=100), 50, working_buy=40), ask(quantity=10)) == ""
    assert verdict(hold(guard(max_position=100), 50, working_buy=41), ask(quantity=10)) == "max_position"
    assert verdict(hold(guard(max_position=100), 500), ask(Side.SELL, 10)) == ""
    short = guard(max_position=100, allow_short=True)
    assert verdict(hold(short, -95), ask(Side.SELL, 10)) == "max_position"
    assert verdict(hold(short, -500), ask(Side.BUY, 10)) == ""
    assert verdict(hold(short, 50), ask(Side.SELL, 151)) == "max_position"


def test_more_orders_in_a_minute_than_allowed_are_refused_until_the_minute_has_passed() -> None:
    made = guard(max_orders_per_minute=2)
    given = [verdict(made, ask(), now=second * S) for second in (0, 1, 2, 59, 60, 60, 61)]
    assert given == ["", "", "max_orders_per_minute", "max_orders_per_minute", "", "max_orders_per_minute", ""]


def test_the_same_order_within_the_window_is_refused() -> None:
    made = guard(duplicate_s=5.0)
    assert verdict(made, ask(), now=0) == ""
    assert verdict(made, ask(), now=5 * S - 1) == "duplicate"
    assert verdict(made, ask(quantity=11), now=1) == ""
    assert verdict(made, ask(type=OrderType.LIMIT, limit_price=100.0), now=1) == ""
    assert verdict(made, ask(type=OrderType.LIMIT, limit_price=101.0), now=1) == ""
    assert verdict(made, ask(type=OrderType.LIMIT, limit_price=100.0), now=2) == "duplicate"
    assert verdict(made, ask(), now=5 * S) == ""


def test_an_order_that_was_refused_is_no_duplicate_of_itself() -> None:
    made = guard(duplicate_s=3600.0, max_orders_per_minute=1)
    assert verdict(made, ask(), now=0) == ""
    assert verdict(made, ask(quantity=5), now=1) == "max_orders_per_minute"
    assert verdict(made, ask(quantity=5), now=60 * S) == ""


def test_duplicates_are_found_among_any_number_of_orders() -> None:
    made = guard(duplicate_s=1000.0)
    for k in range(10_050):
        assert verdict(made, ask(quantity=k + 1), now=k) == ""
    assert verdict(made, ask(quantity=1), now=10_050) == "duplicate"


def test_with_a_loss_limit_nothing_is_bought_while_net_liquidation_is_unknown() -> None:
    made = guard(max_drawdown=0.1)
    made._state.account["equity"] = np.nan
    assert verdict(made, ask()) == "unknown"


# -- changed orders -----------------------------------------------------------------------------------------------


def change(made: Guard, quantity: float, *, old: float = 10, filled: float = 0.0, side: Side = Side.BUY) -> str:
    outcome = made.approve_change(ask(side, quantity), ask(side, old), 0, 100.0, filled)
    return outcome.rule if isinstance(outcome, Refused) else ""


def test_a_changed_order_may_use_what_it_had_reserved() -> None:
    made = hold(guard(max_position=100), 0, working_buy=90)
    assert change(made, 20, old=10) == ""
    assert change(made, 21, old=10) == "max_position"
    assert made._state.instruments["working_buy"][0] == 90


def test_what_a_changed_order_has_filled_is_not_counted_twice() -> None:
    made = hold(guard(max_position=100), 60, working_buy=40)  # 60 of its 100 are filled
    assert change(made, 100, old=100, filled=60) == ""
    assert change(made, 101, old=100, filled=60) == "max_position"
    sale = hold(guard(), 40, working_sell=40)  # 60 of 100 are sold, 40 are held and on their way
    assert change(sale, 100, old=100, filled=60, side=Side.SELL) == ""
    assert change(sale, 101, old=100, filled=60, side=Side.SELL) == "short"


def test_a_change_to_what_has_filled_or_less_is_approved_and_one_to_nothing_is_not() -> None:
    made = hold(guard(max_order_quantity=10), 5)
    assert change(made, 5, filled=5) == ""
    assert change(made, 3, filled=5) == ""
    assert change(made, 0) == "quantity"
    assert change(made, -1, filled=5) == "quantity"
    assert change(made, NAN) == "quantity"


# -- thresholds ---------------------------------------------------------------------------------------------------


def trips(played: Played) -> list[tuple[float, str]]:
    """(second, rule) of each trip."""
    return [((each.ts - 1_704_292_200 * S) / S, each.rule) for each in played.record.guard if each.kind == "trip"]


LONG = {1: lambda s: s.buy("A", 100)}
"""100 at 100 with 10,000 in cash: a point of price is a hundredth of the account."""


@pytest.mark.parametrize(
    ("settings", "prices", "second"),
    [
        ({"max_drawdown": 0.1}, [100, 110, 99.5, 98.99], 5),  # 11,000 x 0.9 = 9,900
        ({"max_drawdown": 0.1}, [100, 110, 99], None),  # strictly less
        ({"max_drawdown": 0.1, "reference": "start"}, [100, 110, 98, 89.99], 5),
        ({"max_drawdown": 0.1, "basis": "pnl"}, [100, 110, 98, 90, 89.99], 6),
        ({"max_drawdown": 0.1, "basis": "net_liquidation"}, [100, 95, 105, 94.6, 94.4], 6),
        ({"max_drawdown": "10%", "basis": "daily_loss"}, [100, 110, 90, 89.99], 5),
    ],
)
def test_a_loss_limit_trips_on_the_first_event_strictly_below_its_threshold(
    settings: dict[str, Any], prices: list[float], second: float | None
) -> None:
    rows = [(1, 100), *((k + 2, price) for k, price in enumerate(prices)), (99, 100)]
    played = play(LONG, trades("A", *rows), cash=10_000.0, guard=settings)
    basis = settings.get("basis", "net_liquidation")
    assert trips(played) == ([] if second is None else [(second, f"max_drawdown ({basis})")])
    assert played.record.guard_tripped is (second is not None)


def test_a_daily_loss_is_measured_from_each_sessions_open() -> None:
    rows = [(1, 100), (2, 100), (CLOSE, 91), (DAY - 60, 95), (DAY + 1, 86), (DAY + 2, 85.6), (DAY + 3, 85.4)]
    settings = {"max_drawdown": 0.1, "basis": "daily_loss"}
    played = play(LONG, trades("A", *rows), cash=10_000.0, guard=settings)
    assert trips(played) == [(DAY + 3, "max_drawdown (daily_loss)")]  # 9,500 x 0.9 = 8,550


def test_a_stock_value_limit_counts_losses_and_not_sales() -> None:
    made = guard()
    made.settings = GuardSettings(max_drawdown=0.1, basis=Basis.STOCK_VALUE)
    made.arm(stock_value=20_000.0)
    assert made._state.account["floor"][0] == 98_000.0  # net liquidation less a tenth of the stock: flows cancel out


@pytest.mark.parametrize("others", [False, True])
def test_bars_of_one_time_are_judged_together_and_before_the_strategy_hears_of_them(others: bool) -> None:
    heard: list[Any] = []
    series = [bars("A", (0, 100, 101, 99, 100), (60, 100, 100, 80, 95), (120, 95, 95, 85, 89), (180, 89, 89, 89, 89))]
    if others:
        series.append(bars("B", (0, 1, 1, 1, 1), (60, 1, 1, 1, 1), (120, 1, 1, 1, 1), (180, 1, 1, 1, 1)))
    script = {60: lambda s: s.buy("A", 100), 180: lambda s: heard.append(s.buy("A", 1).reason)}
    played = play(script, *series, cash=10_000.0, guard={"max_drawdown": 0.1})
    assert trips(played) == [(180, "max_drawdown (net_liquidation)")]
    assert heard == ["the guard tripped (max_drawdown (net_liquidation)); no new orders"]


def test_the_guard_trips_before_the_strategy_hears_of_the_event() -> None:
    heard: list[Any] = []
    script = {**LONG, 3: lambda s: heard.append(s.buy("A", 1).reason)}
    play(script, trades("A", (1, 100), (2, 100), (3, 80), (4, 80)), cash=10_000.0, guard={"max_drawdown": 0.1})
    assert heard == ["the guard tripped (max_drawdown (net_liquidation)); no new orders"]


def test_a_trip_latches_although_the_loss_is_made_good() -> None:
    heard: list[Any] = []
    script = {**LONG, 5: lambda s: heard.append((s.buy("A", 1).status, s.account.equity))}
    tape = trades("A", (1, 100), (2, 100), (3, 80), (4, 120), (5, 200))
    played = play(script, tape, cash=10_000.0, guard={"max_drawdown": 0.1})
    assert heard == [(OrderStatus.REJECTED, 20_000.0)]
    assert trips(played) == [(3, "max_drawdown (net_liquidation)")]
    assert [each.kind for each in played.record.guard] == ["trip", "refused"]


def test_a_trip_cancels_what_works_and_leaves_what_is_held() -> None:
    def give(s: Any) -> None:
        s.sell("A", 50, limit=150)
        s.bracket("B", Side.BUY, 1, limit=1, stop=0.5, target=2)

    tape = (trades("A", (1, 100), (2, 100), (3, 80), (4, 160)), trades("B", (1, 50), (9, 0.9)))
    played = play({**LONG, 2: give}, *tape, cash=10_050.0, guard={"max_drawdown": 0.1})
    assert played.statuses == ["FILLED", "CANCELLED", "CANCELLED", "CANCELLED", "CANCELLED"]
    assert set(played.reasons[1:]) <= {"cancelled by the guard", "its parent order ended without filling"}
    assert played.ended[1:] == [3, 3, 3, 3]
    assert played.held["A"] == 100


def test_a_trip_sells_what_is_held_where_it_is_to_flatten() -> None:
    def give(s: Any) -> None:
        s.sell("A", 50, limit=150)

    tape = trades("A", (1, 100), (2, 100), (3, 80), (4, 79), (5, 160))
    played = play({**LONG, 2: give}, tape, cash=10_000.0, guard={"max_drawdown": 0.1, "flatten": True})
    assert played.fills[1:] == [(3, 4, -100, 79)]
    assert played.held["A"] == 0
    assert [each.kind for each in played.record.guard] == ["trip", "cancelled", "flattened"]


def test_a_short_position_trips_on_a_rise_and_is_bought_back() -> None:
    tape = trades("A", (1, 100), (2, 100), (3, 111), (4, 112))
    settings = {"max_drawdown": 0.1, "flatten": True}
    played = play({1: lambda s: s.sell("A", 100)}, tape, cash=10_000.0, guard=settings, short=True)
    assert trips(played) == [(3, "max_drawdown (net_liquidation)")]
    assert played.fills[1:] == [(2, 4, 100, 112)]


@pytest.mark.parametrize("name", ["USD", "BASE"])
def test_cash_strictly_below_its_floor_trips_on_the_fill_that_takes_it_there(name: str) -> None:
    heard: list[Any] = []
    script = {1: lambda s: s.buy("A", 50), 2: lambda s: s.buy("A", 1), 3: lambda s: heard.append(s.buy("A", 1).reason)}
    tape = trades("A", (1, 100), (2, 100), (3, 100), (4, 100))
    played = play(script, tape, cash=10_000.0, guard={"cash_floor": {name: 5_000.0}})
    assert trips(played) == [(3, f"cash_floor {name}")]
    assert heard == [f"the guard tripped (cash_floor {name}); no new orders"]


def test_a_floor_of_one_currency_does_not_look_at_another() -> None:
    instruments = [Instrument("A", currency="EUR"), Instrument("EUR.USD", InstrumentType.CASH)]
    tape = trades("A", (1, 100), (2, 100), (3, 100))
    floors = {"cash_floor": {"USD": 9_000.0, "EUR": 400.0}}
    options: dict[str, Any] = {"cash": 10_000.0, "balances": {"EUR": 1_000.0}, "instruments": instruments}
    rate = trades("EUR.USD", (0, 1.1))
    kept = play({1: lambda s: s.buy("A", 6)}, tape, rate, guard=floors, **options)
    crossed = play({1: lambda s: s.buy("A", 7)}, tape, rate, guard=floors, **options)
    assert (trips(kept), kept.statuses) == ([], ["FILLED"])
    assert trips(crossed) == [(2, "cash_floor EUR")]


def test_quotes_move_the_mark_and_trip_too() -> None:
    tape = quotes("A", (1, 99, 101), (2, 99, 101), (3, 88, 90), (4, 88, 90))
    played = play({1: lambda s: s.buy("A", 99)}, tape, cash=10_000.0, guard={"max_drawdown": 0.1})
    assert trips(played) == [(3, "max_drawdown (net_liquidation)")]
