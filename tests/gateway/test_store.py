"""The memory of a simulated account: what was committed is there after anything, and what is no memory is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.costs import Costs
from gateway.protocol.contract import ComboLeg, Contract, DeltaNeutral
from gateway.protocol.order import Order
from gateway.protocol.replies import Commission, Execution
from gateway.restoring import remember_day, remember_fill, restore, saved_position
from gateway.store import APPLICATION_ID, Counters, Saved, SavedExecution, SavedOrder, SavedPosition, Store
from papertape.core.errors import ConfigError, DataError
from papertape.core.ledger import Ledger
from papertape.core.model import Instrument
from papertape.core.state import State

ACCOUNT = "DU1234567"
ROOT = Path(__file__).resolve().parents[2]
AAPL = Contract(265598, "AAPL", "STK", exchange="SMART", primary_exchange="NASDAQ", currency="USD")


def execution(
    number: int, quantity: float = 10.0, price: float = 100.0, *, ts: int = 0, symbol: str = "AAPL"
) -> SavedExecution:
    """A fill with its commission of a dollar."""
    exec_id = f"0000e0d5.{number:08d}.01"
    side = "BOT" if quantity > 0 else "SLD"
    row = Execution(
        -1, number, AAPL, exec_id, "20240103  09:31:00", ACCOUNT, "ISLAND", side, abs(quantity), price, 7, 1,
        abs(quantity), price,
    )  # fmt: skip
    return SavedExecution(exec_id, ts or number, symbol, quantity, price, 1.0, row, Commission(exec_id, 1.0, "USD"))


def full() -> Saved:
    """A memory with something in every field."""
    stop = Order("SELL", 10.0, "STP", aux_price=95.5, tif="GTC", oca_group="g", parent_id=3, order_ref='quoted "ü"')
    legs = (ComboLeg(1, 2, "BUY", "SMART"), ComboLeg(2, 1, "SELL", "SMART"))
    combo = Contract(0, "X", "BAG", legs=legs, delta_neutral=DeltaNeutral(5, 0.5, 1.25))
    orders = (
        SavedOrder(11, 1, 3, AAPL, Order("BUY", 10.0, "MKT"), "Filled", 10.0, 100.0, 100.0, 1.0, 5, 6),
        SavedOrder(12, 1, 4, AAPL, stop, "PreSubmitted", placed_ts=5, parent_perm_id=11, triggered=True, best=101.0),
        SavedOrder(13, 0, -5, combo, Order("BUY", 1.0, "LMT", limit_price=0.0), "Cancelled", reason="x", ended_ts=9),
    )
    return Saved(
        ACCOUNT,
        1_704_292_200_000_000_001,
        Counters(9, 2**53 + 1, 12),
        {0: 4, 1: 9, 77: 1},
        {"USD": 1e6 / 3, "EUR": -0.1},
        (
            SavedPosition("AAPL", 10.0, 100.1, 100.0, math.nan, 5.0, 99.0, math.nan, 4),
            SavedPosition("MSFT", 0.0, 0.0, 0.0, 1.0),
        ),
        orders,
        (execution(1), dataclasses.replace(execution(2, -3.0, 0.1 + 0.2), split=2.0)),
        1_000_000.25,
    )


def test_what_is_saved_comes_back_the_same(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        assert store.load() is None
        store.save(full())
        assert repr(store.load()) == repr(full())
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        found = store.load()
        assert repr(found) == repr(full())  # NaN is not equal to itself
        assert found is not None
        assert found.orders == full().orders[:1] + found.orders[1:]
        assert isinstance(found.orders[1].triggered, bool)


def test_saving_replaces_all_that_was_there(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        store.save(full())
        empty = Saved(ACCOUNT, 5)
        store.save(empty)
        assert repr(store.load()) == repr(empty)


def test_what_is_put_one_by_one_is_what_is_saved_at_once(tmp_path: Path) -> None:
    saved = full()
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        for order in reversed(saved.orders):
            store.put_order(dataclasses.replace(order, status="Submitted", ended_ts=0))
        for order in saved.orders:
            store.put_order(order)
        for each in saved.executions:
            store.put_execution(each)
        for position in saved.positions:
            store.put_position(position)
        for currency, amount in saved.balances.items():
            store.put_balance(currency, 0.0)
            store.put_balance(currency, amount)
        for client_id, next_id in saved.next_ids.items():
            store.put_next_id(client_id, 1)
            store.put_next_id(client_id, next_id)
        store.put_counters(saved.counters)
        store.put_day_equity(saved.day_equity)
        store.commit(saved.ts)
        assert repr(store.load()) == repr(saved)


def test_what_was_not_committed_is_forgotten(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        store.put_balance("USD", 1.0)
        store.commit(1)
        store.put_balance("USD", 2.0)
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        saved = store.load()
        assert saved is not None
        assert (dict(saved.balances), saved.ts) == ({"USD": 1.0}, 1)


def test_a_commit_of_nothing_writes_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        store.commit(1)
        assert store.load() is None
        store.put_balance("USD", 1.0)
        store.commit(2)
        store.commit(3)
        saved = store.load()
        assert saved is not None
        assert saved.ts == 2


def test_a_correction_keeps_its_place_and_a_bust_is_gone(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        for number in (1, 2, 3):
            store.put_execution(execution(number))
        corrected = dataclasses.replace(execution(9, 8.0), ts=1)
        store.correct_execution(execution(1).exec_id, corrected)
        store.remove_execution(execution(2).exec_id)
        store.commit(1)
        saved = store.load()
        assert saved is not None
        assert repr(saved.executions) == repr((corrected, execution(3)))


def test_old_executions_and_ended_orders_are_forgotten_and_open_orders_never(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        for number, ended in ((1, 5), (2, 0), (3, 10)):
            store.put_order(SavedOrder(number, 1, number, AAPL, Order(), "?", placed_ts=1, ended_ts=ended))
            store.put_execution(execution(number, ts=(4, 9, 10)[number - 1]))
        store.forget_before(10)
        store.commit(11)
        saved = store.load()
        assert saved is not None
        assert [each.perm_id for each in saved.orders] == [2, 3]
        assert [each.ts for each in saved.executions] == [10]


def test_a_field_that_an_older_file_does_not_have_takes_its_default(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store.open(path, ACCOUNT) as store:
        store.put_order(SavedOrder(1, 1, 1, AAPL, Order("BUY", 5.0, "LMT", limit_price=9.5), "Submitted"))
        store.commit(1)
    with sqlite3.connect(path) as connection:
        text = connection.execute('SELECT "order" FROM orders').fetchone()[0]
    connection.close()
    assert json.loads(text) == {"action": "BUY", "quantity": 5.0, "type": "LMT", "limit_price": 9.5}


@given(st.floats(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans())
@settings(max_examples=50)
def test_any_terms_of_an_order_come_back(price: float, quantity: float, text: str, flag: bool) -> None:
    order = Order("BUY", quantity, "LMT", limit_price=price, order_ref=text, transmit=flag, what_if=flag)
    with Store.open(":memory:", ACCOUNT) as store:
        store.put_order(SavedOrder(1, 1, 1, Contract(symbol=text), order, text, best=price))
        saved = store.load()
        assert saved is None  # nothing was committed for an account yet
        store.commit(1)
        saved = store.load()
        assert saved is not None
        assert repr(saved.orders[0].order) == repr(order)
        assert (saved.orders[0].contract.symbol, saved.orders[0].status) == (text, text)
        assert repr(saved.orders[0].best) == repr(price)


# -- what is no memory --------------------------------------------------------------------------------------------------


def refusal(path: Path, account: str = ACCOUNT) -> str:
    """The one line that refuses a file."""
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(DataError) as caught:
        Store.open(path, account)
    if path.is_file():
        assert path.read_bytes() == before
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes\n" * 100)
    assert "is no memory of a simulated account; name another file" in refusal(path)


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (x)")
    connection.commit()
    connection.close()
    assert "is no memory of a simulated account" in refusal(path)


def test_a_newer_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    Store.open(path, ACCOUNT).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.commit()
    connection.close()
    assert "is of format 9, and this papertape knows up to 1; update papertape" in refusal(path)


def test_another_accounts_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store.open(path, ACCOUNT) as store:
        store.put_balance("USD", 1.0)
        store.commit(1)
    assert "is the memory of account DU1234567, not of DU7" in refusal(path, "DU7")


def test_a_folder_and_a_place_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    assert "cannot open" in refusal(tmp_path)
    assert "cannot open" in refusal(tmp_path / "nowhere" / "a.sqlite")


def test_two_gateways_cannot_use_one_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store.open(path, ACCOUNT) as store:
        with pytest.raises(DataError, match="another gateway uses this memory"):
            Store.open(path, ACCOUNT)
        store.put_balance("USD", 1.0)
        store.commit(1)
    Store.open(path, ACCOUNT).close()


def test_a_damaged_row_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store.open(path, ACCOUNT) as store:
        store.save(full())
    connection = sqlite3.connect(path)
    connection.execute("""UPDATE orders SET "order" = '{"quantity": "ten"' WHERE perm_id = 12""")
    connection.commit()
    connection.close()
    with Store.open(path, ACCOUNT) as store, pytest.raises(DataError, match="damaged") as caught:
        store.load()
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store.open(path, ACCOUNT) as store:
        store.save(full())
        for number in range(10, 300):
            store.put_execution(execution(number))
        store.commit(1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError) as caught, Store.open(path, ACCOUNT) as store:
        store.load()
    assert "\n" not in str(caught.value)


def test_the_file_says_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    Store.open(path, ACCOUNT).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


# -- killed --------------------------------------------------------------------------------------------------------------

WRITER = textwrap.dedent(
    """
    import dataclasses, runpy, sys
    made = runpy.run_path(sys.argv[1])
    with made["Store"].open(sys.argv[2], made["ACCOUNT"]) as store:
        step = int(sys.argv[3])
        while True:
            step += 1
            for k in range(3):
                store.put_execution(made["execution"](3 * step + k, ts=step))
            store.put_balance("USD", float(step))
            store.put_next_id(1, step)
            store.commit(step)
            print(step, flush=True)
    """
)


def test_a_process_that_is_killed_leaves_all_that_it_committed_and_nothing_half(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    chance = random.Random(5)
    step = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, __file__, str(path), str(step)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        with process.stdout:
            first = process.stdout.readline()  # it is writing
            time.sleep(chance.uniform(0.0, 0.05))
            process.send_signal(signal.SIGKILL)
            said = [int(line) for line in [first, *process.stdout] if line.endswith(b"\n")]
        assert process.wait(30) == -signal.SIGKILL
        with Store.open(path, ACCOUNT) as store:
            saved = store.load()
        assert saved is not None
        assert saved.ts >= said[-1] > step  # what it said is there; the last it may not have come to say
        step = saved.ts
        assert (dict(saved.balances), dict(saved.next_ids)) == ({"USD": float(step)}, {1: step})
        assert len(saved.executions) == 3 * step
        assert [each.ts for each in saved.executions] == [k // 3 + 1 for k in range(3 * step)]


# -- books from the memory -----------------------------------------------------------------------------------------------


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


def test_a_position_whose_price_is_not_known_stays_unknown(tmp_path: Path) -> None:
    ledger, costs = books("AAPL")
    restore(
        Saved(ACCOUNT, 1, positions=(SavedPosition("AAPL", 5.0, 10.0, 10.0, math.nan, 5.0, 10.0, 50.0),)),
        ledger,
        costs,
        1,
    )
    assert costs.basis(0).quantity == 5.0
    assert math.isnan(ledger.positions[0].mark)
    assert math.isnan(ledger.account.equity)
    ledger.note_image(0, 11.0, math.nan, math.nan, 2)
    ledger.set_rate("USD", 1.0)
    assert ledger.positions[0].unrealised == 5.0


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
