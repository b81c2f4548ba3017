"""``papertape live``: every way in which it refuses, and that a refused run leaves nothing behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feeds.load import DataOptions, load_tape
from gateway.server import What
from gateway.settings import DataPermission, GatewaySettings
from gateway.threaded import SimulatedGateway
from papertape.live import settings as live_settings
from papertape.testing import start_gateway
from tests.cli.conftest import write_trades
from tests.cli.trading_room import address, no_run, only_run, strategy_file, terminal

if TYPE_CHECKING:
    from papertape.core.series import Tape
    from tests.cli.conftest import Runner, Said

LIVE = "U7654321"


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    folder = tmp_path_factory.mktemp("tape")
    write_trades(folder / "AAA.csv", {100: 0.06})
    write_trades(folder / "BBB.csv", {150: 0.10})
    return load_tape(folder, DataOptions(cache=False))


@pytest.fixture(scope="module")
def real(tape: Tape) -> Iterator[SimulatedGateway]:
    """A TWS that manages an account with real money."""
    with start_gateway(tape, speed=1, settings=GatewaySettings(account=LIVE), hold=False) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_STATE", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def start(tape: Tape) -> Iterator[Callable[..., SimulatedGateway]]:
    started: list[SimulatedGateway] = []

    def make(**settings: Any) -> SimulatedGateway:
        started.append(start_gateway(tape, speed=1, settings=GatewaySettings(**{"account": LIVE, **settings})))
        return started[-1]

    yield make
    for each in started:
        each.stop()


def refused(said: Said, here: Path) -> str:
    """What a refusal says, which is one line; nothing is left of the run."""
    assert said.status == 2, said.error
    assert said.error.startswith("error: ")
    assert said.error.count("\n") == 1
    assert no_run(here)
    return said.error.removeprefix("error: ").strip()


# --- what is refused before anybody is connected to ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "live trading needs --gateway HOST:PORT"),
        (("--gateway", "sim"), "there is no simulated live trading"),
        (("--gateway", "7496"), "live trading needs --account ID"),
        (("--gateway", "7496", "--account", LIVE), "is confirmed on a terminal, and there is none; arm a file"),
        (("--gateway", "tws", "--account", LIVE), 'gateway "tws": HOST:PORT is needed'),
        (("--gateway", "7496", "--account", LIVE, "--arm", "none.json"), "none.json: cannot be read"),
        (("--gateway", "7496", "--account", LIVE, "--arm", "a", "--write-arm", "b"), "give one of them"),
        (("--gateway", "7496", "--account", LIVE, "--write-arm", "b"), "is confirmed on a terminal"),
        (("--gateway", "7496", "--account", LIVE, "--until", "1h", "--duration", "1h"), "say the same thing twice"),
        (("--gateway", "7496", "--account", LIVE, "--duration", "1d"), "a length as 30m or 2h is needed"),
        (("--gateway", "7496", "--account", LIVE, "--tws-zone", "Mars"), 'time zone "Mars" is unknown'),
        (("--gateway", "7496", "--account", LIVE, "--max-drawdown", "5"), "max_drawdown"),
        (("--gateway", "7496", "--account", LIVE, "--confirm", "ask"), "--confirm ask needs a terminal"),
        (("--gateway", "7496", "--account", LIVE, "--notify", "no-such-program"), "no program"),
        (("--gateway", "7496", "--account", LIVE, "--set", "upp=1"), 'no parameter "upp"; did you mean "up"?'),
    ],
)
def test_what_is_wrong_by_itself_is_refused(
    papertape: Runner, here: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in refused(papertape("live", "my_jumps.py", *options), here)


def test_a_speed_in_a_file_is_no_way_to_trade_live(papertape: Runner, here: Path) -> None:
    (here / "run.toml").write_text(
        f'strategy = "my_jumps.py"\n[live]\ngateway = "7496"\naccount = "{LIVE}"\nspeed = 10'
    )
    assert "speed is for a simulated gateway" in refused(papertape("live", "run.toml"), here)


def test_nobody_who_listens_is_said_in_one_line(papertape: Runner, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with terminal(monkeypatch, LIVE):
            said = papertape("live", "my_jumps.py", "--gateway", where, "--account", LIVE)
    assert f"nobody listens at {where}" in refused(said, here)


# --- what TWS's accounts say -----------------------------------------------------------------------------------------


def test_an_account_that_this_login_does_not_manage_is_refused(
    papertape: Runner, here: Path, real: SimulatedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch, "U1111111"):
        said = papertape("live", "my_jumps.py", "--gateway", address(real), "--account", "U1111111")
    assert f"account U1111111 is not among those of this TWS ({LIVE})" in refused(said, here)


def test_an_account_that_is_typed_wrong_is_refused(
    papertape: Runner, here: Path, real: SimulatedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch, "yes"):
        said = papertape("live", "my_jumps.py", "--gateway", address(real), "--account", LIVE)
    assert refused(said, here) == f'"yes" is not {LIVE}; nothing was begun'
    assert "Type the account's id to begin: " in said.out
    assert "guard: no limits are set" in said.out  # what is about to be traded is said before it is asked


@pytest.mark.parametrize("account", [LIVE, "F1234567", "X0000001"])
def test_paper_refuses_an_account_with_real_money_and_one_of_an_unknown_kind(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], account: str
) -> None:
    gateway = start(account=account)
    said = papertape("paper", "my_jumps.py", "--gateway", address(gateway))
    assert f"account {account} is no paper account" in refused(said, here)


@pytest.mark.parametrize(("verb", "account", "kind"), [("live", LIVE, "paper"), ("paper", "DU1234567", "live")])
def test_a_port_that_is_usual_for_the_other_kind_of_account_is_refused(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], monkeypatch: pytest.MonkeyPatch,
    verb: str, account: str, kind: str,
) -> None:  # fmt: skip
    gateway = start(account=account)
    monkeypatch.setattr(live_settings, f"{kind.upper()}_PORTS", (gateway.port,))
    with terminal(monkeypatch, account):
        said = papertape(verb, "my_jumps.py", "--gateway", address(gateway), "--account", account)
    assert f"the port is the usual one of a {kind} account, and {account}" in refused(said, here)


def test_a_client_id_that_is_in_use_is_refused(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway]
) -> None:
    from brokers.ib.gateway import IbGateway

    gateway, other = start(account="DU1234567"), IbGateway()
    other.connect(gateway.host, gateway.port, 7, 15.0)
    try:
        said = papertape("paper", "my_jumps.py", "--gateway", address(gateway), "--client-id", "7")
        assert "client id 7 is in use" in refused(said, here)
    finally:
        other.close()


# --- arming ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def armed(papertape: Runner, here: Path, real: SimulatedGateway, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a run that a person has armed: the file is ``arm.json``."""
    options = ["my_jumps.py", "--gateway", address(real), "--account", LIVE, "--max-drawdown", "5%", "--read-only"]
    with terminal(monkeypatch, LIVE):
        said = papertape("live", *options, "--write-arm", "arm.json")
    assert said.status == 0, said.error
    assert "armed arm.json for account U7654321" in said.out
    return options


def test_a_file_is_armed_only_by_the_account_typed(
    papertape: Runner, here: Path, real: SimulatedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch, "U7654320"):
        said = papertape(
            "live", "my_jumps.py", "--gateway", address(real), "--account", LIVE, "--write-arm", "arm.json"
        )
    assert "nothing was begun" in refused(said, here)
    assert not (here / "arm.json").exists()


def test_an_armed_run_begins_without_a_terminal(papertape: Runner, here: Path, armed: list[str]) -> None:
    said = papertape("live", *armed, "--arm", "arm.json", "--symbols", "AAA", "--duration", "2s")
    assert "armed for another configuration" in refused(said, here)  # other symbols are another run
    said = papertape("live", *armed, "--arm", "arm.json", "--duration", "2s")
    assert said.status == 0, said.error
    run = only_run(here)
    assert (run.record.mode, run.record.settings["live"]["account"]) == ("live", LIVE)


@pytest.mark.parametrize(
    "changed", [("--set", "up=0.06"), ("--max-drawdown", "6%"), ("--client-id", "2"), ("--at-end", "keep")]
)
def test_an_armed_run_of_which_anything_has_changed_is_refused(
    papertape: Runner, here: Path, armed: list[str], changed: tuple[str, str]
) -> None:
    assert "armed for another configuration" in refused(papertape("live", *armed, *changed, "--arm", "arm.json"), here)


def test_an_armed_run_whose_strategy_was_edited_is_refused(papertape: Runner, here: Path, armed: list[str]) -> None:
    source = (here / "my_jumps.py").read_text()
    (here / "my_jumps.py").write_text(source.replace("self.quantity)", "self.quantity * 2)"))
    assert "armed for another configuration" in refused(papertape("live", *armed, "--arm", "arm.json"), here)


# --- runs ------------------------------------------------------------------------------------------------------------


def live_run(
    papertape: Runner, gateway: SimulatedGateway, monkeypatch: pytest.MonkeyPatch, *options: str, strategy: str = "buyer.py"
) -> Said:  # fmt: skip
    with terminal(monkeypatch, LIVE):
        return papertape(
            "live", strategy, "--gateway", address(gateway), "--account", LIVE, "--symbols", "AAA", "--duration", "2s",
            *options,
        )  # fmt: skip


def sent(gateway: SimulatedGateway) -> list[str]:
    return [each.text for each in list(gateway.events) if each.what is What.ORDER]


def test_a_run_that_is_read_only_follows_the_market_and_sends_nothing(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy_file(here, "buyer")
    gateway = start()
    said = live_run(papertape, gateway, monkeypatch, "--read-only")
    assert said.status == 0, said.error
    record = only_run(here).record
    assert record.events > 0
    assert record.orders["status"].tolist() == ["REJECTED"]
    assert "read-only" in record.orders["reason"][0]
    assert sent(gateway) == []
    assert "read-only: no order is sent" in said.out


def test_live_refuses_to_trade_on_delayed_data_unless_it_is_told_to(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy_file(here, "buyer")
    gateway = start(permission=DataPermission.DELAYED)
    said = live_run(papertape, gateway, monkeypatch)
    assert said.status == 0, said.error
    record = only_run(here).record
    assert (record.events, len(record.orders["number"])) == (0, 0)
    notes = {each.code: each.text for each in record.notes}
    assert notes["data_AAA"].startswith("AAA: TWS 10089")
    assert notes["delayed_refused"].endswith("delayed ones are traded on with --delayed")
    assert sent(gateway) == []


def test_a_tws_whose_api_is_read_only_is_told_of_with_the_setting_to_change(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy_file(here, "buyer")
    gateway = start(read_only=True)
    said = live_run(papertape, gateway, monkeypatch)
    assert '"Read-Only API"' in said.out + said.error
    record = only_run(here).record
    assert record.orders["status"].tolist() == ["REJECTED"]
    assert '"Read-Only API"' in record.orders["reason"][0]


def test_a_floor_in_a_currency_that_few_hold_is_a_floor_too(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy_file(here, "buyer")
    said = live_run(papertape, start(), monkeypatch, "--cash-floor", "SEK=5000")
    assert "cash floor SEK=5000: the account starts below it, with 0" in refused(said, here)


def test_how_long_a_run_lasts_counts_from_when_the_account_was_typed(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy_file(here, "buyer")
    monkeypatch.setattr("papertape.live.arming.confirm_account", lambda account: time.sleep(2.5))
    said = live_run(papertape, start(), monkeypatch, "--duration", "2s")
    assert said.status == 0, said.error
    lasted = only_run(here).record
    assert lasted.end - lasted.start > 1_000_000_000


def test_a_run_whose_account_was_typed_trades_and_leaves_no_thread_behind(
    papertape: Runner, here: Path, start: Callable[..., SimulatedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy_file(here, "buyer")
    gateway = start()
    said = live_run(papertape, gateway, monkeypatch, "--max-position", "10")
    assert said.status == 0, said.error
    assert "guard: max_position 10" in said.out
    record = only_run(here).record
    assert (record.mode, record.settings["live"]["account"]) == ("live", LIVE)
    assert record.fills["quantity"].tolist() == [10.0]
    assert len(sent(gateway)) == 1
    ours = {"adapter", "strategy", "screen", "question", "record"}
    assert [each.name for each in threading.enumerate() if each.name in ours] == []
