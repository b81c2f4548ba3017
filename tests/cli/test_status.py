"""``papertape status``: runs that trade, that crashed, and that say nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from papertape.live.control import STATUS_FILE, Control, RunFolderLock
from papertape.live.status import LimitLine, LiveStatus, OrderLine, PositionLine, RunState

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

NAME = "20240603T133000Z-TickMomentum-paper-0a1b2c"
Start = Callable[..., RunFolderLock]


def trading(name: str, **changes: Any) -> LiveStatus:
    status = LiveStatus(
        name, "TickMomentum", "paper", "DU1234567", "127.0.0.1:7497", time.time_ns(),
        state=RunState.RUNNING, link="ready", pnl=-9.88, net_liquidation=99_990.12, fills_heard=3,
        positions=(PositionLine("AAA", 15.0, 101.25, 102.5, 18.75, 0.0), PositionLine("OLD", 1, 1, 1, 0, 0, "USD", False)),
        orders=(OrderLine(7, "BBB", "BUY", 5.0, 2.0, "LMT 10.50", "SUBMITTED", time.time_ns()),),
        limits=(LimitLine("max_drawdown", 99_990.12, 95_000.0, 0.998), LimitLine("cash_floor USD", 98e3, 97e3, 0.1)),
    )  # fmt: skip
    return replace(status, **changes)


@pytest.fixture
def start(here: Path) -> Iterator[Start]:
    held: list[RunFolderLock] = []

    def make(name: str = NAME, *, status: bool = True, **changes: Any) -> RunFolderLock:
        folder = here / "runs" / name
        folder.mkdir(parents=True)
        held.append(RunFolderLock(folder))
        if status:
            Control(held[-1]).tell(trading(name, **changes))
        return held[-1]

    yield make
    for each in held:
        each.release()


def test_a_run_that_trades_is_shown_with_what_matters(papertape: Runner, start: Start) -> None:
    start()
    said = papertape("status")
    assert (said.status, said.error) == (0, "")
    assert said.out.splitlines() == [
        f"{NAME}  running",
        "  paper, account DU1234567, 127.0.0.1:7497, link ready",
        "  P&L -9.88 USD, net liquidation 99,990.12, 1 working, 3 fills",
        "  holds 15 AAA at 102.50",
        "  guard: 10% left of cash_floor USD",
    ]


def test_one_run_is_shown_in_full(papertape: Runner, start: Start) -> None:
    start()
    said = papertape("status", "0a1b2c")
    assert said.status == 0
    assert "max_drawdown    99,990  95,000  100% left" in said.out
    assert "LMT 10.50" in said.out


def test_trips_and_halts_are_shown(papertape: Runner, start: Start) -> None:
    start(state=RunState.HALTED, guard="max_drawdown: too deep", halt="halted by me\x1b[2J", blocking="on_trade")
    out = papertape("status").out
    assert f"{NAME}  halted" in out
    assert "GUARD TRIPPED: max_drawdown: too deep" in out
    assert "HALTED: halted by me\\x1b[2J" in out
    assert "BLOCKED: on_trade does not return" in out


def test_a_run_that_crashed_can_be_gone_on_with(papertape: Runner, start: Start) -> None:
    start(ts=time.time_ns() - 600 * 10**9).release()
    out = papertape("status").out
    assert f"{NAME}  crashed" in out
    assert "  as it was 10 m ago" in out
    assert f"  it ended without saying so; its orders may still work: go on with --resume {NAME}" in out
    (plain,) = json.loads(papertape("status", "--json").out)
    assert (plain["state"], plain["is_alive"], plain["resume"]) == ("crashed", False, f"--resume {NAME}")


def test_a_run_that_lives_and_says_nothing_is_silent(papertape: Runner, start: Start) -> None:
    lock = start(ts=time.time_ns() - 60 * 10**9)
    out = papertape("status").out
    assert f"{NAME}  silent" in out
    assert f"process {lock.life.pid} on " in out


def test_a_run_that_has_just_begun_is_there(papertape: Runner, start: Start) -> None:
    start(status=False)
    assert "it has not written its status yet" in papertape("status").out


def test_those_that_ended_in_order_are_shown_when_asked_for(papertape: Runner, start: Start, here: Path) -> None:
    start(state=RunState.ENDED).release()
    assert papertape("status").out == f"no run trades in {(here / 'runs').resolve()}\n"
    assert f"{NAME}  ended" in papertape("status", "--all").out


def test_json_holds_all_of_it_and_null_for_what_is_unknown(papertape: Runner, start: Start) -> None:
    start()
    (plain,) = json.loads(papertape("status", "--json").out)
    assert plain["state"] == "running"
    assert plain["status"]["positions"][0]["symbol"] == "AAA"
    assert plain["status"]["realised"] is None
    assert plain["resume"] is None


def test_a_damaged_status_is_said_and_the_others_are_shown(papertape: Runner, start: Start, here: Path) -> None:
    start()
    start("20240603T140000Z-Other-paper-ffffff")
    (here / "runs" / NAME / STATUS_FILE).write_text("{")
    said = papertape("status")
    assert said.status == 0
    assert "damaged: " in said.out
    assert "is not the status of a run" in said.out
    assert "ffffff  running" in said.out


def test_no_folder_is_no_run(papertape: Runner, here: Path) -> None:
    said = papertape("status", "--in", "nowhere")
    assert (said.status, said.out) == (0, f"no run trades in {(here / 'nowhere').resolve()}\n")
    assert papertape("status", "--json").out == "[]\n"


def test_a_run_that_is_not_there_is_one_line(papertape: Runner, start: Start) -> None:
    start()
    said = papertape("status", "0a1b2x")
    assert (said.status, said.error) == (2, 'error: no run "0a1b2x" in runs; did you mean "0a1b2c"?\n')
