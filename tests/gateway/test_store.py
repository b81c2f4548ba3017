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
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.contract import ComboLeg, Contract, DeltaNeutral
from gateway.protocol.order import Order
from gateway.store import APPLICATION_ID, Counters, Saved, SavedOrder, SavedPosition, Store
from papertape.core.errors import DataError
from tests.gateway.memories import AAPL, ACCOUNT, execution

ROOT = Path(__file__).resolve().parents[2]


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
        assert repr(found.orders[0]) == repr(full().orders[0])
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


def test_a_memory_may_be_opened_in_one_thread_and_used_in_another(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", ACCOUNT) as store:
        worker = threading.Thread(target=store.save, args=(full(),))
        worker.start()
        worker.join()
        assert repr(store.load()) == repr(full())


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
    import sys
    from gateway.store import Store
    from tests.gateway.memories import ACCOUNT, execution
    with Store.open(sys.argv[1], ACCOUNT) as store:
        step = int(sys.argv[2])
        while True:
            step += 1
            for k in range(3):
                store.put_execution(execution(3 * step + k, ts=step))
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
            [sys.executable, "-c", WRITER, str(path), str(step)],
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
