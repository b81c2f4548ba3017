"""Which TWS a verb talks to: ``--gateway HOST:PORT``, or ``sim`` for a simulated one on the generated sample."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from papertape.core.errors import PapertapeError, PeerError

if TYPE_CHECKING:
    from gateway.server import GatewayServer
    from papertape.live.settings import Address

SIM = "sim"
DEFAULT = "127.0.0.1:7497"
INTO_THE_TAPE_S = 3_600
"""How far into its first session the sample is when a verb that looks connects: before, there is nothing to scan."""
_START_TIMEOUT_S = 60.0

Gateway = Annotated[
    str,
    typer.Option(
        "--gateway",
        metavar="HOST:PORT|sim",
        help="TWS or IB Gateway; sim: a simulated one on the sample. Default: TWS's paper port here.",
    ),
]
ClientId = Annotated[int, typer.Option(metavar="N", help="Another one for each program at one TWS.")]


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom a verb talks to."""

    address: Address
    is_simulated: bool = False
    symbol: str = ""
    """One that a simulated market has."""

    def __str__(self) -> str:
        return f"the simulated TWS at {self.address} (SYNTHETIC data)" if self.is_simulated else str(self.address)


@contextmanager
def chosen_gateway(text: str) -> Iterator[Peer]:
    """The gateway that an option names; a simulated one lives as long as it is used."""
    from papertape.live.settings import Address

    if text.strip().lower() != SIM:
        yield Peer(Address.parse(text))
        return
    with _simulated() as server:
        yield Peer(Address(server.host, server.port), is_simulated=True, symbol=server.tws.market.instruments[0].symbol)


class _Served:
    """A simulated gateway in a thread of its own."""

    def __init__(self, server: GatewayServer) -> None:
        self.server = server
        self.failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-gateway", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._is_up.wait(_START_TIMEOUT_S)
        if isinstance(self.failure, PapertapeError):
            raise self.failure
        if self.failure is not None or not self._is_up.is_set():
            raise PeerError(f"the simulated TWS did not start: {self.failure}")

    def stop(self) -> None:
        if self._loop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self.server.stop)
            except RuntimeError:  # it has ended in this moment
                self._loop = None
        self._thread.join(_START_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to whoever starts it
            self.failure = error
        finally:
            self._is_up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self.server as server:
            self._is_up.set()
            await server.run(stop_at_end=False)


@contextmanager
def _simulated() -> Iterator[GatewayServer]:
    """A simulated gateway on the sample."""
    from dataclasses import replace

    from feeds.load import DataOptions, load_tape
    from gateway.assembly import make_server
    from gateway.settings import GatewaySettings
    from papertape.calendar import session_times
    from papertape.core.model import NS_PER_S

    tape = load_tape(str(_sample_folder()), DataOptions())
    first = min(int(series.ts[0]) for series in tape.series if len(series))
    calendar = session_times("XNYS", first, first)
    opening: Any = next(each for each, close in zip(calendar.open, calendar.close, strict=True) if close > first)
    start = max(first, opening + INTO_THE_TAPE_S * NS_PER_S)
    settings = replace(GatewaySettings(), synthetic=tape.synthetic)
    served = _Served(make_server(tape, settings, speed=1.0, start=start, port=0))
    served.start()
    try:
        yield served.server
    finally:
        served.stop()


def _sample_folder() -> Path:
    """The sample in ./sample; made where it is missing."""
    from feeds.tape_writer import MANIFEST
    from papertape.cli.demo import DAYS, SAMPLE, SEED, SYMBOLS
    from papertape.cli.sample import make_sample

    folder = Path(SAMPLE)
    if not (folder / MANIFEST).is_file():
        make_sample(folder, SYMBOLS, DAYS, SEED)
    return folder
