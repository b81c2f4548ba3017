"""Going on with a run: what is checked, what latches, what survives, and that restarting changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from papertape import Strategy, Trade
from papertape.cli.main import run as papertape
from papertape.core.errors import ConfigError, DataError, UserError
from papertape.core.guard import GuardSettings
from papertape.core.model import NS_PER_S, Mode
from papertape.live import entries, resume
from papertape.live.assembly import LiveRun, make_run
from papertape.live.control import RunFolderLock
from papertape.live.journal import FILE_NAME, Journal, read_journal
from papertape.live.lock import RunLock
from papertape.live.settings import Address, LiveSettings
from papertape.runs import open_run
from tests.live.crashing import SOAK
from tests.live.kill_rig import ACCOUNT, START, Forks, Rig, check_agrees, intended_refs, play_alone, tape
from tests.live.killed_run import SYMBOLS, Busy, result_of, settings_of

NOWHERE = Address("127.0.0.1", 1)
TRIPS: dict[str, Any] = {"strategy": "Falling", "guard": {"max_drawdown": 0.0005, "flatten": True}}


@pytest.fixture(scope="module")
def killed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed while it traded."""
    folder = tmp_path_factory.mktemp("killed")
    with Rig(forks, folder, tape(20)) as rig:
        assert rig.play("flushed execution", 12) is None
        return rig.run


@pytest.fixture
def copied(killed: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may go on with."""
    copy = tmp_path / killed.name
    shutil.copytree(killed, copy)
    return copy


@pytest.fixture
def resumed(copied: Path) -> Iterator[LiveRun]:
    run = go_on(copied)
    yield run
    let_go(run)


def go_on(
    folder: Path, strategy: Strategy | None = None, settings: LiveSettings | None = None, **given: Any
) -> LiveRun:
    """The run of a folder, replayed and not connected."""
    shared = {"symbols": list(SYMBOLS), "now": START, **given}
    return resume.resume_run(folder, strategy or Busy(), settings or settings_of({}), NOWHERE, **shared)


def let_go(run: LiveRun) -> None:
    run.parts.journal.close()
    run.claim.release()


def books(run: LiveRun) -> dict[str, Any]:
    """What a replayed run knows, but for what its process has done since."""
    known = result_of(run)
    return {name: known[name] for name in ("positions", "cash", "orders", "numbers", "halted", "trip")}


# -- restarting changes nothing ----------------------------------------------------------------------------------------


def test_three_restarts_change_no_order_no_position_and_no_cash(forks: Forks, tmp_path: Path) -> None:
    with Rig(forks, tmp_path, tape(20)) as rig:
        assert rig.play("after sending order", 15) is None
        before = seen(rig)
        known = []
        for _ in range(3):
            assert rig.play("noted Expected", 1) is None
            copy = tmp_path / "looked at"
            shutil.copytree(rig.run, copy)
            run = go_on(copy)
            known.append(books(run))
            let_go(run)
            shutil.rmtree(copy)
        assert seen(rig) == before
        assert known[0] == known[1] == known[2]
        result = rig.play_to_its_end()
        check_agrees(rig.account(), result, rig.run)


def seen(rig: Rig) -> tuple[Any, ...]:
    """Orders with their states, positions and cash of a gateway that waits."""
    tws = rig.gateway.server.tws
    ledger = tws.exchange.ledger
    orders = {key: (each.shown, each.filled) for key, each in tws.orders.board.entries.items()}
    return orders, [each.quantity for each in ledger.positions], ledger.account.balances


def test_a_replay_knows_what_the_run_knew(resumed: LiveRun, copied: Path) -> None:
    known = books(resumed)
    assert list(known["orders"]) == intended_refs(copied)
    assert known["positions"]
    statuses = {status for status, _, _ in known["orders"].values()}
    assert {"FILLED", "UNKNOWN"} <= statuses, "what worked is unknown until TWS was asked"
    log = resumed.parts.side.session.log
    assert [text for _, text in log.lines] == ["started with"]
    assert log.custom["price"]


def test_an_order_is_never_sent_again_by_a_replay(resumed: LiveRun) -> None:
    assert resumed.parts.adapter.ib.take_commands(START + 10**12) == []
    assert not resumed.parts.asks


# -- what the journal lost ---------------------------------------------------------------------------------------------


@pytest.mark.soak
def test_a_journal_that_lost_its_end_at_any_byte_gives_the_run_as_it_was_before(killed: Path, tmp_path: Path) -> None:
    """Of the write-ahead log any number of bytes at the end may not have reached the disk."""
    log = killed / f"{FILE_NAME}-wal"
    whole = log.stat().st_size
    last_commits = 6 * 4_120
    bodies = [each.body for each in read_journal(killed)[1]]
    step = 29 if SOAK else 2_741
    lengths = set()
    for cut in range(1, last_commits, step):
        copy = tmp_path / str(cut)
        shutil.copytree(killed, copy)
        os.truncate(copy / log.name, whole - cut)
        found = [each.body for each in read_journal(copy)[1]]
        assert found == bodies[: len(found)]
        lengths.add(len(found))
        run = go_on(copy)
        assert set(books(run)["orders"]) == set(intended_refs(copy))
        let_go(run)
        shutil.rmtree(copy)
    assert len(lengths) >= 2


def test_fills_that_the_journal_lost_are_heard_again(forks: Forks, tmp_path: Path) -> None:
    """What was only heard is written in groups: power may be cut before one is on the disk."""
    with Rig(forks, tmp_path, tape(20)) as rig:
        assert rig.play("flushed execution", 6) is None
        log = rig.run / f"{FILE_NAME}-wal"
        before = read_journal(rig.run)[1]
        os.truncate(log, log.stat().st_size - 1)
        after = read_journal(rig.run)[1]
        lost = [entries.decode(each.body) for each in before[len(after) :]]
        assert lost, "the last group is gone"
        assert not any(isinstance(each, entries.Intended) for each in lost), (
            "an intent is on the disk before its bytes leave"
        )
        result = rig.play_to_its_end()
        assert result["halted"] == ""
        check_agrees(rig.account(), result, rig.run)


# -- what latches ------------------------------------------------------------------------------------------------------


def test_a_run_whose_guard_tripped_gives_no_orders_until_a_person_has_reset_it(forks: Forks, tmp_path: Path) -> None:
    with Rig(forks, tmp_path, tape(30, drift=-2.0), **TRIPS) as rig:
        result = rig.play_to_its_end(until=START + 15 * NS_PER_S)
        assert "max_drawdown" in result["trip"]
        result = rig.play_to_its_end(until=START + 18 * NS_PER_S)  # what follows a trip is done, if it was not yet
        given = intended_refs(rig.run)

        result = rig.play_to_its_end(until=START + 22 * NS_PER_S)
        assert "max_drawdown" in result["trip"]
        assert intended_refs(rig.run) == given, "it is blocked over a restart"

        assert "max_drawdown" in resume.reset_guard(rig.run, who="a test")
        assert resume.latched(rig.run) == ""
        result = rig.play_to_its_end()
        assert len(intended_refs(rig.run)) > len(given), "it trades again"
        record = open_run(rig.run).record
        assert "reset" in {each.kind for each in record.guard}
        assert any(each.text.startswith("resumed 3 times") for each in record.notes)
        check_agrees(rig.account(), result, rig.run)


def test_limits_are_armed_anew_only_after_a_reset(copied: Path) -> None:
    began = next(each for each in decoded(copied) if isinstance(each, entries.Began))
    run = go_on(copied)
    kept = run.parts.adapter.kept
    assert kept is not None
    assert (kept.floor, kept.peak_fraction, kept.start) == (began.floor, began.peak_fraction, began.start)
    let_go(run)
    add(copied, entries.Tripped("max_drawdown", "a drop"), entries.Halted("a person"))
    resume.reset_guard(copied, who="a test")
    run = go_on(copied)
    assert run.parts.adapter.kept is None
    assert not run.parts.adapter.supervisor.guard.blocked
    assert books(run)["trip"] == books(run)["halted"] == ""
    let_go(run)


def test_a_trip_stays_over_a_restart_for_the_accounts_guard_too(copied: Path) -> None:
    add(copied, entries.Tripped("max_drawdown", "a drop"))
    run = go_on(copied)
    guard = run.parts.adapter.supervisor.guard
    assert (guard.blocked, guard.rule) == (True, "max_drawdown")
    let_go(run)


def test_a_halt_stays_over_a_restart(copied: Path) -> None:
    add(copied, entries.Halted("somebody wanted it"))
    run = go_on(copied)
    assert books(run)["halted"] == "somebody wanted it"
    assert not run.parts.adapter.supervisor.guard.blocked  # it refuses orders by the halt; its guard stays on watch
    assert run.notes[-1].text.endswith(f"papertape guard reset {copied.name}")
    assert run.notes[-1].text in [text for _, text in run.parts.adapter.state.notices], "the screen says it too"
    let_go(run)
    assert resume.latched(copied) == "it was halted: somebody wanted it"


def decoded(folder: Path) -> list[entries.Entry]:
    return [entries.decode(each.body) for each in read_journal(folder)[1]]


def add(folder: Path, *added: entries.Entry) -> None:
    """Append to a journal, as a process does before it dies."""
    with Journal.open(folder / FILE_NAME) as journal:
        last = max(each.ts for each in journal.entries())
        for each in added:
            journal.commit(last, type(each).__name__, entries.encode(each))


def test_a_guard_is_reset_on_a_terminal_by_whoever_types_the_name(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(copied, entries.Tripped("max_drawdown", "equity 1.00"))
    arguments = ["guard", "reset", copied.name, "--in", str(copied.parent)]
    assert papertape(arguments) == 2
    assert "no terminal" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert papertape(arguments) == 2
    assert "nothing was reset" in capsys.readouterr().err
    assert resume.latched(copied)
    monkeypatch.setattr("builtins.input", lambda _: copied.name)
    assert papertape(arguments) == 0
    said = capsys.readouterr().out
    assert "the guard has tripped: equity 1.00" in said
    assert f"--resume {copied.name}" in said
    assert papertape(arguments) == 2
    assert "is not blocked" in capsys.readouterr().err


# -- what must be as it was --------------------------------------------------------------------------------------------


class Renamed(Busy):
    """Another strategy."""


class Bounded(Busy):
    """One with a parameter."""

    most: float = 5.0


Changed = type("Busy", (Busy,), {"__doc__": "The same name, and another source."})


@pytest.mark.parametrize(
    ("strategy", "settings", "given", "said"),
    [
        (Renamed, {}, {}, "the run is one of Busy, not of Renamed"),
        (Busy, {}, {"symbols": ["AAA"]}, "begun with symbols AAA BBB, not AAA"),
        (Busy, {"client_id": 2}, {}, "client_id is 2, and 1 in the journal"),
        (Busy, {"account": "DU7"}, {}, f"trades account {ACCOUNT}, not DU7"),
        (Busy, {"mode": Mode.LIVE}, {}, "mode is live, and paper in the journal"),
        (Busy, {"guard": GuardSettings(max_drawdown=0.5, stale_s=0.0)}, {}, "guard max_drawdown is 0.5, and None"),
    ],
)  # fmt: skip
def test_what_a_run_keeps_can_not_be_another(
    copied: Path, strategy: type[Strategy], settings: dict[str, Any], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        go_on(copied, strategy(), replace(settings_of({}), **settings), **given)
    run = go_on(copied)  # and it is not held by the attempt
    let_go(run)


def test_other_parameters_are_refused(tmp_path: Path) -> None:
    run = make_run(Bounded(), settings_of({}), NOWHERE, out=tmp_path, now=START)
    let_go(run)
    with pytest.raises(ConfigError, match=r"parameter most is 7.0, and 5.0 in the journal"):
        go_on(run.folder, Bounded(most=7.0), symbols=[])
    let_go(go_on(run.folder, Bounded(), symbols=[]))


def test_a_changed_source_and_what_does_no_harm_are_said(copied: Path) -> None:
    run = go_on(copied, Changed(), replace(settings_of({}), risk_free=0.03))
    said = [each.text for each in run.notes]
    assert "the source of the strategy has changed since the run last traded" in said
    assert "risk_free is 0.03, was 0.0" in said
    assert any(each.startswith("gateway is 127.0.0.1:1, was 127.0.0.1:") for each in said)
    let_go(run)
    run = go_on(copied, Changed())
    assert not any("source" in each.text for each in run.notes), "it was said when it was new"
    assert run.notes[0].text.startswith("resumed 2 times")
    let_go(run)


# -- one process at a time ---------------------------------------------------------------------------------------------


def test_a_second_process_can_not_have_a_run_that_is_gone_on_with(resumed: LiveRun, copied: Path) -> None:
    with pytest.raises(UserError, match="another process goes on with this run"):
        go_on(copied)


def test_a_run_that_is_alive_is_neither_resumed_nor_reset(copied: Path) -> None:
    add(copied, entries.Halted("somebody wanted it"))
    lock = RunFolderLock(copied)
    try:
        for attempt in (go_on, lambda folder: resume.reset_guard(folder, who="a test")):
            with pytest.raises(UserError, match=f"is being executed by process {os.getpid()}"):
                attempt(copied)
    finally:
        lock.release()
    assert resume.latched(copied), "nothing was reset"


def test_an_account_and_client_id_are_traded_by_one_process(copied: Path, tmp_path: Path) -> None:
    locks = tmp_path / "state"
    run = go_on(copied, locks=locks)  # the account is the journal's
    with pytest.raises(UserError, match=f"account {ACCOUNT} with client id 1 is traded by process {os.getpid()}"):
        make_run(
            Busy(), replace(settings_of({}), account=ACCOUNT), NOWHERE, out=tmp_path / "runs", now=START, locks=locks
        )
    assert list(tmp_path.glob("runs/*")) == [], "nothing was begun"
    other = replace(settings_of({}), account=ACCOUNT, client_id=2)
    let_go(make_run(Busy(), other, NOWHERE, out=tmp_path / "runs", now=START, locks=locks))
    let_go(run)
    let_go(go_on(copied, locks=locks))


def test_an_account_that_was_not_named_is_claimed_before_the_first_order(forks: Forks, tmp_path: Path) -> None:
    locks = tmp_path / "state"
    with Rig(forks, tmp_path, tape(5), locks=str(locks)) as rig, RunLock(locks, ACCOUNT, 1, run="another"):
        result = rig.play_to_its_end()
        assert "is traded by process" in result["error"]
        assert intended_refs(rig.run) == []


# -- finding and showing -----------------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_path_by_its_name_or_as_the_last(killed: Path) -> None:
    runs = killed.parent
    for text in (str(killed), str(killed / FILE_NAME), killed.name, killed.name[:12], killed.name[-6:], "last"):
        assert resume.find_resumable(text, runs) == killed
    with pytest.raises(DataError, match=f"the last is {killed.name}"):
        resume.find_resumable("nothing", runs)
    with pytest.raises(DataError, match="only paper and live runs can be resumed"):
        resume.find_resumable(str(runs), runs)


def test_showing_a_run_that_was_killed_says_how_to_go_on(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (str(killed), killed.name):
        assert papertape(["show", text, "--in", str(killed.parent)]) == 2
        assert f"--resume {killed.name}" in capsys.readouterr().err


def test_what_was_killed_can_be_saved_without_going_on(copied: Path) -> None:
    run = go_on(copied)
    run.close(0.0)
    record = open_run(copied).record
    assert len(record.orders["number"]) == len(intended_refs(copied))
    assert len(record.fills["ts"]) > 0
    assert len(record.equity["ts"]) > 0
    assert record.log[0][1] == "started with"


# -- overnight ---------------------------------------------------------------------------------------------------------


def test_orders_for_the_day_have_ended_when_a_run_goes_on_the_day_after(forks: Forks, tmp_path: Path) -> None:
    day = 86_400 * NS_PER_S
    with Rig(forks, tmp_path, tape(20), strategy="Resting") as rig:
        assert rig.play("flushed commission", 1) is None  # the third order has filled, and the run has heard of it
        working = {each.order.order_ref for each in rig.account().orders if not each.ended_ts}
        assert len(working) == 2
        store = rig.store
    play_alone(store, tape(1, begin=START + 7 * 3_600 * NS_PER_S))  # past the close, in which the day's orders end
    with Rig(forks, tmp_path, tape(20, begin=START + day), start=START + day, strategy="Resting") as rig:
        result = rig.play_to_its_end(at_end="keep")
        assert result["halted"] == ""
        ends = {ref: status for ref, (status, _, _) in result["orders"].items()}
        saved = rig.account()
    shown = {each.order.order_ref: (each.order.tif, each.status) for each in saved.orders}
    for ref in working:
        tif, _ = shown[ref]
        assert ends[ref] in (("CANCELLED", "EXPIRED") if tif == "DAY" else ("SUBMITTED", "PENDING_SUBMIT")), tif
    assert open_run(rig.run).record.orders["status"][0] == "EXPIRED", "a day order whose day is over"


class Quiet(Strategy):
    """Does nothing."""

    def on_trade(self, trade: Trade) -> None:
        """Hear."""


def test_a_run_that_never_reached_its_account_can_go_on(tmp_path: Path) -> None:
    run = make_run(Quiet(), settings_of({}), NOWHERE, out=tmp_path, now=START)
    let_go(run)
    again = go_on(run.folder, Quiet(), symbols=[])
    assert not again.parts.adapter.is_resumed, "its books begin with the account"
    let_go(again)
