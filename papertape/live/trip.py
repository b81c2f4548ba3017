"""What follows a trip of the guard, as a state machine: block, cancel, confirm, flatten, disconnect; each with a deadline.

Pure: it is told what works and what is held, and says what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from papertape.core.model import NS_PER_MS, NS_PER_S
from papertape.core.timers import NEVER

CANCEL_DEADLINE_NS = 10 * NS_PER_S
"""How long the broker may take to confirm that nothing works any more."""
FLATTEN_DEADLINE_NS = 60 * NS_PER_S
FLATTEN_AGAIN_NS = NS_PER_S
FLATTEN_TRIES = 3
"""How often closing orders are given, where those before ended without closing all."""
CONFIRM_NS = 500 * NS_PER_MS
"""A breach that lasts so long is confirmed, where no second price has done so before."""


class TripStage(Enum):
    """Where the sequence stands."""

    IDLE = "idle"
    CANCELLING = "cancel"
    CONFIRMING = "confirm the breach"
    FLATTENING = "flatten"
    DISCONNECTING = "disconnect"
    DONE = "done"


class Action(Enum):
    """What is to be done now."""

    CANCEL = "cancel"
    """Ask for the end of every working order (again)."""
    FLATTEN = "flatten"
    """Send orders that close what is held."""
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Told:
    """A step that was done, in words, for the journal."""

    step: str
    text: str


class TripSequence:
    """One trip's sequence. ``advance`` is called on every event and every now and then.

    ``speed`` is that of a simulated gateway: deadlines are of the clock on the wall.
    """

    def __init__(self, *, flatten: bool, confirmed: bool, disconnect: bool, speed: float = 1.0) -> None:
        self.stage = TripStage.IDLE
        self._flatten = flatten
        self._confirmed = confirmed
        self._disconnect = disconnect
        self._speed = speed
        self._began = 0
        self._deadline = NEVER
        self._equity = 0.0
        self._retried = False
        self._tries = 0
        self._tried_at = 0

    @property
    def is_running(self) -> bool:
        """Whether something is still to be done."""
        return self.stage not in (TripStage.IDLE, TripStage.DONE)

    def begin(self, now: int, equity: float) -> tuple[list[Action], list[Told]]:
        """The guard has tripped, and new orders are blocked already."""
        self.stage = TripStage.CANCELLING
        self._began, self._equity = now, equity
        self._deadline = self._after(now, CANCEL_DEADLINE_NS)
        return [Action.CANCEL], [Told("block", "no new orders"), Told("cancel", "every working order")]

    def _after(self, now: int, wait_ns: int) -> int:
        return now + round(wait_ns * self._speed)

    def advance(
        self, now: int, *, working: int, held: int, equity: float, is_breached: bool, can_send: bool = True
    ) -> tuple[list[Action], list[Told]]:
        """What comes next, with ``working`` orders and ``held`` positions in scope, and net liquidation as it is.

        ``can_send``: whether an order could be sent now; what closes waits for that, as long as its deadline allows.
        """
        actions: list[Action] = []
        told: list[Told] = []
        if self.stage is TripStage.CANCELLING:
            self._cancel(now, working, actions, told)
        if self.stage is TripStage.CONFIRMING:
            self._confirm(now, equity, told, is_breached=is_breached)
        if self.stage is TripStage.FLATTENING:
            self._close(now, working, held, actions, told, can_send=can_send)
        if self.stage is TripStage.DISCONNECTING:
            self.stage = TripStage.DONE
            if self._disconnect:
                actions.append(Action.DISCONNECT)
                told.append(Told("disconnect", "as configured"))
            told.append(Told("done", "the sequence is over; new orders stay blocked"))
        return actions, told

    def _cancel(self, now: int, working: int, actions: list[Action], told: list[Told]) -> None:
        """Every cancel must be confirmed: an order that still works could fill beside one that closes."""
        if working == 0:
            told.append(Told("confirm", "nothing works any more"))
            self.stage = TripStage.CONFIRMING if self._flatten else TripStage.DISCONNECTING
        elif now >= self._deadline and not self._retried:
            self._retried = True
            self._deadline = self._after(now, CANCEL_DEADLINE_NS)
            actions.append(Action.CANCEL)
            told.append(Told("cancel", f"{working} order(s) not confirmed in time; asked again"))
        elif now >= self._deadline:
            told.append(Told("confirm", f"{working} order(s) may still work: cancel them in TWS"))
            if self._flatten:
                told.append(Told("flatten", "not done, because orders may still fill: close positions in TWS"))
            self.stage = TripStage.DISCONNECTING

    def _confirm(self, now: int, equity: float, told: list[Told], *, is_breached: bool) -> None:
        """A single bad price must not close everything: a second one, or half a second, must say the same."""
        is_late = now >= self._after(self._began, CONFIRM_NS)
        is_certain = not self._confirmed or (is_breached and (equity != self._equity or is_late))
        if is_certain:
            self.stage = TripStage.FLATTENING
            self._deadline = self._after(now, FLATTEN_DEADLINE_NS)
        elif is_late and equity == equity:
            told.append(Told("flatten", "not done: the breach did not last; new orders stay blocked"))
            self.stage = TripStage.DISCONNECTING
        elif now >= self._after(self._began, FLATTEN_DEADLINE_NS):
            told.append(Told("flatten", "not done: net liquidation is unknown; look at the positions in TWS"))
            self.stage = TripStage.DISCONNECTING

    def _close(
        self, now: int, working: int, held: int, actions: list[Action], told: list[Told], *, can_send: bool
    ) -> None:
        if held == 0 and working == 0:
            told.append(Told("flatten", "nothing is held any more"))
            self.stage = TripStage.DISCONNECTING
        elif now >= self._deadline:
            told.append(Told("flatten", f"{held} position(s) are still held: close them in TWS"))
            self.stage = TripStage.DISCONNECTING
        elif held and working == 0 and can_send and self._tries < FLATTEN_TRIES:
            if self._tries and now < self._after(self._tried_at, FLATTEN_AGAIN_NS):
                return
            self._tries += 1
            self._tried_at = now
            actions.append(Action.FLATTEN)
            told.append(Told("flatten", f"{held} position(s)" + (" again" if self._tries > 1 else "")))
