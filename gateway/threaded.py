"""A simulated TWS in a thread of its own, for a program that wants one beside itself: paper trading, tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.assembly import make_server
from gateway.scenario import Scenario
from gateway.server import GatewayServer, ServerEvent
from gateway.settings import GatewaySettings
from papertape.core.model import SessionTimes
from papertape.core.series import Tape

EVENTS_KEPT = 10_000
START_TIMEOUT_S = 60.0


class SimulatedGateway:
    """A simulated TWS in a thread of its own, listening on ``host`` and ``port`` until ``stop``.

    ``events`` are the last things that happened in it: clients, orders, fills, errors, faults. ``make`` is called in
    that thread with what is to be told of them, and makes the server. The thread never outlives the process, and
    signals are the main thread's: with ``with``, Ctrl-C there stops it.
    """

    def __init__(self, make: Callable[[Callable[[ServerEvent], None]], GatewayServer], *, stop_at_end: bool) -> None:
        self.events: deque[ServerEvent] = deque(maxlen=EVENTS_KEPT)
        self._make = make
        self._stop_at_end = stop_at_end
        self._is_up = threading.Event()
        self._is_done = threading.Event()
        """Set at the thread's end. A ``join`` that Ctrl-C interrupts takes the thread for ended in Python 3.11 and 3.12."""
        self._is_unwanted = False
        self._failure: BaseException | None = None
        self._server: GatewayServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="simulated-gateway", daemon=True)
        self._thread.start()
        is_up = False
        try:
            is_up = self._is_up.wait(START_TIMEOUT_S)
        finally:
            if not is_up:  # or interrupted: nobody will have it to stop it
                self._is_unwanted = True
                self._ask_to_stop()
        if not is_up:
            raise TimeoutError(f"the simulated gateway did not come up within {START_TIMEOUT_S:g} s")
        self._raise_failure()

    # -- what it is ---------------------------------------------------------------------------------------------

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
    def settings(self) -> GatewaySettings:
        """How it is set up."""
        return self.server.tws.settings

    @property
    def account(self) -> str:
        """The account's id."""
        return self.settings.account

    @property
    def symbols(self) -> tuple[str, ...]:
        """What can be traded."""
        return tuple(each.symbol for each in self.server.tws.market.instruments)

    @property
    def calendar(self) -> SessionTimes:
        """Sessions of the exchange around the tape."""
        return self.server.tws.market.calendar

    @property
    def first_ts(self) -> int:
        """Exchange time (UTC ns) at which the market begins."""
        return self.server.tws.market.start

    @property
    def last_ts(self) -> int:
        """Exchange time (UTC ns) of the last event; without an ``end`` the session is played on to its close."""
        return self.server.tws.market.end

    # -- where it is --------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Exchange time (UTC ns) up to which was played."""
        return self.server.tws.now

    @property
    def is_over(self) -> bool:
        """Whether the tape has ended, and in lockstep the last marker was answered.

        Where it does not stop then, exchange time follows the clock and requests are answered at once.
        """
        return self.server.has_ended

    @property
    def is_running(self) -> bool:
        """Whether it is there; where it is not, ``stop`` raises what went wrong, if something did."""
        return not self._is_done.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended by itself, as at the end of the tape; whether it has."""
        return self._is_done.wait(timeout_s)

    def stop(self) -> None:
        """End all connections and stop listening. Raises what went wrong inside, if something did."""
        self._ask_to_stop()
        self._is_done.wait()
        self._raise_failure()

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it. What went wrong inside explains an error of the block; it does not hide Ctrl-C."""
        try:
            self.stop()
        except Exception:
            if error is None or isinstance(error, Exception):
                raise

    # -- its thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # it is raised where the gateway is stopped, in the caller's thread
            self._failure = error
        finally:
            self._is_done.set()
            self._is_up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = self._make(self.events.append)
        async with self._server as server:
            if self._is_unwanted:
                return
            self._is_up.set()
            await server.run(stop_at_end=self._stop_at_end)

    def _ask_to_stop(self) -> None:
        if self.is_running and self._loop is not None and self._server is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended in this very moment
                self._loop.call_soon_threadsafe(self._server.stop)

    def _raise_failure(self) -> None:
        """Raise, once, what ended the thread."""
        failure, self._failure = self._failure, None
        if failure is not None:
            self._is_done.wait()
            raise failure


def serve_in_thread(
    tape: Tape,
    settings: GatewaySettings,
    *,
    speed: float | None = 1.0,
    lockstep: Sequence[int] = (),
    start: int | None = None,
    end: int | None = None,
    scenario: Scenario | None = None,
    seed: int | None = None,
    deadline_s: float = 60.0,
    store: Path | None = None,
    hold: bool = True,
    port: int = 0,
    stop_at_end: bool = False,
) -> SimulatedGateway:
    """A simulated TWS on loopback that plays ``tape``; it listens when this returns, and with ``with`` it is stopped.

    ``speed`` is exchange seconds in a second of the clock, None as fast as clients read; ``lockstep`` are the client ids
    that are waited for, each at most ``deadline_s`` of wall time (``math.inf``: as long as it takes), and needs speed
    None. ``start`` and ``end`` are UTC ns, inclusive. The rest is as for :func:`gateway.assembly.make_server`.
    Raises ConfigError and DataError.
    """

    def make(told: Callable[[ServerEvent], None]) -> GatewayServer:
        return make_server(
            tape,
            settings,
            speed=speed,
            start=start,
            end=end,
            port=port,
            scenario=scenario,
            seed=seed,
            lockstep=lockstep,
            deadline_s=deadline_s,
            store=store,
            hold=hold,
            told=told,
        )

    return SimulatedGateway(make, stop_at_end=stop_at_end)
