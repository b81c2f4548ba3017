"""``papertape record``: what a simulated TWS sends becomes a tape that says the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from feeds.load import DataOptions, load_tape
from feeds.reference import read_scans
from papertape.core.model import EventKind
from papertape.core.series import Series, Tape
from papertape.testing import SimulatedGateway, sample_tape

if TYPE_CHECKING:
    from tests.cli.conftest import Runner, Said

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0
Start = Callable[..., SimulatedGateway]


@pytest.fixture(scope="module")
def tape() -> Tape:
    return sample_tape()


@pytest.fixture
def start(tape: Tape, simulated_gateway_factory: Start) -> Start:
    def make(**options: Any) -> SimulatedGateway:
        return simulated_gateway_factory(tape, speed=300, start="2024-06-03T10:30", **options)

    return make


def recorded(papertape: Runner, gateway: SimulatedGateway, *arguments: str) -> Said:
    return papertape("record", *arguments, "--gateway", f"{gateway.host}:{gateway.port}", "--out", "rec")


def loaded(folder: Path) -> Tape:
    return load_tape(folder, DataOptions(cache=False))


def series_of(tape: Tape, symbol: str, kind: EventKind) -> Series:
    (found,) = [each for each in tape.series if each.symbol == symbol and each.kind is kind]
    return found


def pairs(series: Series) -> list[tuple[float, float]]:
    return list(zip(series.columns[0].tolist(), series.columns[1].tolist(), strict=True))


def is_stretch(part: list[tuple[float, float]], whole: list[tuple[float, float]]) -> bool:
    """Whether one list stands in the other without a gap."""
    return any(whole[k : k + len(part)] == part for k in range(len(whole) - len(part) + 1))


def test_every_trade_that_tws_sends_is_on_the_tape_in_order(
    papertape: Runner, start: Start, tape: Tape, here: Path
) -> None:
    gateway = start()
    said = recorded(papertape, gateway, *gateway.symbols, "--duration", "1.5s")
    assert said.status == 0, said.error
    assert f"following {', '.join(gateway.symbols)}; Ctrl-C ends it" in said.out
    assert "trades from AllLast" in said.out
    assert said.out.splitlines()[-1] == "try: papertape backtest STRATEGY --data rec"
    got = loaded(here / "rec")
    for symbol in gateway.symbols:
        trades = pairs(series_of(got, symbol, EventKind.TRADE))
        assert len(trades) > 3
        assert is_stretch(trades, pairs(series_of(tape, symbol, EventKind.TRADE))), symbol
        assert got.instruments[symbol].con_id > 0
    assert {each.kind for each in got.series} == {EventKind.TRADE, EventKind.QUOTE}
    log = [json.loads(line) for line in (here / "rec" / "recording.jsonl").read_text().splitlines()]
    assert log[0]["origin"] == f"127.0.0.1:{gateway.port}"
    assert log[-1]["what"] == "ended"


def test_what_a_scan_finds_is_recorded_with_the_scan(papertape: Runner, start: Start, here: Path) -> None:
    gateway = start()
    said = recorded(
        papertape, gateway, "MOST_ACTIVE", "price_above=1", "--rows", "2", "--duration", "3s", "--bars", "5s"
    )
    assert said.status == 0, said.error
    (scan,) = read_scans(here / "rec" / "scans.csv")
    assert scan.code == "MOST_ACTIVE"
    got = loaded(here / "rec")
    assert set(got.symbols) == set(scan.symbols)
    assert len(scan.symbols) == 2


def test_a_lost_connection_is_made_again_and_the_recording_goes_on(papertape: Runner, start: Start, here: Path) -> None:
    gateway = start(scenario='[[fault]]\nkind = "disconnect"\nat = "10:34:00"\n')
    said = recorded(papertape, gateway, gateway.symbols[0], "--duration", "3s", "--rt-volume")
    assert said.status == 0, said.error
    assert "link down: " in said.out
    assert said.out.count("link ready: ") == 1, "that of the beginning is not told"
    series = series_of(loaded(here / "rec"), gateway.symbols[0], EventKind.TRADE)
    assert np.all(np.diff(series.ts) >= 0)
    (file,) = (here / "rec" / "trades").iterdir()
    assert ",RTVolume," in file.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_in_order(start: Start, here: Path) -> None:
    gateway = start()
    process = subprocess.Popen(
        [sys.executable, "-m", "papertape", "record", gateway.symbols[0], "--out", "rec", "--gateway",
         f"{gateway.host}:{gateway.port}"],
        cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "trades from" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, error) == (0, ""), lines
    assert "recorded " in rest
    assert '"what": "ended"' in (here / "rec" / "recording.jsonl").read_text()


def test_a_symbol_that_tws_does_not_know_is_one_line(papertape: Runner, start: Start, here: Path) -> None:
    said = recorded(papertape, start(), "NOSUCH", "--duration", "1s")
    assert said.status == 2
    (error,) = said.error.splitlines()
    assert error.startswith("error: NOSUCH: ")
    assert "check the spelling" in error


def test_a_time_that_has_passed_is_one_line(papertape: Runner, start: Start) -> None:
    gateway = start()
    said = recorded(papertape, gateway, gateway.symbols[0], "--until", "09:45")
    assert said.status == 2
    assert "error: --until 09:45:00: it is 10:3" in said.error


def test_it_ends_when_the_exchange_s_time_has_come(papertape: Runner, start: Start) -> None:
    gateway = start()
    said = recorded(papertape, gateway, gateway.symbols[0], "--until", "10:30:02")
    assert said.status == 0, said.error


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["AAA", "MOST_ACTIVE"], "symbols as AAPL,MSFT are needed, or one scan as MOST_ACTIVE"),
        (["MOST_ACTIVE", "TOP_PERC_GAIN"], "or one scan"),
        (["AAA", "price_above=1"], "symbols as AAPL,MSFT are needed"),
        ([","], "symbols as AAPL,MSFT are needed"),
        (["MOST_ACTIVE", "pric_above=1"], 'did you mean "price_above"?'),
        (["../AAA"], '"../AAA" is not a symbol'),
        (["AAA", "--rows", "0"], "--rows 0: 1 to 50 are needed"),
        (["AAA", "--bars", "0.5s"], '--bars "0.5s": whole seconds are needed'),
        (["AAA", "--bars", "1d"], '--bars "1d": seconds, minutes or hours are needed'),
        (["AAA", "--duration", "soon"], 'duration "soon"'),
        (["AAA", "--duration", "1s", "--until", "16:00"], "--duration and --until: one of them"),
        (["AAA", "--until", "25:00"], '--until "25:00": an exchange time is needed, as 16:00'),
        (["AAA", "--until", "noon"], '--until "noon": an exchange time is needed'),
    ],
)
def test_a_mistake_is_one_line(papertape: Runner, here: Path, arguments: list[str], text: str) -> None:
    said = papertape("record", *arguments, "--out", "rec")
    assert (said.status, said.out) == (2, "")
    assert text in said.error
    assert said.error.count("\n") == 1
    assert not (here / "rec").exists()


def test_a_folder_of_something_else_is_left_alone(papertape: Runner) -> None:
    said = papertape("record", "AAA", "--out", "tape")
    assert said.status == 2
    assert said.error == "error: tape: holds CSV files that are no recording; name a new folder\n"
