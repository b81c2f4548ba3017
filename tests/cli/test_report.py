"""``papertape report``: a run on the terminal, readable at 80 columns and plain in a pipe, or as a page."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from papertape.cli import terminal
from papertape.cli.graphics import ASCII, BLOCKS
from papertape.cli.pages import write_page
from papertape.cli.run_charts import chart_lines, instrument_lines, period_lines
from papertape.cli.terminal import brief_lines, full_lines
from papertape.core.errors import ConfigError, UserError
from papertape.core.model import Note
from papertape.core.record import TRADE_COLUMNS, RunRecord
from papertape.runs import Run
from papertape.store import DAILY_COLUMNS, EQUITY_COLUMNS, save_run
from tests.report.made_records import CLOSE, FIRST_DATE, MINUTE, NAN, OPEN, a_record, columns, many_sessions

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.TextIOWrapper):
    """A terminal of 80 columns, in memory."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(self.encoding)


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lines of a run as a terminal of 80 columns shows them, without their styles."""

    def show(make: Any, record: RunRecord, encoding: str = "utf-8") -> list[str]:
        monkeypatch.setattr("sys.stdout", Terminal(encoding))
        monkeypatch.setenv("COLUMNS", "80")
        try:
            lines: list[str] = make(Run(record))
        finally:
            monkeypatch.undo()
        return [ANSI.sub("", line) for line in lines]

    return show


def plain(lines: list[str]) -> str:
    return ANSI.sub("", "\n".join(lines))


def a_wide_record() -> RunRecord:
    """Large amounts, long names, many rows of everything."""
    record = many_sessions(60, starting_equity=123_456_789.0, final_equity=987_654_321.12)
    trades = [
        (f"A_VERY_LONG_SYMBOL_{k}", "SHORT", 123_456.0, OPEN, CLOSE, 1234.5678, 1235.0, 1234.5, (k - 50) * 123_456.78,
         0.1, -1e6, 1e6)
        for k in range(100)
    ]  # fmt: skip
    record.trades = columns(TRADE_COLUMNS, trades)
    record.notes = [Note("x", "a long note " * 20, count=12_345)]
    record.log = [(OPEN + k * MINUTE, "a long line " * 10) for k in range(30)]
    record.settings["parameters"] = {f"parameter_{k}": "value" * 3 for k in range(12)}
    return record


@pytest.mark.parametrize("make", [brief_lines, full_lines])
@pytest.mark.parametrize("record", [a_record, many_sessions, a_wide_record])
def test_no_line_is_wider_than_a_terminal(on_terminal, make, record) -> None:
    lines = on_terminal(make, record())
    assert [line for line in lines if len(line) > 80] == []
    assert len(lines) > 30


def test_the_report_has_headlines_charts_tables_and_where_it_is_stored(papertape: Runner, here: Path) -> None:
    folder = save_run(many_sessions(), here / "runs")
    out = papertape("report", "last").out
    titles = ("Equity, USD", "Drawdown", "Profit by month", "Profits of trades", "Result", "Risk", "Trades", "Activity",
              "The 4 best and the 4 worst trades", "Costs by instrument", "Orders by outcome", "Ambiguous fills",
              "Scans, and what was traded of them", "Guard", "Open at the end", "Log", "Notes",
              "What it was made from")  # fmt: skip
    starts = [line for line in out.splitlines() if line.startswith(titles)]
    assert [title for title in titles if not any(line.startswith(title) for line in starts)] == ["Trades", "Activity"]
    assert out.splitlines()[0] == "Jumps  backtest"
    assert out.rstrip().endswith(f"stored in {Path('runs') / folder.name}")
    assert out == papertape("report", folder.name).out.replace(str(folder), str(Path("runs") / folder.name))
    assert out == papertape("report", folder.name[-6:], "--in", "runs").out


def test_the_end_of_a_backtest_and_its_report_say_the_same_figures() -> None:
    record = many_sessions()
    brief, full = plain(brief_lines(Run(record))), plain(full_lines(Run(record)))
    for title in ("Net profit", "Sharpe", "Max drawdown", "Profit factor", "Fees", "Exposure"):
        pattern = re.compile(rf"{title} +(-?[\d.,]+)")
        (short,) = set(pattern.findall(brief))
        assert short in set(pattern.findall(full))
    assert set(plain(chart_lines(record, 80)).splitlines()) <= set(brief.splitlines()) & set(full.splitlines())


def test_a_short_run_says_nothing_by_the_year(papertape: Runner, here: Path) -> None:
    save_run(a_record(), here / "runs")
    out = papertape("report", "last").out
    assert [word for word in ("CAGR", "Sharpe", "Volatility", "Sortino", "Calmar") if word in out] == []
    assert "Expectancy" in " ".join(out.splitlines()[:8])


def test_a_report_in_a_pipe_is_plain_and_whole(process: Runner, here: Path) -> None:
    save_run(many_sessions(), here / "runs")
    said = process("report", "last")
    assert said.status == 0
    assert "\x1b" not in said.out
    assert "█" in said.out


def test_a_stream_of_ascii_gets_ascii(here: Path) -> None:
    import subprocess
    import sys

    save_run(many_sessions(), here / "runs")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "papertape", "report", "last"]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, check=True)
    assert done.stdout.isascii()
    assert b"||||" in done.stdout


@pytest.mark.parametrize(("no_color", "is_styled"), [("", True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(here: Path, monkeypatch, no_color, is_styled) -> None:
    from papertape.cli.main import run

    save_run(many_sessions(), here / "runs")
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("NO_COLOR", no_color)
    assert run(["report", "last"]) == 0
    assert ("\x1b[" in screen.text()) is is_styled
    assert "Net profit" in screen.text()


def test_what_data_says_cannot_move_the_cursor(papertape: Runner, here: Path) -> None:
    save_run(a_record(strategy="\x1b[2Jx"), here / "runs")
    for verb in ("report", "show"):
        said = papertape(verb, "last")
        assert "\x1b[2J" not in said.out
        assert "\\x1b[2J" in said.out


def test_a_run_that_is_not_there_is_said(papertape: Runner, here: Path) -> None:
    said = papertape("report", "nothing")
    assert said.status == 2
    assert "no such run" in said.error


# --- charts -------------------------------------------------------------------------------------------------------


def test_the_deepest_column_of_the_drawdown_is_full() -> None:
    for ink, full in ((BLOCKS, "█"), (ASCII, "|")):
        lines = [ANSI.sub("", line) for line in chart_lines(many_sessions(), 80, ink)]
        fall = lines[[line.startswith("Drawdown") for line in lines].index(True) + 1]
        assert full in fall


def test_the_charts_extremes_are_those_of_the_equity() -> None:
    lines = [ANSI.sub("", line) for line in chart_lines(a_record(), 80)]
    assert lines[1].split()[0] == "100,119.00"
    assert lines[5].split()[0] == "99,994.00"
    assert "deepest: -90.00 USD from 2024-06-03 09:50:00 EDT to 2024-06-03 16:00:00 EDT, not recovered" in plain(lines)


def test_few_sessions_have_a_bar_each_and_many_are_summed_by_month() -> None:
    few = plain(period_lines(many_sessions(3), 80))
    assert few.splitlines()[0] == "Profit by session, USD"
    assert [line.split()[1] for line in few.splitlines()[1:4]] == ["-150.00", "+121.00", "+122.00"]
    record = many_sessions(40)
    many = plain(period_lines(record, 80)).splitlines()
    assert many[0] == "Profit by month, USD"
    assert [line.split()[0] for line in many[1:3]] == ["2024-06", "2024-07"]
    total = sum(float(line.split()[1].replace(",", "")) for line in many[1:3])
    assert total == pytest.approx(record.final_equity - record.starting_equity)


def test_one_session_has_no_bars() -> None:
    assert period_lines(a_record(), 80) == []


def test_instruments_are_ordered_by_their_profit() -> None:
    lines = plain(instrument_lines(many_sessions(), 80)).splitlines()
    amounts = [float(line.split()[1].replace(",", "")) for line in lines[1:]]
    assert amounts == sorted(amounts, reverse=True)
    assert instrument_lines(a_record(), 80) == [], "one instrument needs no comparison"


def test_a_run_without_events_or_with_unknown_equity_is_shown() -> None:
    nothing = a_record(
        start=0, end=0, events=0, equity=columns(EQUITY_COLUMNS, []), daily=columns(DAILY_COLUMNS, []), metrics={}
    )
    assert "  no events\n" in plain(full_lines(Run(nothing)))
    assert "n/a" in plain(full_lines(Run(nothing)))
    unknown = a_record(
        equity=columns(EQUITY_COLUMNS, [(OPEN, NAN, NAN, NAN), (CLOSE, NAN, NAN, NAN)]),
        daily=columns(DAILY_COLUMNS, [(FIRST_DATE, CLOSE, NAN, NAN), (FIRST_DATE + 1, CLOSE, NAN, NAN)]),
        final_equity=NAN,
    )
    assert "Final equity" in plain(full_lines(Run(unknown)))


def test_limits_trips_and_refusals_of_the_guard_are_told() -> None:
    text = plain(full_lines(Run(a_record())))
    assert "max_order_quantity 5" in text
    assert "refused 3 orders: max_order_quantity" in text


# --- pages --------------------------------------------------------------------------------------------------------


def test_a_page_is_written_and_said_in_one_line(papertape: Runner, here: Path) -> None:
    save_run(many_sessions(), here / "runs")
    said = papertape("report", "last", "--html", "page.html")
    assert (said.status, said.out) == (0, "the report is in page.html\n")
    text = Path("page.html").read_text(encoding="utf-8")
    assert text.startswith("<!")
    assert text.rstrip().endswith("</html>")
    assert "Jumps" in text


def test_an_opened_page_lies_beside_its_run(papertape: Runner, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_run(many_sessions(), here / "runs")
    opened: list[str] = []

    def browse(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    said = papertape("report", "last", "--open")
    assert said.out == f"the report is in {Path('runs') / folder.name / 'report.html'}\n"
    assert opened == [(folder / "report.html").resolve().as_uri()]
    assert papertape("runs", "delete", "last", "--yes").status == 0, "the page goes with its run"


def test_without_a_browser_the_page_is_still_there(papertape: Runner, here: Path, monkeypatch) -> None:
    save_run(a_record(), here / "runs")
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    said = papertape("report", "last", "--open", "--html", "page.html")
    assert said.status == 2
    assert "no browser could be started; open page.html yourself" in said.error
    assert Path("page.html").is_file()


def test_a_page_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html>old")

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_page(page, "new")
    assert page.read_text() == "<!doctype html>old"
    assert list(tmp_path.iterdir()) == [page]


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    page, mine = tmp_path / "page.html", tmp_path / "my_jumps.py"
    for text in ("<!DOCTYPE html>1", "<!doctype html>2"):
        write_page(page, text)
        assert page.read_text() == text
    mine.write_text("class Jumps: ...")
    with pytest.raises(ConfigError, match="is there already and is no page"):
        write_page(mine, "<!doctype html>")
    assert mine.read_text() == "class Jumps: ..."


def test_a_page_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_page(tmp_path / "page.html", "x")
    assert (tmp_path / "page.html").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_page_cannot_be_a_folder_or_in_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; name a file, as"):
        write_page(tmp_path, "x")
    with pytest.raises(UserError, match="the page cannot be written \\(No such file or directory\\)"):
        write_page(tmp_path / "absent" / "page.html", "x")


@pytest.mark.parametrize("make", [brief_lines, full_lines])
def test_what_makes_a_result_doubtful_is_a_warning(make) -> None:
    text = plain(make(Run(a_record())))
    assert "warning: only 1 closed trade: averages over trades say little" in text
    assert "warning: rows that could not be used, skipped (t.csv) (7 times)" in text
    assert "  something else" in text


def test_best_and_worst_trades_are_told_apart_from_all() -> None:
    few, many = plain(full_lines(Run(a_record()))), plain(full_lines(Run(a_wide_record())))
    assert "Trades, best first" in few
    assert "The 4 best and the 4 worst trades" in many
    assert "all: papertape show RUN --trades" in many


def test_the_terminals_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    record = a_record()
    record.fills["ambiguous"] = np.ones(3, dtype=bool)
    monkeypatch.setattr(terminal, "ROWS_SHOWN", 2)
    text = plain(full_lines(Run(record)))
    ambiguous = text[text.index("Ambiguous fills") :].partition("\n\n")[0]
    assert len(ambiguous.splitlines()) == 2 + 2 + 1
    assert ambiguous.endswith("  ... and 1 more")
