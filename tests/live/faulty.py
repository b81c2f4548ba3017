"""A run in threads on a simulated gateway in a hurry, with faults; and what must be true of it at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from backtests.run import prepared
from brokers.ib import commands as c
from brokers.ib.events import LinkState
from brokers.ib.gateway import IbGateway
from gateway.fault_kinds import Fault
from gateway.scenario import Scenario
from papertape.core.guard import GuardSettings
from papertape.core.model import NS_PER_S, Fill, Instrument, OrderStatus, OrderUpdate, Trade
from papertape.core.orders import Order
from papertape.core.series import Tape
from papertape.live.assembly import LiveRun
from papertape.live.settings import AtEnd, LiveSettings
from papertape.live.simulated import paper_run, paper_settings, serve_tape
from strategies.base import Strategy
from tests.gateway.june import at, trades

START = at(4, "10:00:00")
SPEED = 20.0
SECONDS = 220
"""Of the tape; the run ends before it, so that what is late is still told."""
LAST_S = 200


def tape() -> Tape:
    """Four trades a second of two instruments."""
    rows = [(START + k * NS_PER_S // 4, round(100 + (k % 9) * 0.01, 2), 500.0) for k in range(4 * SECONDS)]
    other = [(ts + NS_PER_S // 8, round(price / 2, 2), size) for ts, price, size in rows]
    names = ("AAA", "BBB")
    return Tape(
        tuple(trades(name, each) for name, each in zip(names, (rows, other), strict=True)),
        {name: Instrument(name) for name in names},
    )


class Busy(Strategy):
    """Gives an order a second for a while: at the market both ways, limits that fill or rest, cancels and changes."""

    most: int = 24
    allow_short = True

    def on_start(self) -> None:
        self.heard: list[Fill] = []
        self.given = 0
        self.due = 0
        self.resting: list[Order] = []
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        if trade.ts < self.due or self.given >= self.most:
            return
        self.due = trade.ts + NS_PER_S
        self.given += 1
        match self.given % 6:
            case 0:
                self.resting.append(self.buy(trade.symbol, 10, limit=round(trade.price * 0.9, 2)))
            case 1:
                self.buy(trade.symbol, 30)
            case 2:
                self.sell(trade.symbol, 10, limit=round(trade.price * 0.99, 2))
            case 3:
                self.sell(trade.symbol, 15)
            case 4:
                for order in self.resting[-1:]:
                    self.modify(order, quantity=12, limit=round(trade.price * 0.91, 2))
            case _:
                for order in self.resting[-2:-1]:
                    self.cancel(order)
                self.buy(trade.symbol, 7, limit=round(trade.price * 1.02, 2))

    def on_fill(self, fill: Fill) -> None:
        self.heard.append(fill)

    def on_order(self, update: OrderUpdate) -> None:
        if update.status is OrderStatus.REJECTED and self.most > 1:  # as where the connection was down: once more
            self.given = max(0, self.given - 1)


@dataclass(frozen=True, slots=True)
class Played:
    """A run that has ended, and the gateway's truth."""

    run: LiveRun
    strategy: Any
    held: dict[str, float]
    cash: float
    refs: Counter[str]
    sent: Counter[int]

    @property
    def said(self) -> list[str]:
        """What the person was told."""
        return [text for _, text in self.run.parts.adapter.state.notices]

    def check(self) -> None:
        """The run, its strategy and the account agree, and nothing was given twice."""
        p = self.run.parts
        symbols = p.adapter.ib.registry.symbols
        told = "\n".join(self.said)
        run_held = {symbols[j]: quantity for j, quantity in p.adapter.run_positions().items()}
        assert run_held == self.held, told
        books = {each.symbol: each.quantity for each in p.side.session.ledger.positions if each.quantity}
        assert books == self.held, told
        assert abs(p.adapter.supervisor.cash("USD") - self.cash) < 0.01, told
        assert abs(float(p.side.session.state.cash[0]) - self.cash) < 0.01, told
        assert max(self.refs.values(), default=1) == 1, "an order was given twice"
        assert max(self.sent.values(), default=1) == 1, "an order's bytes left twice"
        heard = Counter[int]()
        for fill in self.strategy.heard:
            heard[fill.order] += fill.quantity * fill.side
        assert p.adapter.ib.orders.working() == [], told
        assert self.run.engine.remaining == []


class CountingGateway(IbGateway):
    """Counts how often an order's bytes leave, by its first terms."""

    sent: ClassVar[Counter[int]] = Counter()
    _terms: ClassVar[dict[int, Any]] = {}

    def send(self, command: c.Command) -> bool:
        """Send it; a change of an order has other terms."""
        if isinstance(command, c.PlaceOrder) and self._terms.get(command.order_id) != command.order:
            self._terms[command.order_id] = command.order
        elif isinstance(command, c.PlaceOrder):
            self.sent[command.order_id] += 2
        return super().send(command)


def play(
    faults: str | Scenario,
    out: Path,
    *,
    strategy: Strategy | None = None,
    guard: GuardSettings | None = None,
    seconds: float = 38.0,
    look: Callable[[LiveRun], None] | None = None,
    speed: float | None = SPEED,
    at_end: AtEnd = AtEnd.CANCEL,
) -> Played:
    """Play a run with faults, for ``seconds`` of exchange time and until all its orders were given; None: in lockstep."""
    scenario = Scenario.parse(faults, "scenario") if isinstance(faults, str) else faults
    simulated, _ = prepared(None, {"cash": 1_000_000, "margin": 4.0, "end": "2024-06-04T10:04:00"})
    limits = guard or GuardSettings(stale_s=0.0)
    settings = paper_settings(LiveSettings(guard=limits, at_end=at_end), speed=speed)
    player: Any = strategy or Busy()
    played = tape()
    CountingGateway.sent = Counter()
    CountingGateway._terms = {}
    with serve_tape(played, simulated, settings, allow_short=True, scenario=scenario) as gateway:
        run = paper_run(player, played, gateway, settings, simulated, out=out, until=START + LAST_S * NS_PER_S)
        adapter = run.parts.adapter
        adapter.ib.settings = replace(
            adapter.ib.settings, heartbeat_s=0.3, silence_s=0.9, backoff_s=(0.1, 0.2), handshake_s=3.0
        )

        def connect() -> IbGateway:
            made = CountingGateway()
            made.connect(gateway.host, gateway.port, settings.client_id, 1.0)
            return made

        adapter._connect = connect

        def look_again() -> None:
            if look is not None:
                look(run)
            is_late = run.parts.clock.now() > START + round(seconds * NS_PER_S)
            is_up = adapter.ib.state is LinkState.READY
            if (
                is_late
                and is_up
                and (getattr(player, "given", 0) >= getattr(player, "most", 0) or adapter.state.halted)
            ):
                run.engine.stop("all was given")

        run.engine.look = look_again
        run.run()
        tws = gateway.server.tws
        symbols = [each.symbol for each in tws.market.instruments]
        held = {symbol: tws.costs.basis(j).quantity for j, symbol in enumerate(symbols) if tws.costs.basis(j).quantity}
        cash = float(tws.exchange.state.cash[0])
        refs = Counter(each.order.order_ref for each in tws.orders.entries.values())
    return Played(run, player, held, cash, refs, Counter(CountingGateway.sent))


def drawn(seed: int) -> Scenario:
    """What a seed draws for the tape, as far as a run of a few seconds can hear of it."""
    scenario = Scenario.from_seed(seed, START + 2 * NS_PER_S, START + 28 * NS_PER_S)
    return replace(scenario, faults=tuple(_shorter(each) for each in scenario.faults))


def _shorter(fault: Fault) -> Fault:
    """Outages of many seconds of the clock are made short."""
    found = fault
    if getattr(found, "wall_s", 0.0) > 1.0:
        found = replace(found, wall_s=1.0)
    if getattr(found, "for_ns", 0) > 8 * NS_PER_S:
        found = replace(found, for_ns=8 * NS_PER_S)
    return found
