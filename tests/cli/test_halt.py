"""``papertape halt``: what it stops, what it says, and what it refuses with one line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.core.errors import DataError
from papertape.live.control import Control, RunFolderLock
from papertape.live.lock import RunLock
from papertape.live.status import LiveStatus, RunState

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

WITHIN_S = 30.0
FIRST = "20240603T133000Z-TickMomentum-paper-0a1b2c"
SECOND = "20240603T140000Z-SmaCross-paper-ffee00"


class Trading:
    """A run that lives in this process: a thread that polls as the one that owns the connection does."""

    def __init__(self, folder: Path, *, answers: bool = True, is_done: bool = True) -> None:
        folder.mkdir(parents=True)
        self.lock = RunFolderLock(folder)
        self.control = Control(self.lock)
        self.control.tell(LiveStatus(folder.name, "S", "paper", "DU1", "h:1", time.time_ns(), state=RunState.RUNNING))
        self.heard: list[str] = []
        self._answers = answers
        self._is_done = is_done
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def _poll(self) -> None:
        while not self._is_over.wait(0.005):
            halt = self.control.poll()
            if halt is not None:
                self.heard.append(halt.text())
                if self._answers:
                    self.control.answer(halt, "halted; 2 orders cancelled, 15 AAA held", is_done=self._is_done)

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()
        self.lock.release()


@pytest.fixture
def trades(here: Path) -> Iterator[Callable[..., Trading]]:
    made: list[Trading] = []

    def start(name: str = FIRST, **options: bool) -> Trading:
        made.append(Trading(here / "runs" / name, **options))
        return made[-1]

    yield start
    for each in made:
        each.end()


def test_a_run_is_halted_and_its_answer_said(papertape: Runner, trades: Callable[..., Trading]) -> None:
    run = trades()
    said = papertape("halt", "0a1b2c", "--reason", "too\nlate")
    assert (said.status, said.error) == (0, "")
    assert said.out == f"{FIRST}: halted; 2 orders cancelled, 15 AAA held\n"
    (heard,) = run.heard
    assert heard.startswith("halted by ")
    assert heard.endswith("too\nlate")


@pytest.mark.parametrize("name", [FIRST, FIRST[:10], "0a1b2c", f"runs/{FIRST}"])
def test_a_run_is_named_by_what_a_person_has_at_hand(
    papertape: Runner, trades: Callable[..., Trading], name: str
) -> None:
    run = trades()
    assert papertape("halt", name).status == 0
    assert len(run.heard) == 1


def test_all_are_halted(papertape: Runner, trades: Callable[..., Trading]) -> None:
    runs = [trades(FIRST), trades(SECOND)]
    said = papertape("halt", "all", "--json")
    assert said.status == 0
    assert [(each["run"], each["answered"], each["is_done"]) for each in json.loads(said.out)] == [
        (FIRST, True, True), (SECOND, True, True),
    ]  # fmt: skip
    assert [len(each.heard) for each in runs] == [1, 1]


def test_one_that_can_not_be_asked_does_not_keep_the_others_from_being_halted(
    papertape: Runner, trades: Callable[..., Trading], here: Path
) -> None:
    first, second = trades(FIRST), trades(SECOND)
    (here / "runs" / FIRST / "halt.json").mkdir()
    said = papertape("halt", "all")
    assert said.status == 2
    one, other = said.out.splitlines()
    assert one.startswith(f"{FIRST}: NOT HALTED: ")
    assert f"stop process {first.lock.life.pid} on " in one
    assert "end it in TWS: it may still trade" in one
    assert other == f"{SECOND}: halted; 2 orders cancelled, 15 AAA held"
    assert len(second.heard) == 1


def test_a_run_of_which_nobody_knows_whether_it_lives_is_halted_too(
    papertape: Runner, trades: Callable[..., Trading], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trades()

    def unknown(folder: Path) -> bool:
        raise DataError("cannot be opened (Permission denied), so whether the run lives is unknown")

    monkeypatch.setattr("papertape.live.control.is_alive", unknown)
    assert papertape("halt", "all").status == 0
    assert len(run.heard) == 1


def test_all_means_runs_in_other_folders_too(
    papertape: Runner, trades: Callable[..., Trading], here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPERTAPE_STATE", str(tmp_path / "state"))
    run = trades()
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    with RunLock(tmp_path / "state", "DU1", 1, run=FIRST, place=str(here / "runs" / FIRST)):
        said = papertape("halt", "all")
    assert (said.status, said.error) == (0, "")
    assert said.out == f"{FIRST}: halted; 2 orders cancelled, 15 AAA held\n"
    assert len(run.heard) == 1
    assert papertape("halt", "all").status == 2, "nobody holds the account any more"


def test_a_run_that_does_not_answer_is_an_error_that_says_what_to_do(
    papertape: Runner, trades: Callable[..., Trading]
) -> None:
    trades(FIRST)
    mute = trades(SECOND, answers=False)
    said = papertape("halt", "all", "--wait-s", "0.5")
    assert said.status == 2
    first, second = said.out.splitlines()
    assert first.endswith("15 AAA held")
    assert second.startswith(f"{SECOND}: NO ANSWER within 0.5 s (process {mute.lock.life.pid} on ")
    assert "end it in TWS: it may still trade" in second


def test_an_answer_that_is_not_the_last_word_says_so(papertape: Runner, trades: Callable[..., Trading]) -> None:
    trades(is_done=False)
    said = papertape("halt", FIRST, "--wait-s", "0.3")
    assert (said.status, said.out) == (0, f"{FIRST}: halted; 2 orders cancelled, 15 AAA held (still at it)\n")


def test_a_slip_of_the_hand_gets_the_name_that_was_meant(papertape: Runner, trades: Callable[..., Trading]) -> None:
    run = trades()
    said = papertape("halt", "0a1b2d")
    assert (said.status, said.out) == (2, "")
    assert said.error == 'error: no run "0a1b2d" in runs; did you mean "0a1b2c"?\n'
    assert run.heard == []


def test_a_name_that_fits_two_runs_halts_none(papertape: Runner, trades: Callable[..., Trading]) -> None:
    runs = [trades(FIRST), trades(SECOND)]
    said = papertape("halt", "20240603")
    assert said.status == 2
    assert said.error == f'error: 2 runs in runs are called "20240603"; name one, as {SECOND}\n'
    assert [each.heard for each in runs] == [[], []]


def test_of_two_that_fit_the_one_that_lives_is_meant(papertape: Runner, trades: Callable[..., Trading]) -> None:
    trades(FIRST).end()
    run = trades(SECOND)
    assert papertape("halt", "20240603").status == 0
    assert len(run.heard) == 1


def test_a_run_that_has_ended_is_an_error(papertape: Runner, trades: Callable[..., Trading]) -> None:
    trades().end()
    said = papertape("halt", "0a1b2c")
    assert said.status == 2
    assert said.error == f"error: {FIRST}: has ended, nothing is halted; see papertape status --all\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["all"], "no run trades in"),
        (["x"], 'no run "x": none trades in'),
        (["all", "--in", "nowhere"], "name the folder of runs with --in DIR"),
        ([" "], "the name of a run is empty"),
        (["all", "--wait-s", "-1"], "--wait-s -1: a number of seconds from 0 to 3600 is needed"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_one_line(papertape: Runner, arguments: list[str], text: str) -> None:
    said = papertape("halt", *arguments)
    assert (said.status, said.out) == (2, "")
    assert said.error.count("\n") == 1
    assert text in said.error
