"""A process that executes paper runs and is killed for real: ``python -m tests.live.killed_run``.

It reads a plan a line (JSON) and forks for each, so that a run starts in a moment. The fork makes or resumes the run,
kills itself with SIGKILL where the plan's fuse says so, and else writes what the run came to. Nothing of the run is
replaced by something else: a fuse looks on at a place of the code, and kills there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import papertape.core.compiled  # noqa: F401  # so that a fork has what takes long to load
from brokers.ib import compat
from brokers.ib.commands import AskOpenOrders, CancelOrder, PlaceOrder
from brokers.ib.gateway import IbGateway
from brokers.ib.records import Commission, Execution, ExecutionsEnd, OpenOrder, OpenOrdersEnd
from papertape import Order, Side, Strategy, Trade
from papertape.core.guard import GuardSettings
from papertape.live import resume
from papertape.live.adapter import Adapter
from papertape.live.assembly import LiveRun, make_run
from papertape.live.journal import Journal
from papertape.live.replay import Replay
from papertape.live.settings import Address, AtEnd, LiveSettings

SYMBOLS = ("AAA", "BBB")
RESULT = "result.json"
MOST_HELD = 120.0


class Busy(Strategy):
    """Gives orders of every kind, changes and cancels them; what it does follows from the trade that it hears."""

    def on_start(self) -> None:
        self.heard = 0
        self.subscribe(self.symbols)
        self.log("started with", *(f"{each.symbol} {each.quantity:g}" for each in self.positions))

    def on_trade(self, trade: Trade) -> None:
        self.heard += 1
        self.record("price", trade.price)
        held, working = self.position(trade.symbol), self.working_orders(trade.symbol)
        match self.heard % 7:
            case 0 if held.committed < MOST_HELD:
                self.buy(trade.symbol, 10)
            case 1 if held.committed < MOST_HELD:
                self.buy(trade.symbol, 5, limit=trade.price - 0.03)
            case 2:
                self._change(working, trade.price)
            case 3 if working:
                self.cancel(working[0])
            case 4 if held.sellable >= 4:
                self.sell(trade.symbol, 4, limit=trade.price + 0.02, tif="GTC")
            case 5 if held.sellable >= 7:
                self.sell(trade.symbol, 7)
            case 6 if held.committed < MOST_HELD and self.heard % 14 == 6:
                self.bracket(trade.symbol, Side.BUY, 3, stop=trade.price - 0.10, target=trade.price + 0.10)

    def _change(self, working: list[Order], price: float) -> None:
        for order in working:
            if order.request.limit_price == order.request.limit_price and not order.request.parent:
                self.modify(order, limit=order.request.limit_price - 0.01)
                return


class Falling(Busy):
    """The same, and a guard that trips: what it holds loses."""


class Resting(Strategy):
    """Buys, and rests far below the market for the day and until cancelled; the second time it finds them there."""

    def on_start(self) -> None:
        self.subscribe("AAA")

    def on_trade(self, trade: Trade) -> None:
        if not self.position("AAA") and not self.working_orders():
            self.buy("AAA", 10, limit=trade.price - 5.0)
            self.buy("AAA", 10, limit=trade.price - 5.0, tif="GTC")
            self.buy("AAA", 3)


STRATEGIES = {"Busy": Busy, "Falling": Falling, "Resting": Resting}


# -- where a process may be killed -------------------------------------------------------------------------------------


class Fuse:
    """Kills this process the ``nth`` time that a place is passed; at the latest, where so given, at a turn."""

    def __init__(self, place: str, nth: int, turns: int = 0) -> None:
        self.place = place
        self._left = {place: nth, TURN: turns}

    def __call__(self, place: str) -> None:
        if place in self._left:
            self._left[place] -= 1
            if self._left[place] == 0:
                os.kill(os.getpid(), signal.SIGKILL)


TURN = "after sending "
"""Where anything is sent that is neither an order nor a cancel; in lockstep each marker is answered."""
_HEARD: dict[type, str] = {Execution: "execution", Commission: "commission", OpenOrder: "open order"}
_TOLD: dict[type, str] = {OpenOrdersEnd: "open orders told", ExecutionsEnd: "executions told"}
_SENT: dict[type, str] = {PlaceOrder: "order", CancelOrder: "cancel", AskOpenOrders: "asking"}
PLACES = (
    *(f"{when} {kind}" for kind in ("Intended", "ChangeIntended", "Resumed") for when in ("before", "after")),
    "noted CancelIntended", "noted Said", "noted Expected", "flushed",
    *(f"{when} sending {each}" for each in _SENT.values() for when in ("before", "after")),
    *(f"{when} {each}" for each in _HEARD.values() for when in ("before", "after", "flushed")),
    *(f"before {each}" for each in _TOLD.values()), *(f"after {each}" for each in _TOLD.values()),
    "replaying",
)  # fmt: skip
"""Names of places. A before and an after lie around a commit, a send, or the taking in of what TWS said."""
ONCE = frozenset({"before Resumed", "after Resumed", "before Tripped", "after Tripped", "noted Expected", *(
    f"{when} {each}" for each in ("asking", *_TOLD.values()) for when in ("before", "after", "before sending", "after sending")
)})  # fmt: skip
"""Those that a process passes once."""
TRIP_PLACES = ("before Tripped", "after Tripped", "before TripStep", "after TripStep")


def lay(fuse: Fuse) -> None:
    """Have the fuse look on at every place."""
    _around(Journal, "commit", lambda _self, _ts, kind, _body: kind, fuse)
    _around(Journal, "note", lambda _self, _ts, kind, _body: f"noting {kind}", fuse)
    _around(IbGateway, "send", lambda _self, command: f"sending {_SENT.get(type(command), '')}", fuse)
    _around(Adapter, "_hear", lambda _self, record, _now: {**_HEARD, **_TOLD}.get(type(record), ""), fuse)
    _around(Journal, "flush", lambda _self: "flush", fuse)
    played = Replay._pass_on

    def passing(self: Replay) -> None:
        fuse("replaying")
        played(self)

    Replay._pass_on = passing  # type: ignore[method-assign]


def _around(owner: type, name: str, place_of: Callable[..., str], fuse: Fuse) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        place = place_of(self, *arguments, **named)
        fuse(f"before {place}")
        found = original(self, *arguments, **named)
        fuse(f"after {place}")
        if place.startswith("noting "):
            fuse(f"noted {place.removeprefix('noting ')}")
        if place == "flush":
            fuse("flushed")
        if place in _HEARD.values() and fuse.place == f"flushed {place}":
            self.writer._journal.flush()
            fuse(f"flushed {place}")
        return found

    setattr(owner, name, wrapped)


# -- a run -------------------------------------------------------------------------------------------------------------


def settings_of(plan: dict[str, Any]) -> LiveSettings:
    """Settings for the gateway of the tests: in lockstep, or some times as fast as the clock."""
    speed = plan.get("speed")
    pace: dict[str, Any] = {"speed": speed} if speed else {"in_lockstep": True, "messages_per_s": 0}
    return LiveSettings(
        guard=GuardSettings(stale_s=0.0, **plan.get("guard", {})),
        client_id=plan.get("client_id", 1),
        at_end=AtEnd(plan.get("at_end", "cancel")),
        **pace,
    )


def made(plan: dict[str, Any]) -> LiveRun:
    """The run of a plan: a new one, or one that goes on."""
    strategy = STRATEGIES[plan.get("strategy", "Busy")]()
    address = Address("127.0.0.1", plan["port"])
    shared: dict[str, Any] = {"symbols": list(SYMBOLS), "now": plan["now"], "until": plan["until"]}
    if plan.get("locks"):
        shared["locks"] = Path(plan["locks"])
    if plan["resume"]:
        return resume.resume_run(Path(plan["resume"]), strategy, settings_of(plan), address, **shared)
    return make_run(strategy, settings_of(plan), address, out=Path(plan["out"]), **shared)


def result_of(run: LiveRun) -> dict[str, Any]:
    """What a run came to, by both halves' books."""
    side, adapter = run.parts.side, run.parts.adapter
    supervisor = adapter.supervisor
    orders = run.parts.adapter.ib.orders.entries
    return {
        "folder": str(run.folder),
        "why": run.engine.why,
        "halted": adapter.state.halted,
        "trip": adapter.state.trip.text if adapter.state.trip is not None else "",
        "positions": {each.symbol: each.quantity for each in side.session.ledger.positions if each.quantity},
        "cash": side.session.ledger.account.balances["USD"],
        "guarded_positions": {side.session.symbols[j]: supervisor.quantity(j) for j in supervisor.held},
        "guarded_cash": supervisor.cash("USD"),
        "orders": {each.order_ref: [each.status.name, each.filled, each.text] for each in orders.values()},
        "numbers": len(side.session.desk.book),
        "notices": [text for _, text in adapter.state.notices],
    }


def execute(plan: dict[str, Any]) -> None:
    """Execute a plan's run and write its result."""
    if plan.get("trace"):
        import faulthandler

        faulthandler.dump_traceback_later(12, exit=True)
    lay(Fuse(plan["place"], plan["nth"], plan.get("turns", 0)))
    out = Path(plan["out"])
    found: dict[str, Any] = {}
    try:
        run = made(plan)
        try:
            run.run()
        finally:
            found = result_of(run)
    except Exception as error:  # noqa: BLE001  # it is the result
        found["error"] = f"{type(error).__name__}: {error}"
        if plan.get("trace"):
            import traceback

            traceback.print_exc()
    (out / RESULT).write_text(json.dumps(found))


def warm_up() -> None:
    """Load what takes long: forks have it then."""
    compat.load()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Busy(), LiveSettings(in_lockstep=True), Address("127.0.0.1", 1), out=Path(folder), now=10**18)
        run.parts.journal.close()


def serve() -> None:
    """Execute plans until there are no more."""
    warm_up()
    for line in sys.stdin:
        plan = json.loads(line)
        child = os.fork()
        if not child:
            status = 1
            try:
                execute(plan)
                status = 0
            finally:
                os._exit(status)
        if plan.get("after_s"):
            time.sleep(plan["after_s"])
            os.kill(child, signal.SIGKILL)
        _, ended = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(ended)}\n".encode())


if __name__ == "__main__":
    serve()
