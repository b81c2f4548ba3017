"""A simulated TWS for tests: a context manager for any program, and fixtures for pytest.

    from papertape.testing import start_gateway

    with start_gateway(speed=60) as gateway:
        my_program.connect(gateway.host, gateway.port, client_id=1)

With papertape installed, pytest finds the fixtures ``simulated_gateway`` and ``simulated_gateway_factory`` by itself.

PYTEST_DONT_REWRITE: no assertion here is a test's, and pytest would warn where this was imported before it looked.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.scenario import Scenario
    from gateway.settings import GatewaySettings
    from gateway.threaded import SimulatedGateway
    from papertape.core.series import Tape

SAMPLE_SYMBOLS, SAMPLE_DAYS, SAMPLE_SEED = 3, 1, 7


def __getattr__(name: str) -> Any:
    """``SimulatedGateway``, when it is asked for: every run of pytest imports this module, most use no gateway."""
    if name != "SimulatedGateway":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gateway.threaded import SimulatedGateway

    return SimulatedGateway


def start_gateway(
    data: Any = None,
    *,
    speed: float | str = 10.0,
    start: str | None = None,
    end: str | None = None,
    settings: GatewaySettings | None = None,
    scenario: str | Path | Scenario | None = None,
    seed: int | None = None,
    lockstep: Sequence[int] = (),
    deadline_s: float = 60.0,
    store: str | Path | None = None,
    hold: bool = True,
    port: int = 0,
    stop_at_end: bool = False,
) -> SimulatedGateway:
    """Start a simulated TWS that plays ``data``; it runs when this returns, and with ``with`` it is stopped again.

    ``data`` is what ``papertape.backtest`` takes (None: one generated day of three symbols). ``speed`` is exchange
    seconds in a second, or "max"; ``start`` and ``end`` are times as 2024-06-03T09:30 in the exchange's zone.
    ``scenario`` is a file, or the text of one; ``seed`` draws one. ``lockstep`` names client ids that are waited for,
    each at most ``deadline_s`` of wall time. ``store`` is a file in which the account lasts over restarts. ``hold``
    begins the market with the first client. Raises UserError with one clear line.
    """
    from gateway.assembly import MAX, parse_speed
    from gateway.settings import GatewaySettings
    from gateway.threaded import serve_in_thread

    chosen = settings or GatewaySettings()
    tape = _tape(data, chosen.calendar)
    faults = _scenario(scenario)
    first, last = (_moment(text, tape, chosen.calendar, name) for text, name in ((start, "start"), (end, "end")))
    return serve_in_thread(
        tape,
        chosen,
        speed=parse_speed(MAX if lockstep else speed),
        start=first,
        end=last,
        port=port,
        scenario=faults,
        seed=seed,
        lockstep=lockstep,
        deadline_s=deadline_s,
        store=None if store is None else Path(store),
        hold=hold,
        stop_at_end=stop_at_end,
    )


def sample_tape() -> Tape:
    """One generated day of three companies that do not exist: trades, quotes and one-minute bars."""
    from feeds.load import DataOptions, load_tape
    from feeds.sample import write_sample

    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder), symbols=SAMPLE_SYMBOLS, days=SAMPLE_DAYS, seed=SAMPLE_SEED)
        return load_tape(folder, DataOptions(cache=False))


def _tape(data: Any, calendar: str) -> Tape:
    from feeds.load import DataOptions, load_tape
    from papertape.core.series import Tape

    if data is None:
        return sample_tape()
    return data if isinstance(data, Tape) else load_tape(data, DataOptions(calendar=calendar))


def _scenario(scenario: str | Path | Scenario | None) -> Scenario | None:
    from gateway.scenario import Scenario

    if isinstance(scenario, Path):
        return Scenario.read(scenario)
    if isinstance(scenario, str):
        return Scenario.parse(scenario, "scenario") if "\n" in scenario else Scenario.read(Path(scenario))
    return scenario


def _moment(text: str | None, tape: Tape, calendar: str, name: str) -> int | None:
    from backtests.settings import moment
    from papertape.calendar import session_times

    if text is None:
        return None
    ends = [int(series.ts[-1]) for series in tape.series if len(series)]
    zone = session_times(calendar, min(ends, default=0), max(ends, default=0)).zone
    return moment(text, zone, name=name, is_end=name == "end")


try:
    import pytest
except ImportError:
    # without pytest there is nobody to use fixtures
    __all__ = ["SimulatedGateway", "sample_tape", "start_gateway"]
else:
    __all__ = ["SimulatedGateway", "sample_tape", "simulated_gateway", "simulated_gateway_factory", "start_gateway"]

    @pytest.fixture
    def simulated_gateway_factory() -> Iterator[Callable[..., SimulatedGateway]]:
        """Starts simulated gateways, with the arguments of ``start_gateway``; all are stopped after the test."""
        with contextlib.ExitStack() as started:
            yield lambda *arguments, **options: started.enter_context(start_gateway(*arguments, **options))

    @pytest.fixture
    def simulated_gateway(simulated_gateway_factory: Callable[..., SimulatedGateway]) -> SimulatedGateway:
        """A simulated gateway that plays one generated day, ten times as fast as the clock."""
        return simulated_gateway_factory()
