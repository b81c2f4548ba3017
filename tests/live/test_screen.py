"""The screen of a live run: what it says, that it fits, and that it is in nobody's way."""

from __future__ import annotations

import io
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from papertape.core.model import NS_PER_S
from papertape.live.screen import LinePainter, Screen, TerminalPainter, open_screen
from papertape.live.screen_lines import amount, price, quantity, screen_lines, span, summary_line
from papertape.live.status import (
    DataLine,
    FillLine,
    LimitLine,
    LiveStatus,
    Log,
    LogKind,
    MoneyLine,
    OrderLine,
    PositionLine,
    ScanLine,
)

NOW = 1_717_425_000 * NS_PER_S  # 10:30 in New York
WITHIN_S = 20.0


def log(*lines: tuple[LogKind, str]) -> Log:
    made = Log()
    for kind, text in lines:
        made.add(NOW, kind, text)
    return made


def busy(**changes: Any) -> LiveStatus:
    status = LiveStatus(
        run="r1",
        strategy="TickMomentum",
        mode="paper",
        account="DU1234567",
        gateway="127.0.0.1:7497",
        ts=NOW + 90_000_000 * NS_PER_S,  # this machine's clock is not the exchange's
        state="running",
        exchange_ts=NOW,
        link="ready",
        link_since=NOW - 7_200 * NS_PER_S,
        data=(
            DataLine("AAA", "live", "AllLast", NOW),
            DataLine("BBB", "delayed", "RTVolume", NOW - 900 * NS_PER_S, is_stale=True),
        ),
        positions=(
            PositionLine("AAA", 15.0, 101.25, 102.5, 18.75, -3.2),
            PositionLine("OLD", 100.0, 20.0, math.nan, math.nan, 0.0, is_own=False),
        ),
        orders=(OrderLine(7, "BBB", "BUY", 5.0, 2.0, "LMT 10.50 GTC", "PARTIALLY_FILLED", NOW - 65 * NS_PER_S),),
        fills=(FillLine(NOW, "AAA", "BUY", 5.0, 102.4, 1.0, 6),),
        scan=ScanLine(NOW - 3_600 * NS_PER_S, "MOST_ACTIVE", ("AAA", "BBB")),
        cash=(MoneyLine("USD", 98_000.0), MoneyLine("EUR", 5.5)),
        net_liquidation=99_990.12,
        pnl=-9.88,
        unrealised=18.75,
        realised=-3.2,
        fees=25.43,
        limits=(LimitLine("max_drawdown", 99_990.12, 95_000.0, 0.998), LimitLine("cash_floor USD", 98e3, 97e3, 0.1)),
        events=1_234_567,
        events_per_s=812.4,
        lag_s=0.003,
        log=log((LogKind.FILL, "bought 5 AAA at 102.40"), (LogKind.STRATEGY, "jump of BBB")).tail(),
    )
    return replace(status, **changes)


def shown(status: LiveStatus, width: int = 80, height: int = 40) -> list[str]:
    return [line.plain for line in screen_lines(status, width, height)]


def test_it_says_what_a_person_needs() -> None:
    text = "\n".join(shown(busy()))
    for wanted in (
        "TickMomentum  PAPER  DU1234567  running",
        "127.0.0.1:7497  ready for 2 h  New York 10:30:00",
        "P&L -9.88  unrealised +18.75  realised -3.20  fees 25.43 USD",
        "net liquidation 99,990.12  cash USD 98,000.00, EUR 5.50",
        "events 1,234,567, 812/s  lag 3 ms",
        "scan MOST_ACTIVE 09:30:00: AAA BBB",
        "cash_floor USD  98,000  97,000  10% left !",
        "max_drawdown    99,990  95,000  100% left",
        "AAA                         15  101.25  102.50      +18.75     -3.20",
        "OLD (not this run's)       100   20.00       ?           ?     +0.00",
        "    7  BUY  BBB        2/5  LMT 10.50 GTC  PARTIALLY_FILLED  65 s",
        "BBB   15 m  RTVolume  delayed  stale",
        "AAA   0 ms  AllLast   live     fresh",
        "10:30:00 fill   bought 5 AAA at 102.40",
        "10:30:00 log    jump of BBB",
    ):
        assert wanted in text, text


def test_what_is_wrong_is_said_in_words_at_the_top() -> None:
    lines = shown(
        busy(
            guard="max_drawdown (net_liquidation): 94,900 is below 95,000", guard_ts=NOW, halt="halted by me", halt_ts=NOW,
            blocking="on_trade", blocking_s=12.2, link="lost", link_text="TWS has lost IB (1100)", data_lost=3,
        )
    )  # fmt: skip
    assert "lost for 2 h: TWS has lost IB (1100)" in lines[1]
    assert lines[2] == "GUARD TRIPPED 10:30:00: max_drawdown (net_liquidation): 94,900 is below 95,000"
    assert lines[3] == "HALTED 10:30:00: halted by me"
    assert lines[4] == "BLOCKED: on_trade has not returned for 12 s; guard and halt go on"
    assert lines[5] == "LOST: 3 events that a full queue could not take"


def test_what_is_unknown_is_not_zero() -> None:
    text = "\n".join(shown(LiveStatus("r", "S", "live", "U1", "h:1", NOW)))
    assert "P&L ?  unrealised ?  realised ?  fees ? USD" in text
    assert "net liquidation ?  cash ?" in text
    assert "0.00" not in text
    assert "--:--:--" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 12), (40, 10), (60, 16), (200, 60), (3, 2)])
def test_it_fits_and_what_does_not_is_counted(width: int, height: int) -> None:
    many = busy(
        positions=tuple(PositionLine(f"S{k}", k, 1.0, 1.0, 0.0, 0.0) for k in range(50)),
        orders=tuple(OrderLine(k, f"S{k}", "BUY", 1, 0, "MKT", "SUBMITTED", NOW) for k in range(50)),
        data=tuple(DataLine(f"S{k}", "live", "AllLast", NOW) for k in range(50)),
    )
    lines = shown(many, width, height)
    assert len(lines) <= max(height, 10)
    assert max(map(len, lines)) <= max(width, 40)
    if height >= 24:
        assert sum("more" in line for line in lines) == 3


def test_text_from_elsewhere_can_not_move_the_cursor() -> None:
    nasty = "x\x1b[2J\r\ny"
    status = busy(log=log((LogKind.STRATEGY, nasty)).tail(), link="lost", link_text=nasty, halt=nasty, strategy=nasty)
    assert all("\x1b" not in line and "\n" not in line and "\r" not in line for line in shown(status))
    assert "\x1b" not in summary_line(status)


@pytest.mark.parametrize(
    ("value", "text"), [(1.5, "1.50"), (1234.0, "1,234.00"), (0.123456, "0.123456"), (math.nan, "?"), (math.inf, "?")]
)
def test_a_price_is_as_exact_as_it_is(value: float, text: str) -> None:
    assert price(value) == text


def test_numbers_are_short() -> None:
    assert [quantity(5.0), quantity(0.25), quantity(1e6), quantity(math.nan)] == ["5", "0.25", "1,000,000", "?"]
    assert [amount(0.05), amount(95_000.4), amount(math.nan)] == ["0.05", "95,000", "?"]
    assert [span(0.0031), span(1.2), span(119.0), span(125.0), span(7_300.0), span(2e5), span(math.nan)] == [
        "3 ms", "1 s", "119 s", "2 m", "2 h", "2 d", "?",
    ]  # fmt: skip


# -- lines ---------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_each_line_once_and_a_summary_a_minute() -> None:
    out: list[str] = []
    painter = LinePainter(out.append)
    happened = log((LogKind.LINK, "ready"))
    for second in range(130):
        if second == 70:
            happened.add(NOW, LogKind.FILL, "bought 5 AAA at 102.40")
        painter.paint(busy(ts=second * NS_PER_S, log=happened.tail()))
    assert [line for line in out if "bought" in line] == ["10:30:00 fill   bought 5 AAA at 102.40"]
    assert [line for line in out if line.endswith("link   ready")] == ["10:30:00 link   ready"]
    summaries = [line for line in out if "net liquidation" in line]
    assert len(summaries) == 3
    assert summaries[0] == (
        "10:30:00 running, link ready, P&L -9.88 USD, net liquidation 99,990.12, holds 15 AAA, 1 working, "
        "1,234,567 events, guard 10% left, stale: BBB"
    )


def test_a_change_of_state_is_summed_up_at_once_and_the_end_too() -> None:
    out: list[str] = []
    painter = LinePainter(out.append)
    painter.paint(busy(log=()))
    painter.paint(busy(ts=NOW + 1, state="halted", halt="halted by me", log=()))
    painter.end(busy(ts=NOW + 2, state="ended", log=()))
    assert [line.split(",")[0] for line in out] == ["10:30:00 running", "10:30:00 halted", "10:30:00 ended"]
    assert "HALTED: halted by me" in out[1]


def test_lines_that_come_too_fast_are_counted() -> None:
    out: list[str] = []
    painter = LinePainter(out.append)
    happened = Log(3)
    for k in range(10):
        happened.add(NOW, LogKind.FILL, f"fill {k}")
    painter.paint(busy(log=happened.tail()))
    assert out[0] == "... 7 lines that came too fast are only in the run"
    assert [line[-6:] for line in out[1:4]] == ["fill 7", "fill 8", "fill 9"]


# -- the thread ----------------------------------------------------------------------------------------------------


class Stuck:
    """A terminal that takes nothing."""

    def __init__(self) -> None:
        self.is_in = threading.Event()
        self.may_go = threading.Event()

    def paint(self, status: LiveStatus) -> None:
        self.is_in.set()
        self.may_go.wait(WITHIN_S)

    def suspend(self) -> None:
        """There is nothing to give back."""

    def end(self, status: LiveStatus | None) -> None:
        """There is nothing to leave."""


def test_a_terminal_that_is_stuck_delays_neither_trading_nor_the_end() -> None:
    stuck = Stuck()
    screen = Screen(stuck)
    screen.show(busy())
    assert stuck.is_in.wait(WITHIN_S)
    for _ in range(1_000):
        screen.show(busy())
    assert not screen.close(0.05)
    stuck.may_go.set()
    assert screen.close(WITHIN_S)


def test_a_pipe_that_is_closed_ends_the_showing_only() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        screen = open_screen(out)
        screen.show(busy())
        assert not screen.close(WITHIN_S)
        assert "Broken pipe" in screen.failure or "Invalid" in screen.failure
        screen.show(busy())
        with pytest.raises(OSError):  # noqa: PT011 - what is still in the stream's buffer
            out.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def test_a_bug_in_the_drawing_ends_the_showing_only() -> None:
    class Broken(Stuck):
        def paint(self, status: LiveStatus) -> None:
            raise ZeroDivisionError("oops")

    with Screen(Broken()) as screen:
        screen.show(busy())
        until(lambda: screen.failure == "oops")
        screen.show(busy())
    assert not screen.close(), "it says that the last status was not shown"


def test_no_more_frames_are_drawn_than_a_person_can_read() -> None:
    out: list[str] = []
    screen = Screen(LinePainter(out.append), frames_per_s=1_000.0)
    happened = Log()
    for k in range(50):
        happened.add(NOW, LogKind.FILL, f"fill {k}")
        screen.show(busy(log=happened.tail()))
    assert screen.close(WITHIN_S)
    assert [line.split("fill   ")[1] for line in out if "fill   " in line] == [f"fill {k}" for k in range(50)]


def test_a_terminal_shows_the_screen_and_gets_its_own_page_back() -> None:
    out = io.StringIO()
    painter = TerminalPainter(Console(file=out, force_terminal=True, width=80, height=24, color_system="standard"))
    painter.paint(busy())
    painter.paint(busy(halt="halted by me"))
    painter.suspend()
    painter.paint(busy(halt="halted by me", guard="why not"))
    painter.end(busy(state="ended"))
    text = out.getvalue()
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 2, "each use of the other page is ended"
    assert "HALTED" in text
    last = text.rpartition("\x1b[?1049l")[2]
    assert "ended" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last).splitlines()[-20:][0] + last


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals")
def test_a_real_terminal_gets_a_screen_and_a_question_gets_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl
    import pty
    import struct
    import termios

    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    got = bytearray()
    reader = threading.Thread(target=read_all, args=(ours, got))
    reader.start()
    with os.fdopen(theirs, "w") as out:
        screen = open_screen(out)
        screen.show(busy())
        until(lambda: b"TickMomentum" in got)
        with screen.suspended():
            until(lambda: b"\x1b[?1049l" in got)
            before = len(got)
            screen.show(busy(halt="meanwhile"))
            out.write("buy 5 AAA? ")
            out.flush()
            until(lambda: b"buy 5 AAA? " in got)
            assert b"meanwhile" not in got[before:]
        until(lambda: b"meanwhile" in got)
        assert screen.close(WITHIN_S)
    reader.join()
    os.close(ours)


def read_all(handle: int, into: bytearray) -> None:
    while True:
        try:
            data = os.read(handle, 65_536)
        except OSError:
            return
        if not data:
            return
        into += data


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
