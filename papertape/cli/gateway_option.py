"""Which TWS a verb talks to: ``--gateway HOST:PORT``, or ``sim`` for a simulated one on the generated sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.threaded import SimulatedGateway
    from papertape.live.settings import Address

SIM = "sim"
DEFAULT = "127.0.0.1:7497"
INTO_THE_TAPE_S = 3_600
"""How far into its first session the sample is when a verb that looks connects: before, there is nothing to scan."""

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
        yield Peer(Address(server.host, server.port), is_simulated=True, symbol=server.symbols[0])


@contextmanager
def _simulated() -> Iterator[SimulatedGateway]:
    """A simulated gateway on the sample, an hour into its first session: before, there is little to scan."""
    from dataclasses import replace

    from feeds.load import DataOptions, load_tape
    from gateway.settings import GatewaySettings
    from gateway.threaded import serve_in_thread
    from papertape.calendar import session_times
    from papertape.core.model import NS_PER_S

    tape = load_tape(str(_sample_folder()), DataOptions())
    first = min(int(series.ts[0]) for series in tape.series if len(series))
    calendar = session_times("XNYS", first, first)
    opening = next(each for each, close in zip(calendar.open, calendar.close, strict=True) if close > first)
    settings = replace(GatewaySettings(), synthetic=tape.synthetic)
    with serve_in_thread(tape, settings, speed=1.0, start=opening + INTO_THE_TAPE_S * NS_PER_S) as server:
        yield server


def _sample_folder() -> Path:
    """The sample in ./sample; made where it is missing."""
    from feeds.tape_writer import MANIFEST
    from papertape.cli.demo import DAYS, SAMPLE, SEED, SYMBOLS
    from papertape.cli.sample import make_sample

    folder = Path(SAMPLE)
    if not (folder / MANIFEST).is_file():
        make_sample(folder, SYMBOLS, DAYS, SEED)
    return folder
