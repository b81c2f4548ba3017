"""What follows a trip of the guard or a halt: orders are cancelled, positions closed where so configured, step by step.

On the adapter side, so that no strategy can delay it. Every step is journaled and said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from brokers.ib import events
from brokers.ib.commands import CancelAll
from brokers.ib.session import IbSession
from papertape.core.guard import Scope
from papertape.core.model import NS_PER_S
from papertape.core.state import Reason
from papertape.live import entries
from papertape.live.inbox import Inbox
from papertape.live.submission import Decided, Submission
from papertape.live.supervisor import Supervisor
from papertape.live.trip import Action, Told, TripSequence
from papertape.live.writer import EntryWriter

FIRST_GUARD_NUMBER = 1_000_000_000
"""Numbers of orders of the guard's own begin here, above all that a strategy can give."""
ASK_OPEN_NS = NS_PER_S
"""How often open orders of others are asked for, while a trip waits for their end."""


class Safeguard:
    """Runs the sequence of one run. ``leave`` ends the connection for good."""

    def __init__(
        self,
        *,
        ib: IbSession,
        supervisor: Supervisor,
        submission: Submission,
        writer: EntryWriter,
        inbox: Inbox,
        say: Callable[[int, str], None],
        leave: Callable[[int], None],
    ) -> None:
        settings = supervisor.settings
        self.sequence = TripSequence(
            flatten=settings.flatten,
            confirmed=settings.flatten_confirmed,
            disconnect=settings.disconnect,
            speed=1.0 if ib.settings.in_lockstep else ib.settings.speed,
        )
        self.next_number = FIRST_GUARD_NUMBER
        self._ib = ib
        self._supervisor = supervisor
        self._submission = submission
        self._writer = writer
        self._inbox = inbox
        self._say = say
        self._leave = leave
        self._asked_open = 0

    @property
    def _is_account(self) -> bool:
        return self._supervisor.settings.scope is Scope.ACCOUNT

    def begin(self, now: int) -> None:
        """The guard has tripped (also in a process before this one, which did not finish what follows)."""
        self._do(*self.sequence.begin(now, self._supervisor.equity), now)

    def advance(self, now: int) -> None:
        """Go on with the sequence, as far as it can now."""
        if not self.sequence.is_running:
            return
        working = len(self._ib.orders.working())
        if self._is_account:
            working += len(self._ib.orders.foreign)
            self._look_at_foreign(now)
        supervisor = self._supervisor
        actions, told = self.sequence.advance(
            now,
            working=working,
            held=len(self.held()),
            equity=supervisor.equity,
            is_breached=supervisor.is_breached,
            can_send=self._ib.is_ready,
        )
        self._do(actions, told, now)

    def _look_at_foreign(self, now: int) -> None:
        """TWS does not say how orders of others end: it is asked."""
        if self._ib.orders.foreign and self._ib.is_ready and now - self._asked_open >= ASK_OPEN_NS:
            self._asked_open = now
            self._ib.orders.ask_open()

    def held(self) -> Mapping[int, float]:
        """What a trip would close: instrument -> signed quantity."""
        if self._is_account:
            return {j: self._supervisor.quantity(j) for j in self._supervisor.held}
        return self._ib.orders.positions

    def _do(self, actions: Sequence[Action], told: Sequence[Told], now: int) -> None:
        for step in told:
            self._writer.commit(now, entries.TripStep(step.step, step.text))
            self._say(now, f"guard: {step.step}: {step.text}")
        for action in actions:
            _ACTIONS[action](self, now)

    def cancel_working(self, now: int) -> None:
        """Ask for the end of every working order in scope, also where that was asked before."""
        for entry in self._ib.orders.working():
            self._submission.cancel(entry.number, Reason.GUARD, now, again=True)
        if self._is_account and self._ib.orders.foreign:
            self._ib.send(CancelAll())

    def _flatten(self, now: int) -> None:
        if self._writer.has_given_up:
            self._say(now, "guard: flatten: not done, since no order can be journaled; close what is held in TWS")
            return
        for approved in self._supervisor.flattening(self.held()):
            number, self.next_number = self.next_number, self.next_number + 1
            self._inbox.put([events.GuardOrdered(number, approved.request, now)])
            self._submission.place([Decided(number, approved, now, math.nan)], now, by_guard=True)

    def _disconnect(self, now: int) -> None:
        self._leave(now)


_ACTIONS: Mapping[Action, Callable[[Safeguard, int], None]] = {
    Action.CANCEL: Safeguard.cancel_working,
    Action.FLATTEN: Safeguard._flatten,
    Action.DISCONNECT: Safeguard._disconnect,
}
