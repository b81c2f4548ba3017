"""Those who look at a run while it runs: none of them can keep it from trading."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backtests.settings import Settings
from brokers.ib.events import LinkState
from feeds.load import DataOptions, load_tape
from papertape import Strategy, Trade
from papertape.core.series import Tape
from papertape.live.assembly import LiveRun
from papertape.live.control import LOOK_EVERY_S, ask_to_halt, seen_runs
from papertape.live.settings import LiveSettings
from papertape.live.simulated import paper_run, paper_settings, serve_tape
from papertape.live.status import RunState
from papertape.live.watching import Watching
from tests.cli.conftest import write_trades


class Buys(Strategy):
    """Buys a share at each trade, as long as it may."""

    def on_start(self) -> None:
        self.subscribe(self.symbols)
        self.buy(self.symbols[0], 3, limit=50.0)

    def on_trade(self, trade: Trade) -> None:
        self.buy(trade.symbol, 1)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    folder = tmp_path_factory.mktemp("tape")
    write_trades(folder / "AAA.csv", {})
    return load_tape(folder, DataOptions(cache=False))


@pytest.fixture
def made(tape: Tape, tmp_path: Path) -> Iterator[LiveRun]:
    live = paper_settings(LiveSettings())
    simulated = Settings(end="2024-06-03T09:30:20")
    with serve_tape(tape, simulated, live, allow_short=False) as gateway:
        yield paper_run(Buys(), tape, gateway, live, simulated, out=tmp_path / "runs")


def watched(run: LiveRun, meanwhile: Callable[[], None] = lambda: None, **options: str) -> Watching:
    with Watching(run, is_plain=True, **options) as watching:  # type: ignore[arg-type]

        def look() -> None:
            meanwhile()
            watching.look()

        run.engine.look = look
        run.run()
    return watching


def test_a_halt_from_another_process_ends_new_orders_and_cancels_what_works(made: LiveRun) -> None:
    asked: list[str] = []

    def meanwhile() -> None:
        if len(made.parts.adapter.ib.orders.entries) == 8 and not asked:
            (found,) = seen_runs(made.folder.parent)
            asked.append(ask_to_halt(found, by="me", why="enough"))
            threading.Event().wait(LOOK_EVERY_S * 2)

    watched(made, meanwhile)
    assert asked
    assert made.parts.adapter.state.halted == "halted by me: enough"
    assert made.is_cut_short
    statuses = {
        each.request.limit_price == 50.0: each.status.name for each in made.parts.adapter.ib.orders.entries.values()
    }
    assert statuses[True] == "CANCELLED"
    assert len(made.parts.adapter.ib.orders.entries) < 20


def test_the_last_status_in_the_folder_says_that_it_has_ended(made: LiveRun) -> None:
    watched(made)
    (found,) = seen_runs(made.folder.parent)
    assert not found.is_alive
    assert not found.is_crashed
    assert found.status is not None
    assert found.status.state == RunState.ENDED


def test_a_recording_that_fails_is_said_and_the_run_goes_on(made: LiveRun, tmp_path: Path) -> None:
    folder = tmp_path / "rec"
    done: list[Path] = []

    def meanwhile() -> None:
        if not done and folder.is_dir():
            done.append(folder)
            for name in ("trades", "quotes"):
                (folder / name).mkdir(exist_ok=True)
                (folder / name / "2024-06-03.csv").mkdir()

    watching = watched(made, meanwhile, record=str(folder))
    assert any(text.startswith("recording: ") for text in watching.said)
    assert made.engine.why == "the tape is over"


def test_a_target_that_can_not_be_told_is_said_at_the_end(made: LiveRun) -> None:
    (said,) = watched(made, notify="false").said
    assert "notif" in said


def test_nothing_of_those_who_looked_is_left(made: LiveRun, tmp_path: Path) -> None:
    watched(made, record=str(tmp_path / "rec"), notify="true")
    ours = ("screen", "record", "notify")
    assert [each.name for each in threading.enumerate() if each.name in ours] == []


def told(run: LiveRun, tmp_path: Path) -> list[str]:
    """What was notified of a run, in order."""
    file = tmp_path / "told"
    watched(run, notify=f"sh -c 'echo $PAPERTAPE_EVENT >> {file}'")
    return file.read_text().split()


def test_a_connection_that_was_never_there_is_not_told_as_lost(made: LiveRun, tmp_path: Path) -> None:
    assert told(made, tmp_path) == ["end"]


def test_a_connection_that_is_lost_in_the_middle_is_told_as_lost_and_as_back(
    made: LiveRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([LinkState.CONNECTING, LinkState.READY, LinkState.RECONCILING, LinkState.READY, LinkState.DOWN,
                   LinkState.CONNECTING, LinkState.RECONCILING, LinkState.READY])  # fmt: skip
    monkeypatch.setattr("papertape.live.watching.SHOW_EVERY_S", 0.0)
    file = tmp_path / "told"
    with Watching(made, is_silent=True, notify=f"sh -c 'echo $PAPERTAPE_EVENT >> {file}'") as watching:
        for made.parts.adapter.ib.state in states:
            watching.look()
    made.discard()
    assert file.read_text().split() == ["link-lost", "link-back"]
