"""A simulated TWS for tests: a context manager for any program, and fixtures for pytest.

    from papertape.testing import start_gateway

    with start_gateway(speed=60) as gateway:
        my_program.connect(gateway.host, gateway.port, client_id=1)

With papertape installed, pytest finds the fixtures ``simulated_gateway`` and ``simulated_gateway_factory`` by itself.

PYTEST_DONT_REWRITE: no assertion here is a test's, and pytest would warn where this was imported before it looked.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from gateway.scenario import Scenario
    from gateway.server import GatewayServer, ServerEvent
    from gateway.settings import GatewaySettings
    from papertape.core.series import Tape

EVENTS_KEPT = 10_000
SAMPLE_SYMBOLS, SAMPLE_DAYS, SAMPLE_SEED = 3, 1, 7
START_TIMEOUT_S = 60.0


class SimulatedGateway:
    """A simulated TWS in a thread of its own, listening on ``host`` and ``port`` until ``stop``.

    ``events`` are the last things that happened in it: clients, orders, fills, errors, faults.
    """

    def __init__(self, make: Callable[[Callable[[ServerEvent], None]], GatewayServer], *, stop_at_end: bool) -> None:
        self.events: deque[ServerEvent] = deque(maxlen=EVENTS_KEPT)
        self._make = make
        self._stop_at_end = stop_at_end
        self._is_up = threading.Event()
        self._failure: BaseException | None = None
        self._server: GatewayServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="simulated-gateway", daemon=True)
        self._thread.start()
        if not self._is_up.wait(START_TIMEOUT_S):
            raise TimeoutError(f"the simulated gateway did not come up within {START_TIMEOUT_S:g} s")
        self._raise_failure()

    @property
    def server(self) -> GatewayServer:
        """The server itself; its thread is another one, so look only at what does not change."""
        assert self._server is not None, "it is made before the constructor returns"
        return self._server

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.server.host

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    @property
    def account(self) -> str:
        """The account's id."""
        return self.server.tws.settings.account

    @property
    def symbols(self) -> tuple[str, ...]:
        """What can be traded."""
        return tuple(each.symbol for each in self.server.tws.market.instruments)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # it is raised where the gateway is stopped, in the caller's thread
            self._failure = error
        finally:
            self._is_up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = self._make(self.events.append)
        async with self._server as server:
            self._is_up.set()
            await server.run(stop_at_end=self._stop_at_end)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended by itself, as at the end of the tape; whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End all connections and stop listening. Raises what went wrong inside, if something did."""
        if self._thread.is_alive() and self._loop is not None and self._server is not None:
            try:
                self._loop.call_soon_threadsafe(self._server.stop)
            except RuntimeError:  # the loop has ended in this very moment
                self._thread.join()
        self._thread.join()
        self._raise_failure()

    def _raise_failure(self) -> None:
        """Raise, once, what ended the thread."""
        failure, self._failure = self._failure, None
        if failure is not None:
            self._thread.join()
            raise failure

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


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
    each at most ``deadline_s`` of wall time. ``store`` is a file in which the account lasts over restarts. ``hold`` begins the market with the first client. Raises UserError with one clear line.
    """
    from gateway.assembly import MAX, make_server, parse_speed
    from gateway.settings import GatewaySettings

    chosen = settings or GatewaySettings()
    tape = _tape(data, chosen.calendar)
    faults = _scenario(scenario)
    window = [_moment(text, tape, chosen.calendar, name) for text, name in ((start, "start"), (end, "end"))]

    def make(told: Callable[[ServerEvent], None]) -> GatewayServer:
        return make_server(
            tape,
            chosen,
            speed=parse_speed(MAX if lockstep else speed),
            start=window[0],
            end=window[1],
            port=port,
            scenario=faults,
            seed=seed,
            lockstep=lockstep,
            deadline_s=deadline_s,
            store=None if store is None else Path(store),
            hold=hold,
            told=told,
        )

    return SimulatedGateway(make, stop_at_end=stop_at_end)


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
