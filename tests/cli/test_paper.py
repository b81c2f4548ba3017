"""``papertape paper`` as a newcomer meets it: on the simulated gateway, in step or by the clock, and at a TWS of its own."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backtests.settings import Settings
from feeds.load import DataOptions, load_tape
from feeds.sample import write_sample
from papertape.cli.trading_options import read_options
from papertape.core.model import Mode
from papertape.live.simulated import first_session_of
from papertape.runs import open_run
from tests.cli.trading_room import (
    no_run,
    notes,
    only_run,
    strategy_file,
    terminal,
)

if TYPE_CHECKING:
    from tests.cli.conftest import Runner, Said

SHORT = ("--data", "tape", "--end", "2024-06-03T09:30:20")
"""Twenty seconds of the tape."""


@pytest.fixture(autouse=True)
def _own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_STATE", str(tmp_path_factory.mktemp("state")))


def in_step(papertape: Runner, here: Path, name: str, body: str = "", *options: str) -> Said:
    return papertape("paper", strategy_file(here, name, body), "--symbols", "AAA", *SHORT, *options)


# --- the simulated gateway -------------------------------------------------------------------------------------------


def test_a_paper_run_on_the_simulated_gateway_is_what_the_backtest_was(papertape: Runner, here: Path) -> None:
    end = ("--data", "tape", "--end", "2024-06-03T09:35:10")
    assert papertape("backtest", "my_jumps.py", *end, "--out", "a").status == 0
    said = papertape("paper", "my_jumps.py", *end, "--out", "b")
    assert said.status == 0, said.error
    a, b = (open_run(next((here / name).iterdir())).record for name in "ab")
    assert len(a.orders["number"]) == 3
    for column in ("symbol", "side", "quantity", "price", "fee"):
        assert a.fills[column].tolist() == b.fills[column].tolist()
    assert (a.mode, b.mode) == ("backtest", "paper")
    assert a.final_equity == pytest.approx(b.final_equity, abs=1e-9)
    compared = papertape("compare", next((here / "a").iterdir()), next((here / "b").iterdir()))
    said_in_one = " ".join(compared.out.split())
    assert "the same, no difference in quantity, price, fee or second: 3 orders, 3 fills" in said_in_one


def test_it_says_what_it_plays_what_happens_and_where_the_run_is(papertape: Runner, here: Path) -> None:
    said = in_step(papertape, here, "buyer")
    assert said.status == 0, said.error
    assert "on a simulated gateway that plays tape" in said.out
    assert "--gateway 127.0.0.1:7497 is TWS" in said.out
    assert "BUY 10 AAA at 100.0000, fee 1.00" in said.out
    assert f"stored in runs/{next((here / 'runs').iterdir()).name}" in said.out


@pytest.mark.parametrize(
    ("values", "is_first"),
    [({}, True), ({"data": ["tape"]}, False), ({"end": "2024-06-04"}, False), ({"until": "15:00"}, False)],
)
def test_only_where_nobody_says_what_to_play_is_it_a_part_of_the_sample(
    here: Path, values: dict[str, Any], is_first: bool
) -> None:
    (here / "sample").mkdir()
    (here / "sample" / "tape.json").write_text("{}")
    assert read_options(Mode.PAPER, "my_jumps.py", values).is_first_look is is_first


def test_that_part_is_the_first_session(two_days: Path) -> None:
    whole = load_tape(two_days, DataOptions(cache=False))
    assert first_session_of(whole, Settings()).end == "2024-06-03T20:00:00+00:00"


def test_json_is_all_that_is_on_stdout_whatever_the_strategy_prints(papertape: Runner, here: Path) -> None:
    said = in_step(papertape, here, "talker", '    def act(self, trade):\n        print("printed")', "--json")
    assert said.status == 0, said.error
    assert json.loads(said.out)["mode"] == "paper"
    assert "printed" in said.error


def test_the_record_says_where_data_came_from_and_why_it_ended_in_plain_words(papertape: Runner, here: Path) -> None:
    in_step(papertape, here, "buyer")
    record = only_run(here).record
    found = notes(record)
    assert found["data_live_AllLast"] == "live market data, trades tick by tick (AllLast): AAA"
    assert found["ended"] == "ended: the tape is over"
    assert [each.code for each in record.notes if each.severity == "warning"] == []
    assert record.settings["live"]["gateway"] == "simulated"


def test_the_record_has_prices_of_what_was_traded_and_the_account_as_tws_told_of_it(
    papertape: Runner, here: Path
) -> None:
    papertape("paper", "my_jumps.py", "--data", "tape", "--end", "2024-06-03T09:32:00")
    record = only_run(here).record
    assert set(record.prices) == {"AAA"}
    prices = record.prices["AAA"]
    assert prices["last"].tolist()[0] == 100.0
    assert prices["high"].max() == 106.0
    assert prices["ts"].tolist() == sorted(prices["ts"].tolist())
    ts, value = record.custom["account_net_liquidation"]
    assert len(ts) == len(value) > 0
    assert value[0] == pytest.approx(100_000.0)
    assert record.custom["account_position_value"][1].max() > 1_000.0


def test_its_report_has_a_chart_of_prices_and_its_account(papertape: Runner, here: Path) -> None:
    papertape("paper", "my_jumps.py", "--data", "tape", "--end", "2024-06-03T09:32:00")
    said = papertape("report", "last", "--html", "page.html")
    assert said.status == 0, said.error
    page = (here / "page.html").read_text()
    assert "account_net_liquidation" in page
    assert "No prices were kept" not in page
    assert json.loads(papertape("runs", "--json").out)[0]["mode"] == "paper"
    assert "BUY" in papertape("show", "last", "--fills").out


def test_options_can_stand_in_a_file_and_in_the_environment(papertape: Runner, here: Path) -> None:
    strategy_file(here, "buyer")
    (here / "run.toml").write_text(
        'strategy = "buyer.py"\ndata = "tape"\nsymbols = "AAA"\nend = 2024-06-03T09:30:20\n'
        '[live]\naccount = "DU7"\nread_only = true\nuntil = 09:30:10\n[guard]\nmax_position = 50\n'
    )
    said = papertape("paper", "run.toml", PAPERTAPE__LIVE__CLIENT_ID="5")
    assert said.status == 0, said.error
    record = only_run(here).record
    live = record.settings["live"]
    assert (live["account"], live["client_id"], live["is_read_only"]) == ("DU7", 5, True)
    assert record.settings["guard"]["max_position"] == 50
    assert record.orders["status"].tolist() == ["REJECTED"]
    assert notes(record)["ended"] == "ended: the time has come"


@pytest.mark.parametrize("flatten", [(), ("--flatten",)])
def test_a_guard_that_trips_ends_with_status_3_and_is_in_the_record_as_in_a_backtest(
    papertape: Runner, here: Path, flatten: tuple[str, ...]
) -> None:
    path = strategy_file(here, "heavy", "    def act(self, trade):\n        self.buy(trade.symbol, 900)")
    options = (path, "--data", "tape", "--symbols", "AAA", "--end", "2024-06-03T09:33:30", "--max-drawdown", "5%")
    assert papertape("backtest", *options, *flatten, "--out", "a").status == 3
    at_once = ("--flatten-at-once",) if flatten else ()
    said = papertape("paper", *options, *flatten, *at_once, "--out", "b")
    assert said.status == 3, said.error
    a, b = (open_run(next((here / name).iterdir())).record for name in "ab")
    assert b.guard_tripped
    assert [(each.kind, each.rule, each.text) for each in b.guard] == [
        (each.kind, each.rule, each.text) for each in a.guard
    ]
    assert b.fills["side"].tolist() == (["BUY", "SELL"] if flatten else ["BUY"])


def test_an_order_that_the_guard_refuses_is_one_of_its_events(papertape: Runner, here: Path) -> None:
    said = in_step(papertape, here, "buyer", "", "--max-order-quantity", "5")
    assert said.status == 0, said.error
    (event,) = only_run(here).record.guard
    assert (event.kind, event.rule) == ("refused", "max_order_quantity")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "none"), "none"),
        (("--data", "tape", "--symbols", "AAB"), 'the data hold no such symbol; did you mean "AAA"?'),
        (("--data", "tape", "--account", "U1234567"), "account U1234567 is no paper account"),
        (("--data", "tape", "--until", "2024-06-03T09:00"), "that is past; at the exchange it is 2024-06-03 09:30"),
        (("--data", "tape", "--speed", "0"), "a number above 0, or max, is needed"),
        (("--data", "tape", "--speed", "quick"), 'speed "quick"'),
        (("--data", "tape", "--fees", "free"), "free"),
        (("--data", "tape", "--calendar", "XXXX"), "XXXX"),
        (("--data", "tape", "--scenario", "none.toml"), "none.toml"),
        (("--data", "tape", "--record", "my_jumps.py"), "is no folder"),
        (("--data", "tape", "--resume", "last"), "a simulated market begins anew with each run"),
        (("--data", "tape", "--client-id", "-1"), "client id -1"),
        (("--gateway", "7497", "--data", "tape"), "--data is for the simulated gateway"),
        (("--gateway", "7497", "--cash", "5"), "--cash is for the simulated gateway"),
        (("--gateway", "7497", "--resume", "last"), "holds none with a journal"),
        (("--gateway", "localhost"), "HOST:PORT is needed"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    papertape: Runner, here: Path, options: tuple[str, ...], message: str
) -> None:
    said = papertape("paper", "my_jumps.py", *options)
    assert said.status == 2
    assert said.error.startswith("error: ")
    assert said.error.count("\n") == 1
    assert message in said.error
    assert no_run(here)


def test_a_recording_that_can_not_begin_leaves_no_run(papertape: Runner, here: Path) -> None:
    (here / "rec").mkdir()
    (here / "rec" / "tape.json").write_text("{}")
    said = in_step(papertape, here, "buyer", "", "--record", "rec")
    assert said.status == 2
    assert said.error.count("\n") == 1
    assert no_run(here)


def test_what_a_run_heard_can_be_recorded_and_played_again(papertape: Runner, here: Path) -> None:
    assert in_step(papertape, here, "buyer", "", "--record", "rec").status == 0
    said = papertape("backtest", "buyer.py", "--data", "rec", "--symbols", "AAA", "--json", "--out", "again")
    assert said.status == 0, said.error
    assert json.loads(said.out)["fills"] == 1


def test_somebody_who_wants_to_be_told_is_told_of_the_end(papertape: Runner, here: Path) -> None:
    script = here / "tell.sh"
    script.write_text('#!/bin/sh\nenv | grep ^PAPERTAPE_ >> told.txt; cat >> told.txt; echo "$@" >> told.txt\n')
    script.chmod(0o755)
    assert in_step(papertape, here, "buyer", "", "--notify", str(script)).status == 0
    assert "the tape is over" in (here / "told.txt").read_text()


# --- strategies that misbehave ---------------------------------------------------------------------------------------


def test_a_strategy_that_raises_is_shown_by_its_own_frames_and_its_run_is_kept(papertape: Runner, here: Path) -> None:
    body = '    def act(self, trade):\n        self.log("before")\n        self.buy(trade.symbol, 5, limit=50)\n        1 / 0'
    said = in_step(papertape, here, "broken", body)
    assert said.status == 2
    assert "ZeroDivisionError" in said.error
    assert 'broken.py", line' in said.error
    assert "papertape/live" not in said.error
    assert "error: Broken.on_trade at 2024-06-03 09:30:00" in said.error
    run = only_run(here)
    assert run.path is not None
    assert f"the run so far is stored in runs/{run.path.name}" in said.error
    assert [text for _, text in run.record.log] == ["before"]
    assert notes(run.record)["halted"].startswith("halted: ZeroDivisionError")


def test_a_strategy_that_raises_by_the_clock_is_shown_the_same_way(papertape: Runner, here: Path) -> None:
    body = '    def act(self, trade):\n        self.log("before")\n        1 / 0'
    said = in_step(papertape, here, "broken", body, "--speed", "20")
    assert said.status == 2
    assert 'broken.py", line' in said.error
    assert "papertape/live" not in said.error
    run = only_run(here)
    assert [text for _, text in run.record.log] == ["before"]
    assert notes(run.record)["halted"].startswith("halted: ZeroDivisionError")


def test_a_strategy_that_logs_a_lot_keeps_its_lines_and_the_screen_says_what_it_left_out(
    papertape: Runner, here: Path
) -> None:
    body = '    def act(self, trade):\n        for k in range(3000):\n            self.log(f"line {k}")'
    said = in_step(papertape, here, "chatty", body)
    assert said.status == 0, said.error
    assert len(only_run(here).record.log) == 3000
    assert "lines that came too fast are only in the run" in said.out


def test_a_symbol_that_nobody_knows_is_said_and_the_others_go_on(papertape: Runner, here: Path) -> None:
    body = '    def on_start(self):\n        self.given = 0\n        self.subscribe(["NOPE", "AAA"])'
    said = in_step(papertape, here, "lost", body)
    assert said.status == 0, said.error
    record = only_run(here).record
    (text,) = [text for code, text in notes(record).items() if code == "unknown_NOPE"]
    assert text.startswith("NOPE is not known at Interactive Brokers")
    assert "200" in text or "no security" in text.lower()
    assert record.fills["symbol"].tolist() == ["AAA"]


# --- ending ----------------------------------------------------------------------------------------------------------

RESTING = """
    def act(self, trade):
        self.buy(trade.symbol, 5, limit=50)
        self.at("09:30:05")

    def on_time(self, event):
        os.kill(os.getpid(), signal.{signal})
"""


def test_a_price_that_is_put_on_the_price_step_is_in_the_notes_of_the_run(papertape: Runner, here: Path) -> None:
    body = "    def act(self, trade):\n        self.buy(trade.symbol, 1, limit=98.1234)"
    said = in_step(papertape, here, "exact", body)
    assert said.status == 0, said.error
    wanted = "order 1, AAA: limit 98.1234 sent as 98.12"
    assert notes(only_run(here).record)["rounded"].endswith(wanted)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(("at_end", "status"), [("cancel", "CANCELLED"), ("keep", "SUBMITTED")])
def test_an_interrupted_run_ends_in_order_and_says_what_remains(
    papertape: Runner, here: Path, name: str, at_end: str, status: str
) -> None:
    before = signal.getsignal(signal.SIGINT)
    said = in_step(papertape, here, "resting", RESTING.replace("{signal}", name), "--at-end", at_end)
    assert said.status == 0, said.error
    record = only_run(here).record
    assert record.orders["status"].tolist() == [status]
    found = notes(record)
    assert found["ended"] == "ended: interrupted"
    expected = "orders that still worked at the end: order 1, BUY 5 AAA LIMIT 50" if at_end == "keep" else None
    assert found.get("remaining") == expected
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_ends_at_once_and_the_run_is_kept(papertape: Runner, here: Path) -> None:
    body = "    def act(self, trade):\n        os.kill(os.getpid(), signal.SIGINT)\n        os.kill(os.getpid(), signal.SIGINT)"
    said = in_step(papertape, here, "hasty", body)
    assert said.status == 130
    assert only_run(here).record.mode == "paper"


# --- questions -------------------------------------------------------------------------------------------------------

ASKING = """
    async def act(self, trade):
        if await self.confirm(f"buy {trade.symbol}?"):  # true where the answer is yes
            self.buy(trade.symbol, 5)

    async def on_trade(self, trade):
        if self.given < self.times:
            self.given += 1
            await self.act(trade)
"""


@pytest.mark.parametrize(
    ("typed", "fills", "speed"),
    [("y", 1, ()), ("n", 0, ()), ("", 0, ()), ("YES", 1, ("--speed", "20")), ("n", 0, ("--speed", "20"))],
)
def test_a_person_answers_a_question_on_the_terminal(
    papertape: Runner, here: Path, monkeypatch: pytest.MonkeyPatch, typed: str, fills: int, speed: tuple[str, ...]
) -> None:
    with terminal(monkeypatch, typed):
        said = in_step(papertape, here, "asking", ASKING, "--confirm", "ask", *speed)
    assert said.status == 0, said.error
    assert "buy AAA? [y/N] " in said.error
    assert len(only_run(here).record.fills["ts"]) == fills


def test_nobody_is_asked_where_the_answer_is_configured(papertape: Runner, here: Path) -> None:
    said = in_step(papertape, here, "asking", ASKING, "--confirm", "no")
    assert said.status == 0, said.error
    assert "[y/N]" not in said.error
    assert len(only_run(here).record.fills["ts"]) == 0


# --- top movers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, symbols=12, days=2, seed=7)
    return folder


@pytest.mark.parametrize(("typed", "answer"), [("yes", "open order:"), ("no", "? No.")])
def test_top_movers_asks_the_person_before_it_buys(
    papertape: Runner, here: Path, two_days: Path, monkeypatch: pytest.MonkeyPatch, typed: str, answer: str
) -> None:
    with terminal(monkeypatch, typed):
        said = papertape(
            "paper", "top_movers", "--data", two_days, "--start", "2024-06-04T09:59:55", "--end", "2024-06-04T10:00:10",
            "--confirm", "ask", "--set", "market_cap_below_millions=none",
        )  # fmt: skip
    assert said.status == 0, said.error
    assert "Buy 100 each of " in said.error
    record = only_run(here).record
    assert answer in record.log[-1][1]
    assert bool(len(record.fills["ts"])) == (typed == "yes")
    assert [scan.code for scan in record.scans] == ["TOP_PERC_GAIN"]
