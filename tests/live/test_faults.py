"""Whole runs in threads, over a real socket, under the faults of the simulated gateway: the books come out right."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from papertape.core.errors import JournalError, PeerError
from papertape.core.guard import GuardSettings, Reference
from papertape.core.model import OrderStatus, OrderUpdate, Trade
from papertape.live.assembly import LiveRun
from papertape.live.journal import Journal
from papertape.live.settings import AtEnd
from papertape.live.trip import TripStage
from tests.live.faulty import Busy, drawn, play

pytest.importorskip("ibapi")


def fault(kind: str, **keys: object) -> str:
    """One table of a scenario."""
    lines = [f'kind = "{kind}"']
    for name, value in keys.items():
        text = f'"{value}"' if isinstance(value, str) else str(value).lower()
        lines.append(f"{name.rstrip('_')} = {text}")
    return "[[fault]]\n" + "\n".join(lines) + "\n\n"


SCENARIOS = {
    "statuses lost, doubled and late, fills in parts": (
        fault("drop", message="order-status", nth=2, count=5)
        + fault("duplicate", message="execution", nth=1, count=0)
        + fault("duplicate", message="commission", nth=2, count=4)
        + fault("reorder", message="order-status", behind="execution", nth=3)
        + fault("delay", message="commission", for_="5s", nth=4, count=3)
        + fault("partial", nth=2, parts=3)
    ),
    "corrected, busted and filled after a cancel": (
        fault("correct", nth=2, by=0.05) + fault("bust", nth=4) + fault("late-fill", nth=6) + fault("reject", nth=3)
    ),
    "1100 with fills inside, both ways back": (
        fault("connectivity", at="10:00:08", for_="6s", data_lost=True) + fault("connectivity", at="10:00:18", for_="5s")
    ),
    "disconnected in the middle of fills, ids back, id busy": (
        fault("disconnect", message="execution", nth=3)
        + fault("disconnect", at="10:00:15")
        + fault("ids-back", nth=2, by=5)
        + fault("client-id-busy", count=2)
    ),
    "half open, then restarted": fault("half-open", at="10:00:10") + fault("restart", at="10:00:22", wall="0.5s"),
    "bytes by the drip": (
        fault("drip", message="execution", bytes=7) + fault("full-read", message="open-order", nth=2)
        + fault("stall", message="order-status", nth=3, wall="0.3s")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_position_and_cash_are_the_accounts_after(name: str, tmp_path: Path) -> None:
    played = play(SCENARIOS[name], tmp_path)
    played.check()
    assert len(played.refs) >= 5, played.said
    assert not played.run.parts.adapter.state.halted, played.said


@pytest.mark.parametrize(
    "faults",
    [
        fault("disconnect", at="10:00:15") + fault("disconnect", at="10:00:21") + fault("ids-back", nth=2, by=5),
        fault("disconnect", message="execution", nth=3),
        fault("restart", at="10:00:12", wall="0.3s"),
    ],
    ids=["between orders", "in the middle of a fill", "and nobody listens for a while"],
)
def test_in_step_a_connection_that_is_lost_is_made_again(faults: str, tmp_path: Path) -> None:
    played = play(faults, tmp_path, speed=None)
    played.check()
    assert [text for text in played.said if text.startswith("connection: down")]
    assert len(played.refs) >= 15
    assert played.run.engine.why == "all was given"


def test_in_step_a_gateway_that_does_not_come_back_ends_the_run_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papertape.live.engine.LOCKSTEP_RETRIES", 2)
    with pytest.raises(PeerError, match="was lost, and did not come back: nobody listens at"):
        play(fault("restart", at="10:00:12", wall="60s"), tmp_path, speed=None)


@pytest.mark.parametrize("seed", [3, 11])
def test_what_a_seed_draws_leaves_the_books_right_or_says_why_not(seed: int, tmp_path: Path) -> None:
    played = play(drawn(seed), tmp_path)
    print(f"to run it again: pytest {__file__} -k 'seed and {seed}'; papertape sim --seed {seed}")
    halted = played.run.parts.adapter.state.halted
    if halted:
        assert played.said, "a run that halts says why"
    played.check()


def test_garbage_halts_the_run_cancels_its_orders_and_says_so(tmp_path: Path) -> None:
    played = play(fault("garbage", at="10:00:15"), tmp_path, seconds=30.0)
    adapter = played.run.parts.adapter
    assert "could not be read" in adapter.state.halted
    assert adapter.ib.orders.working() == [], played.said
    played.check()


class Deaf(Busy):
    """Its handler does not return for a while, once it holds something."""

    most: int = 1

    def on_trade(self, trade: Trade) -> None:
        if self.given == 0:
            self.given = 1
            self.buy("AAA", 100)
            self.buy("BBB", 10, limit=1.0)
        elif self.heard and not blocked.is_set():
            blocked.set()
            released.wait(20.0)


blocked, released = threading.Event(), threading.Event()


@pytest.mark.parametrize("way", ["halt", "trip"])
def test_orders_are_cancelled_while_a_handler_never_returns(way: str, tmp_path: Path) -> None:
    """By a halt from elsewhere, and by the guard: neither waits for the strategy."""
    blocked.clear()
    released.clear()
    seen: dict[str, object] = {}

    def look(run: LiveRun) -> None:
        adapter = run.parts.adapter
        if not blocked.is_set() or released.is_set():
            return
        if way == "halt":
            adapter.halt("by a person")
        else:  # somebody else loses money in the account
            adapter._inbox.put(adapter._tripped(adapter.supervisor.fill(0, 1_000.0, 700.0, 0.0, 1), 1))
        if adapter.sequence.stage is TripStage.DONE or (way == "halt" and not adapter.ib.orders.working()):
            seen.update(working=len(adapter.ib.orders.working()), busy=run.parts.side.busy_in)
            released.set()

    guard = GuardSettings(stale_s=0.0, max_drawdown=0.3, reference=Reference.START)
    played = play("", tmp_path, strategy=Deaf(), guard=guard, seconds=25.0, look=look)
    assert seen["working"] == 0
    assert seen["busy"] in ("on_trade", "a handler of market events")
    ended = [entry for entry in played.run.parts.adapter.ib.orders.entries.values() if entry.request.limit_price == 1.0]
    assert [each.status for each in ended] == [OrderStatus.CANCELLED]


class Broken(Busy):
    """Raises as soon as it has an order working."""

    most: int = 1

    def on_trade(self, trade: Trade) -> None:
        if not self.given:
            self.given = 1
            self.buy("BBB", 10, limit=1.0)

    def on_order(self, update: OrderUpdate) -> None:
        raise ZeroDivisionError("a mistake in a strategy")


def test_what_a_strategy_raises_ends_the_run_after_its_orders_were_cancelled(tmp_path: Path) -> None:
    seen: list[LiveRun] = []
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        play("", tmp_path, strategy=Broken(), seconds=25.0, look=lambda run: seen.append(run) if not seen else None)
    orders = seen[0].parts.adapter.ib.orders
    assert [each.status for each in orders.entries.values()] == [OrderStatus.CANCELLED]
    assert "ZeroDivisionError" in seen[0].parts.adapter.state.halted


class Hopeless(Deaf):
    """Raises at each trade, once its order works."""

    def on_trade(self, trade: Trade) -> None:
        self.calls = getattr(self, "calls", 0) + 1
        if not self.given:
            self.given = 1
            self.buy("BBB", 10, limit=1.0)
        elif self.given:
            raise ZeroDivisionError("a mistake in a strategy")


def test_a_strategy_that_failed_is_not_called_again_and_orders_that_are_to_be_kept_are(tmp_path: Path) -> None:
    seen: list[LiveRun] = []
    calls: list[int] = []
    hopeless = Hopeless()

    def look(run: LiveRun) -> None:
        seen[:] = [run]
        if run.engine.failure is not None:
            calls.append(hopeless.calls)
            time.sleep(0.05)  # more trades come meanwhile

    with pytest.raises(ZeroDivisionError, match="a mistake"):
        play("", tmp_path, strategy=hopeless, look=look, at_end=AtEnd.KEEP)
    assert seen[0].engine.remaining == [1]
    assert [each.status for each in seen[0].parts.adapter.ib.orders.entries.values()] == [OrderStatus.SUBMITTED]
    assert hopeless.calls == calls[0]


class Parting(Busy):
    """Gives an order when the run ends."""

    most: int = 0

    def on_stop(self) -> None:
        self.buy("BBB", 10, limit=1.0)


@pytest.mark.parametrize("at_end", AtEnd)
def test_an_order_that_on_stop_gives_is_sent_however_quick_the_strategy_is(at_end: AtEnd, tmp_path: Path) -> None:
    """The strategy's thread has ended here before the adapter's looks at what it asked for."""

    def look(run: LiveRun) -> None:
        if run.parts.side.has_begun and not run.engine._strategy_done.is_set():
            run.engine.stop("enough")
            assert run.engine._strategy_done.wait(20.0)

    played = play("", tmp_path, strategy=Parting(), look=look, at_end=at_end)
    (order,) = played.run.parts.adapter.ib.orders.entries.values()
    assert order.is_acknowledged
    assert order.status is (OrderStatus.CANCELLED if at_end is AtEnd.CANCEL else OrderStatus.SUBMITTED)


def test_a_second_interrupt_leaves_orders_alone_and_a_journal_that_can_be_gone_on_with(tmp_path: Path) -> None:
    blocked.clear()
    released.clear()
    seen: list[LiveRun] = []

    def look(run: LiveRun) -> None:
        seen[:] = [run]
        if blocked.is_set() and not run.engine._leaves.is_set():
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.3)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            play("", tmp_path, strategy=Deaf(), look=look)
    finally:
        signal.signal(signal.SIGINT, before)
        released.set()
    assert not seen[0].engine.owns_connection
    resting = [each for each in seen[0].parts.adapter.ib.orders.entries.values() if each.request.limit_price == 1.0]
    assert [each.status for each in resting] == [OrderStatus.SUBMITTED]
    with Journal.open(seen[0].folder / "journal.sqlite") as journal:
        assert [entry.kind for entry in journal.entries()].count("Intended") == 2


def test_a_journal_that_can_not_be_written_ends_the_run_with_nothing_left_working(tmp_path: Path) -> None:
    runs: list[LiveRun] = []

    def look(run: LiveRun) -> None:
        runs[:] = [run]
        if run.parts.adapter.ib.orders.working():
            run.parts.journal._failure = "the disk is full"

    with pytest.raises(JournalError, match="the disk is full"):
        play("", tmp_path, strategy=Deaf(), seconds=25.0, look=look)
    assert runs[0].parts.adapter.ib.orders.working() == []
