"""A user's mistakes end with status 2 and one line that says how to go on; their code's own with its traceback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.cli.main import run
from tests.cli.conftest import write_trades

if TYPE_CHECKING:
    from tests.cli.conftest import Runner, Said


def assert_one_line(said: Said, text: str) -> None:
    assert said.status == 2
    assert said.out == ""
    assert said.error.count("\n") == 1, said.error
    assert said.error.startswith("error: ")
    assert text in said.error


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The engine is compiled before: else a machine's first run says so in a line of its own, whatever comes of it."""
    folder = tmp_path_factory.mktemp("compiled")
    write_trades(folder / "AAA.csv", {100: 0.06, 200: -0.2, 300: 0.06})
    assert run(["backtest", "sma_cross", "--set", "bars=1m", "--data", str(folder), "--out", str(folder / "runs")]) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["backtst"], 'no command "backtst"; did you mean "backtest"?'),
        (["backtest"], "Missing argument 'STRATEGY'"),
        (["backtest", "my_jumps.py"], "no data are named; add --data PATH"),
        (["backtest", "tick_momentm", "--data", "tape"], 'did you mean "tick_momentum"?'),
        (["backtest", "my_jump.py", "--data", "tape"], 'no such file: my_jump.py; did you mean "my_jumps.py"?'),
        (["backtest", "my_jumps.py:Jump", "--data", "tape"], 'my_jumps.py has no class "Jump"; did you mean "Jumps"?'),
        (["backtest", "nowhere:Jumps", "--data", "tape"], 'no module "nowhere"'),
        (["backtest", "tape", "--data", "tape"], "tape is a folder"),
        (["backtest", "my_jumps.py", "--data", "tap"], "tap: there is no such file or folder"),
        (["backtest", "my_jumps.py", "--data", "tape", "--set", "uup=1"], 'no parameter "uup"; did you mean "up"?'),
        (["backtest", "my_jumps.py", "--data", "tape", "--set", "up"], '--set "up": NAME=VALUE is needed'),
        (["backtest", "my_jumps.py", "--data", "tape", "--set", "up=-1"], "up='-1': expected float > 0.0"),
        (["backtest", "my_jumps.py", "--data", "tape", "--symbols", "AAB"], 'did you mean "AAA"?'),
        (["backtest", "my_jumps.py", "--data", "tape", "--fees", "ibfixed"], 'did you mean "ib-fixed"?'),
        (["backtest", "my_jumps.py", "--data", "tape", "--fee", "none"], "No such option: --fee"),
        (["backtest", "my_jumps.py", "--data", "tape", "--limit-fill", "at"], "'at' is not one of 'through', 'touch'"),
        (["backtest", "my_jumps.py", "--data", "tape", "--cash", "much"], "--cash"),
        (["backtest", "my_jumps.py", "--data", "tape", "--max-drawdown", "5"], "a fraction between 0 and 1"),
        (["backtest", "my_jumps.py", "--data", "tape", "--cash-floor", "USD"], "an amount is needed"),
        (["backtest", "my_jumps.py", "--data", "tape", "--start", "2030-01-01"], "no event between start and end"),
        (["backtest", "my_jumps.py", "--data", "tape", "--start", "yesterday"], 'start "yesterday"'),
        (["backtest", "my_jumps.py", "--data", "tape", "--conflate", "fast"], 'conflate "fast"'),
        (["backtest", "my_jumps.py", "--data", "tape", "--scans", "none.csv"], "none.csv"),
        (["backtest", "my_jumps.py", "--data", "tape", "--benchmark", "AAB"], 'did you mean "AAA"?'),
        (["backtest", "my_jumps.py", "--data", "tape", "--grid", "up=0.1,,2"], "values with commas between them"),
        (["backtest", "my_jumps.py", "--data", "tape", "--grid", "up=1,x"], "up='x'"),
        (
            ["backtest", "my_jumps.py", "--data", "tape", "--grid", "up=1,2", "--sort", "sharp"],
            'did you mean "sharpe"?',
        ),
        (["backtest", "my_jumps.py", "--data", "tape", "--cash", "0"], "cash=0"),
        (["backtest", "my_jumps.py", "--data", "tape", "--cash", "nan"], "cash=nan"),
        (
            ["backtest", "my_jumps.py", "--data", "tape", "--workers", "0", "--grid", "up=1,2"],
            "--workers 0: at least 1",
        ),
        (
            ["backtest", "my_jumps.py", "--data", "tape", "--max-orders-per-minute", "0"],
            "max_orders_per_minute=0: a whole number from 1",
        ),
        (["backtest", "my_jumps.py", "--data", "tape", "--symbols", ","], '--symbols ","'),
        (["backtest", "my_jumps.py", "--data", "tape", "--allowed-symbols", ""], '--allowed-symbols ""'),
        (["backtest", "my_jumps.py", "--data", "tape", "--signed", "AAB"], 'did you mean "AAA"?'),
        (
            ["backtest", "my_jumps.py", "--data", "tape", "--balances", "EUR"],
            "a currency and an amount are needed, as EUR=1000",
        ),
        (["backtest", "my_jumps.py", "--data", "tape", "--balances", "EURO=5"], "balances EURO=5.0"),
        (["backtest", "my_jumps.py", "--data", "tape", "--balances", "usd=5"], "USD is the base currency"),
        (["backtest", "my_jumps.py", "--data", "tape", "--currency", "dollar"], "currency=dollar: "),
        (["backtest", "my_jumps.py", "--data", "tape", "--seed", "-1"], "seed=-1: a whole number from 0"),
        (["backtest", "my_jumps.py", "--data", "tape", "--request-latency", "slow"], 'request latency "slow"'),
        (["backtest", "my_jumps.py", "--data", "tape", "--bar-interval-s", "-5"], "bar_interval_s"),
        (["backtest", "my_jumps.py", "--data", "tape", "--duplicate-s", "-1"], "duplicate_s=-1.0"),
        (
            ["backtest", "my_jumps.py", "--data", "tape", "--set", "up=1", "--set", "up=2"],
            "--set up is given twice; give it once",
        ),
        (
            ["backtest", "my_jumps.py", "--data", "tape", "--grid", "up=1", "--grid", "up=2"],
            "--grid up is given twice; give it once, as --grid up=1,2",
        ),
        (
            ["backtest", "my_jumps.py", "--data", "tape", "--grid", "up=1,2", "--set", "up=2"],
            "up is given with --set and with --grid",
        ),
        (["backtest", "my_jumps.py", "--data", "tape", "--tz", "Mars/Base"], "Mars/Base"),
        (["backtest", "my_jumps.py", "--data", ""], 'data "": a path is needed'),
        (["backtest", "", "--data", "tape"], "no strategy is named"),
        (["import", "lean", "tape"], "see papertape import --help"),
        (["backtest", "none.toml"], "none.toml: cannot be read"),
        (["show", "last"], "runs holds none"),
        (["runs"], "no such folder of runs"),
        (["cache", "clean"], "'clean' is not one of"),
        (["sample", "made", "--days", "0"], "days is 0; choose 1 to"),
        (["sample", "made", "--start", "june"], '--start "june"'),
        (["sample", "tape"], "tape is not empty and not an earlier sample"),
        (["import", "lean", "tape", "lean"], "holds no LEAN equity data"),
        (["strategies", "tick_momentu"], 'did you mean "tick_momentum"?'),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_line(papertape: Runner, here: Path, arguments: list[str], text: str) -> None:
    assert_one_line(papertape(*arguments), text)
    assert not (here / "runs").exists(), "nothing is left of it"


def test_a_row_that_is_wrong_is_named_by_file_line_and_column(papertape: Runner, here: Path) -> None:
    (here / "bad.csv").write_text("ts,price,size\n2024-06-03T13:30:00Z,-1,5\n")
    assert_one_line(papertape("backtest", "my_jumps.py", "--data", "bad.csv"), "bad.csv:2:")


def test_wrong_rows_are_skipped_on_request_and_counted(papertape: Runner, here: Path) -> None:
    lines = (here / "tape" / "AAA.csv").read_text().splitlines()
    lines[5] = lines[5].replace("100.00", "#REF!")
    (here / "AAA.csv").write_text("\n".join(lines) + "\n")
    assert papertape("backtest", "my_jumps.py", "--data", "AAA.csv").status == 2
    said = papertape("backtest", "my_jumps.py", "--data", "AAA.csv", "--on-bad", "skip")
    assert said.status == 0
    assert "skipped" in said.out


def test_two_strategies_in_one_file_must_be_told_apart(papertape: Runner, here: Path) -> None:
    (here / "two.py").write_text("from papertape import Strategy\nclass A(Strategy): ...\nclass B(Strategy): ...\n")
    assert_one_line(papertape("backtest", "two.py", "--data", "tape"), "two.py defines A, B; name one as two.py:A")
    assert papertape("backtest", "two.py:B", "--data", "tape").status == 0


def test_a_syntax_error_is_named_by_its_place(papertape: Runner, here: Path) -> None:
    (here / "torn.py").write_text("x = (\n")
    assert_one_line(papertape("backtest", "torn.py", "--data", "tape"), "torn.py:1:5: '(' was never closed")


FAULTY = """
from papertape import Strategy, moved
import mine

class Faulty(Strategy):
    n: int = 1
    def on_start(self):
        self.subscribe(self.symbols, when=moved(up=0.05, down=0.9))
    def on_trade(self, trade):
        {line}

class Waiting(Faulty):
    async def on_trade(self, trade):
        await self.snapshot([trade.symbol])
        mine.divide(0)
"""


@pytest.fixture
def faulty(here: Path) -> Path:
    (here / "mine.py").write_text("def divide(by):\n    return 1 / by\n")
    (here / "faulty.py").write_text(FAULTY.format(line="mine.divide(0)"))
    return here


@pytest.mark.parametrize("name", ["Faulty", "Waiting"])
def test_an_exception_in_a_strategy_shows_the_users_frames_callback_and_time(
    papertape: Runner, faulty: Path, name: str
) -> None:
    said = papertape("backtest", f"faulty.py:{name}", "--data", "tape")
    assert said.status == 2
    assert said.error.count('File "') == 2
    assert f'File "{faulty / "faulty.py"}"' in said.error
    assert f'File "{faulty / "mine.py"}"' in said.error
    last = said.error.splitlines()[-1]
    assert last == f"error: {name}.on_trade at 2024-06-03 09:31:40 EDT failed, see above"
    assert not (faulty / "runs").exists()


def test_a_request_that_cannot_be_met_is_one_line_with_its_place(papertape: Runner, faulty: Path) -> None:
    (faulty / "faulty.py").write_text(FAULTY.format(line='self.position("AAB")'))
    said = papertape("backtest", "faulty.py:Faulty", "--data", "tape")
    assert_one_line(said, 'faulty.py:10: no instrument "AAB" in this run; did you mean "AAA"?')
    assert "(in Faulty.on_trade at 2024-06-03 09:31:40 EDT)" in said.error


def test_an_exception_while_a_file_is_imported_or_made_is_the_users(papertape: Runner, here: Path) -> None:
    (here / "early.py").write_text("1 / 0\n")
    said = papertape("backtest", "early.py", "--data", "tape")
    assert said.status == 2
    assert said.error.endswith("ZeroDivisionError: division by zero\nerror: importing early.py failed, see above\n")
    (here / "made.py").write_text(
        "from papertape import Strategy\nclass M(Strategy):\n"
        "    def __init__(self, **given):\n        super().__init__(**given)\n        1 / 0\n"
    )
    assert papertape("backtest", "made.py", "--data", "tape").error.endswith("error: making M failed, see above\n")


def test_an_exception_in_a_grid_is_shown_once(papertape: Runner, faulty: Path) -> None:
    said = papertape("backtest", "faulty.py:Faulty", "--data", "tape", "--grid", "n=1,2", "--workers", 1)
    assert said.status == 2
    assert said.error.count("ZeroDivisionError") == 1
    assert "error: Faulty.on_trade at 2024-06-03 09:31:40 EDT failed" in said.error


def test_folders_of_our_names_beside_a_users_file_do_not_confuse(process: Runner, here: Path) -> None:
    for name in ("strategies", "feeds", "tests", "backtests"):
        (here / name).mkdir()
        (here / name / "__init__.py").write_text("raise SystemExit('the user\\'s was run')\n")
    (here / "helper.py").write_text("QUANTITY = 4\n")
    source = (here / "my_jumps.py").read_text().replace("self.quantity)", "helper.QUANTITY)")
    (here / "my_jumps.py").write_text("import helper\n" + source)
    said = process("backtest", "my_jumps.py", "--data", "tape", "--grid", "up=0.05,0.07", "--json")
    assert said.status == 0, said.error
    assert process("show", "last").status == 0


def test_a_module_is_found_in_the_current_folder(papertape: Runner) -> None:
    assert papertape("backtest", "my_jumps:Jumps", "--data", "tape").status == 0
