"""Books that are made from a memory are the books that were left; what does not go together is refused."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from gateway.costs import Costs
from gateway.restoring import remember_day, remember_fill, restore, saved_position
from gateway.store import Saved, SavedPosition, Store
from papertape.core.errors import ConfigError, DataError
from papertape.core.ledger import Ledger
from papertape.core.model import Instrument
from papertape.core.state import State
from tests.gateway.memories import ACCOUNT, execution


def books(*symbols: str, **cash: float) -> tuple[Ledger, Costs]:
    """Open books in USD and EUR."""
    instruments = [Instrument(each, currency="EUR" if each == "SAP" else "USD") for each in symbols]
    ledger = Ledger(State(len(instruments), 2), instruments, ("USD", "EUR"))
    ledger.open({"USD": 10_000.0, **cash}, {"EUR": 1.25})
    return ledger, Costs([1.0] * len(instruments))


def trade(store: Store, ledger: Ledger, costs: Costs, number: int, j: int, quantity: float, price: float) -> None:
    """A fill as the gateway books it."""
    each = execution(number, quantity, price, symbol=ledger.instruments[j].symbol)
    ledger.book_fill(j, quantity, price, each.fee, each.ts)
    costs.fill(j, each.exec_id, quantity, price, each.fee)
    store.put_execution(each)
    remember_fill(store, ledger, costs, j)
    store.commit(each.ts)


def told(ledger: Ledger, costs: Costs) -> list[object]:
    """All that clients can see of books."""
    shown: list[object] = [ledger.account.equity, ledger.account.cash, sorted(ledger.account.balances.items())]
    for j in costs.known:
        basis = costs.basis(j)
        shown += [saved_position(ledger, costs, j), basis.realised, basis.flow, basis.traded, costs.fills(j)]
    return shown


def test_restored_books_are_the_books_that_were_left(tmp_path: Path) -> None:
    ledger, costs = books("AAPL", "SAP", "MSFT", EUR=500.0)
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        trade(store, ledger, costs, 1, 0, 10, 100.0)
        trade(store, ledger, costs, 2, 1, -5, 40.0)
        trade(store, ledger, costs, 3, 2, 1, 10.0)
        trade(store, ledger, costs, 4, 2, -1, 11.0)
        costs.begin_day(lambda j: float(ledger.state.instruments["mark"][j]), 5)
        remember_day(store, ledger, costs)
        store.forget_before(5)
        trade(store, ledger, costs, 6, 0, -4, 105.0)
        trade(store, ledger, costs, 7, 2, -2, 12.0)
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        saved = store.load()
    assert saved is not None
    found_ledger, found_costs = books("MSFT", "AAPL", "SAP")  # another tape: another order
    restore(saved, found_ledger, found_costs, 8)
    same_ledger, same_costs = books("AAPL", "SAP", "MSFT")
    restore(saved, same_ledger, same_costs, 8)
    assert told(same_ledger, same_costs) == told(ledger, costs)
    assert found_ledger.account.equity == pytest.approx(ledger.account.equity)
    assert found_costs.bust(execution(6).exec_id).instrument == 1
    assert found_costs.basis(1).quantity == 10


def test_executions_of_an_earlier_day_that_are_still_there_count_for_nothing(tmp_path: Path) -> None:
    ledger, costs = books("AAPL", "MSFT", "SAP")
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        trade(store, ledger, costs, 1, 0, 10, 100.0)
        trade(store, ledger, costs, 2, 0, -10, 101.0)
        trade(store, ledger, costs, 3, 1, 10, 50.0)
        trade(store, ledger, costs, 4, 2, 1, 50.0)
        trade(store, ledger, costs, 5, 2, -1, 50.0)
        costs.begin_day(lambda j: float(ledger.state.instruments["mark"][j]), 6)
        remember_day(store, ledger, costs)
        trade(store, ledger, costs, 7, 0, 4, 102.0)
        saved = store.load()
        assert saved is not None
        assert len(saved.executions) == 6
        assert sorted(each.symbol for each in saved.positions) == ["AAPL", "MSFT"]
        found_ledger, found_costs = books("AAPL", "MSFT", "SAP")
        restore(saved, found_ledger, found_costs, 8)
        assert told(found_ledger, found_costs) == told(ledger, costs)
        trade(store, found_ledger, found_costs, 8, 2, 2, 51.0)  # traded again after the restart, and restarted again
        saved = store.load()
        assert saved is not None
        again_ledger, again_costs = books("AAPL", "MSFT", "SAP")
        restore(saved, again_ledger, again_costs, 9)
        assert told(again_ledger, again_costs) == told(found_ledger, found_costs)


def test_an_execution_that_was_busted_and_is_kept_counts_for_nothing(tmp_path: Path) -> None:
    ledger, costs = books("AAPL")
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        trade(store, ledger, costs, 1, 0, 10, 100.0)
        trade(store, ledger, costs, 2, 0, 5, 101.0)
        costs.bust(execution(1).exec_id)
        ledger.book_fill(0, -10, 100.0, -1.0, 3)
        store.put_execution(dataclasses.replace(execution(1), quantity=0.0, price=0.0, fee=0.0))
        remember_fill(store, ledger, costs, 0)
        saved = store.load()
    assert saved is not None
    found_ledger, found_costs = books("AAPL")
    restore(saved, found_ledger, found_costs, 9)
    assert told(found_ledger, found_costs) == told(ledger, costs)
    assert found_costs.basis(0).quantity == 5


def test_a_split_on_the_way_does_not_confuse_the_memory(tmp_path: Path) -> None:
    ledger, costs = books("AAPL")
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        trade(store, ledger, costs, 1, 0, 10, 100.0)
        ledger.split(0, 3.0)
        costs.split(0, 3.0)
        store.put_split("AAPL", 3.0)
        remember_fill(store, ledger, costs, 0)
        trade(store, ledger, costs, 2, 0, -6, 34.0)
        saved = store.load()
    assert saved is not None
    found_ledger, found_costs = books("AAPL")
    restore(saved, found_ledger, found_costs, 9)
    assert found_costs.basis(0).quantity == pytest.approx(24)
    assert found_costs.basis(0).realised == pytest.approx(costs.basis(0).realised)
    assert found_ledger.account.equity == pytest.approx(ledger.account.equity)


def unmarked() -> Saved:
    """A memory of a position without a price."""
    return Saved(ACCOUNT, 3, positions=(SavedPosition("AAPL", 5.0, 10.0, 10.0, math.nan, 5.0, 10.0, 50.0),))


def test_a_position_whose_price_is_not_known_stays_unknown() -> None:
    ledger, costs = books("AAPL")
    restore(unmarked(), ledger, costs, 3)
    assert costs.basis(0).quantity == 5.0
    assert math.isnan(ledger.positions[0].mark)
    assert math.isnan(ledger.account.equity)
    ledger.note_image(0, 11.0, math.nan, math.nan, 4)
    ledger.set_rate("USD", 1.0)
    assert ledger.positions[0].unrealised == 5.0


def test_a_price_that_the_tape_knows_is_newer_than_that_of_the_memory() -> None:
    ledger, costs = books("AAPL")
    ledger.note_image(0, 12.0, math.nan, math.nan, 2)
    restore(unmarked(), ledger, costs, 3)
    assert ledger.positions[0].unrealised == 10.0
    ledger, costs = books("AAPL")
    ledger.note_image(0, 12.0, math.nan, math.nan, 4)
    remembered = dataclasses.replace(unmarked().positions[0], mark=11.0)
    restore(dataclasses.replace(unmarked(), positions=(remembered,)), ledger, costs, 5)
    assert ledger.positions[0].unrealised == 10.0


@pytest.mark.parametrize(
    ("saved", "now", "said"),
    [
        (Saved(ACCOUNT, 2_000_000_000), 1_000_000_000, "the tape starts before that, at 1970-01-01"),
        (
            Saved(ACCOUNT, 1, positions=(SavedPosition("X", 5.0, 1.0, 1.0, 1.0),)),
            1,
            "holds 5 X, which the tape does not",
        ),
        (Saved(ACCOUNT, 1, balances={"CHF": 3.5}), 1, "has 3.50 CHF: name CHF among its cash"),
    ],
)
def test_a_tape_that_does_not_go_with_the_memory_is_refused(saved: Saved, now: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        restore(saved, *books("AAPL"), now)


def test_a_position_that_its_executions_do_not_add_up_to_is_refused() -> None:
    saved = Saved(ACCOUNT, 9, positions=(SavedPosition("AAPL", 5.0, 1.0, 1.0, 1.0),), executions=(execution(1),))
    with pytest.raises(DataError, match="has 5 AAPL, and its executions add up to 10"):
        restore(saved, *books("AAPL"), 9)
