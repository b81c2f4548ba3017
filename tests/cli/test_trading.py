"""Paper trading at a TWS that runs by the clock: what a run says, owns and keeps there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feeds.load import DataOptions, load_tape
from gateway.server import What
from gateway.settings import DataPermission, GatewaySettings
from gateway.threaded import SimulatedGateway
from papertape.cli.strategy_source import load_strategy
from papertape.core.model import NS_PER_S, Instrument
from papertape.core.series import Tape
from papertape.live.assembly import make_run
from papertape.live.data_link import DataLink
from papertape.live.preflight import look_at
from papertape.live.settings import Address, LiveSettings
from papertape.testing import start_gateway
from tests.cli.conftest import write_trades
from tests.cli.trading_room import address, buy_as_somebody_else, no_run, notes, only_run, strategy_file, wait_for_order

if TYPE_CHECKING:
    from papertape.core.record import RunRecord
    from tests.cli.conftest import Runner, Said

SPEED = 5.0


@pytest.fixture(autouse=True)
def _own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_STATE", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    folder = tmp_path_factory.mktemp("tape")
    write_trades(folder / "AAA.csv", {100: 0.06})
    write_trades(folder / "BBB.csv", {150: 0.10})
    return load_tape(folder, DataOptions(cache=False))


@pytest.fixture
def start(tape: Tape) -> Iterator[Callable[..., SimulatedGateway]]:
    started: list[SimulatedGateway] = []

    def make(**settings: Any) -> SimulatedGateway:
        started.append(start_gateway(tape, speed=SPEED, settings=GatewaySettings(**settings)))
        return started[-1]

    yield make
    for each in started:
        each.stop()


def at_tws(papertape: Runner, gateway: SimulatedGateway, *options: str) -> Said:
    common = ("buyer.py", "--gateway", address(gateway), "--speed", str(SPEED), "--duration", "8s")
    return papertape("paper", *common, *options)


def test_a_run_at_a_tws_says_what_is_about_to_be_traded(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    said = at_tws(papertape, start(), "--symbols", "AAA", "--max-drawdown", "5%", "--client-id", "3")
    assert said.status == 0, said.error
    assert "account DU1234567 at 127.0.0.1:" in said.out
    assert "client id 3" in said.out
    assert "guard: max_drawdown 5%" in said.out
    record = only_run(here).record
    assert record.settings["symbols"] == ["AAA"]
    assert record.fills["quantity"].tolist() == [10.0]


def test_a_run_without_symbols_is_told_that_it_follows_nothing(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    (here / "run.toml").write_text('strategy = "buyer.py"\ndata = "tape"\ncash = 5.0\n')
    gateway = start()
    said = papertape("paper", "run.toml", "--gateway", address(gateway), "--speed", str(SPEED), "--duration", "4s")
    assert said.status == 0, said.error
    assert "no symbols are named (--symbols AAA,BBB)" in said.out
    assert "passed over here: data, cash" in said.out
    assert "name --symbols" in notes(only_run(here).record)["no_data"]


def test_a_symbol_that_means_several_contracts_is_said_in_one_line_and_the_others_are_traded(
    papertape: Runner, here: Path, tape: Tape
) -> None:
    strategy_file(here, "buyer")
    names = {"AAA": "AAA", "BBB": "BRK.B"}
    series = tuple(replace(each, symbol=names[each.symbol]) for each in tape.series)
    again = replace(series[1], symbol="BRK B")  # both are BRK B at TWS
    both = Tape((*series, again), {name: Instrument(name) for name in ("AAA", "BRK.B", "BRK B")})
    with start_gateway(both, speed=SPEED) as gateway:
        said = at_tws(papertape, gateway, "--symbols", "AAA,BRK B")
    assert said.status == 0, said.error
    told = [line for line in said.out.splitlines() if "BRK B may be any of BRK B STK USD at " in line]
    assert len(told) == 2, "once when it is heard, once among the run's notes"
    assert all("its symbol alone does not say which" in line for line in told)
    record = only_run(here).record
    assert "may be any of" in notes(record)["unknown_BRK B"]
    assert record.fills["symbol"].tolist() == ["AAA"]


def test_cash_in_a_currency_that_few_hold_keeps_no_run_from_beginning(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    """Its rate is not told by this gateway, which takes no order then; the run itself has sent it."""
    strategy_file(here, "buyer")
    said = at_tws(papertape, start(cash={"USD": 100_000.0, "SEK": 5_000.0}), "--symbols", "AAA")
    assert said.status == 0, said.error
    (reason,) = only_run(here).record.orders["reason"]
    assert reason.startswith("201: Order rejected - reason:net liquidation is unknown: an exchange rate is missing")


HIDING = {"read_only": True, "read_only_tells_orders": False}


def test_a_tws_that_keeps_orders_to_itself_is_refused_in_one_line_with_its_setting(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    said = at_tws(papertape, start(**HIDING), "--symbols", "AAA")
    assert said.status == 2
    assert 'TWS\'s "Read-Only API" is on, so it takes no orders' in said.error
    assert "Global Configuration > API > Settings" in said.error
    assert said.error.count("\n") == 1
    assert no_run(here)


def test_a_run_that_gives_no_orders_follows_the_market_at_a_read_only_tws(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    said = at_tws(papertape, start(**HIDING), "--symbols", "AAA", "--read-only")
    assert said.status == 0, said.error
    assert only_run(here).record.events > 0
    assert "which orders the account has is not told" in said.out


def test_those_who_only_look_do_so_at_a_read_only_tws(start: Callable[..., SimulatedGateway]) -> None:
    gateway = start(**HIDING)
    link = DataLink(Address(gateway.host, gateway.port), 101)
    try:
        link.open(10.0)
        assert link.define(["AAA"]) == [0]
    finally:
        link.close()


def test_delayed_data_are_taken_on_paper_and_said(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    said = at_tws(papertape, start(permission=DataPermission.DELAYED), "--symbols", "AAA")
    assert said.status == 0, said.error
    assert any("delayed" in text for text in notes(only_run(here).record).values())


def test_a_run_owns_its_own_orders_and_says_what_else_it_sees(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    gateway = start()

    def somebody_else() -> None:
        wait_for_order(gateway)
        buy_as_somebody_else(gateway, "AAA", 7, client_id=2)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(somebody_else)
        said = at_tws(papertape, gateway, "--symbols", "AAA", "--duration", "25s")
        other.result()
    assert said.status == 0, said.error
    assert "not this run's: BUY 7 AAA at 100 (by hand)" in said.out
    record = only_run(here).record
    assert record.fills["quantity"].tolist() == [10.0]
    assert record.positions["quantity"].tolist() == [10.0]


def test_two_runs_trade_beside_each_other_with_client_ids_of_their_own(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    gateway = start()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(made_run, gateway, here, client_id=2)
        said = at_tws(papertape, gateway, "--symbols", "AAA")
        theirs = other.result()
    assert said.status == 0, said.error
    mine = only_run(here).record
    assert mine.fills["quantity"].tolist() == theirs.fills["quantity"].tolist() == [10.0]
    assert len([each for each in list(gateway.events) if each.what is What.ORDER]) == 2


def made_run(gateway: SimulatedGateway, here: Path, *, client_id: int) -> RunRecord:
    """A run as a program makes it, which is where no signal comes."""
    settings = LiveSettings(client_id=client_id, speed=SPEED)
    where = Address(gateway.host, gateway.port)
    strategy = load_strategy(str(here / "buyer.py"))()
    now = look_at(where, settings).ts
    run = make_run(strategy, settings, where, out=here / "others", symbols=["AAA"], now=now, until=now + 8 * NS_PER_S)
    return run.run()


def test_a_run_that_was_stopped_is_resumed_with_what_it_holds(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    strategy_file(here, "buyer")
    gateway = start()
    first = at_tws(papertape, gateway, "--symbols", "AAA")
    assert first.status == 0, first.error
    said = at_tws(papertape, gateway, "--symbols", "AAA", "--resume", "last")
    assert said.status == 0, said.error
    record = only_run(here).record
    assert record.fills["quantity"].tolist() == [10.0, 10.0]
    assert notes(record)["resumed"].startswith("resumed once")


def test_a_handler_that_blocks_is_said_and_its_run_ends_all_the_same(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    body = "    def act(self, trade):\n        time.sleep(0.8)\n        self.buy(trade.symbol, self.quantity)"
    strategy_file(here, "buyer", body)
    said = at_tws(papertape, start(), "--symbols", "AAA")
    assert said.status == 0, said.error
    record = only_run(here).record
    assert "on_trade took more than 50 ms" in notes(record)["slow_handler"]
    assert record.fills["quantity"].tolist() == [10.0]
