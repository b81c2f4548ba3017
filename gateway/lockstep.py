"""Replays that are fast and deterministic: the market waits for named clients after every step.

After each step (all events of one exchange time, or a second without any) each of them gets one unsolicited
``currentTime``, the marker, and answers it with exactly one ``reqCurrentTime`` once everything before it was processed
and all that it wanted to send is sent. What they asked in a round takes effect in the order (client id, arrival), at
the step's time; then another marker follows. The market goes on after a round in which nobody asked anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.clients import UNSTARTED, Client
from gateway.protocol import replies, requests
from gateway.protocol.requests import Request
from gateway.tws import Tws
from papertape.core.errors import ConfigError, PeerError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER

MOST_PENDING = 10_000
"""Requests that one client may make in one round."""


class Lockstep:
    """Plays a Tws in rounds. ``ids`` are the client ids that are waited for; others are served at once, promised nothing.

    The owner of the connections hands every request to :meth:`request`, and calls :meth:`turn` while :attr:`is_ready`.
    """

    def __init__(self, tws: Tws, ids: Sequence[int]) -> None:
        if not ids or len(set(ids)) != len(ids):
            raise ConfigError("lockstep needs client ids, each once")
        self.tws = tws
        self.ids = tuple(sorted(ids))
        self.rounds = 0
        """Markers that were answered by all."""
        self.steps = 0
        """Steps that were played; those in a row of which no client hears anything count as one."""
        self.is_over = False
        """Whether the tape has ended and nobody asked anything then; requests are now answered at once, as they come."""
        self._marked_s = -1
        """Second of exchange time of the last marker."""
        self._is_answered = False
        """Whether the last marker's round is counted: silent steps belong to it."""
        self._members: dict[int, Client] = {}
        self._answered: set[int] = set()
        self._asked: dict[int, list[Request]] = {each: [] for each in ids}
        self._early: dict[int, list[Request]] = {each: [] for each in ids}
        """Requests that came after the answer to a marker: they belong to the next round."""

    @property
    def is_ready(self) -> bool:
        """Whether every client is there and has answered the last marker."""
        return len(self._answered) == len(self.ids)

    def waiting_for(self) -> list[int]:
        """Client ids that are not there, or have not answered."""
        return [each for each in self.ids if each not in self._answered]

    def request(self, client: Client, request: Request) -> None:
        """A client asks for something. PeerError where it answers a marker twice or asks for more than it may."""
        if client.id == UNSTARTED:
            self.tws.request(client, request)
            if client.id in self._asked and not client.closing:
                self._members[client.id] = client
                if not self.is_over:
                    self._mark(client)
        elif self._members.get(client.id) is not client or self.is_over:
            self.tws.request(client, request)
        elif isinstance(request, requests.CurrentTime):
            if client.id in self._answered:
                raise PeerError(
                    f"client {client.id} answered a marker twice; lockstep needs exactly one reqCurrentTime"
                )
            self._answered.add(client.id)
        else:
            queue = (self._early if client.id in self._answered else self._asked)[client.id]
            if len(queue) >= MOST_PENDING:
                raise PeerError(f"client {client.id} made more than {MOST_PENDING} requests in one round")
            queue.append(request)

    def disconnected(self, client: Client) -> None:
        """A connection has ended: the market waits until the client is there again."""
        if self._members.get(client.id) is client:
            del self._members[client.id]
            self._answered.discard(client.id)
            self._asked[client.id].clear()
            self._early[client.id].clear()

    def turn(self, apply_due: Callable[[], bool] = lambda: False, due_ts: int = NEVER) -> None:
        """After everybody's answer: do what was asked, or play the next step; then ask for another answer.

        ``apply_due`` then lets happen what is due beside the market, from ``due_ts`` on, before the marker, so that clients
        have all of it when they answer; it says whether there was anything. After a silent step nobody is asked:
        :attr:`is_ready` stays, and the next turn plays on.
        """
        assert self.is_ready, "somebody has not answered yet"
        assert not self.is_over, "nothing is left to play"
        if not self._is_answered:
            self._is_answered = True
            self.rounds += 1
        asked = [(self._members[each], request) for each in self.ids for request in self._asked[each]]
        for each in self.ids:
            self._asked[each], self._early[each] = self._early[each], []
        if asked:
            for client, request in asked:
                self.tws.request(client, request)
            apply_due()
        elif self.tws.next_ts == NEVER:
            self.is_over = True
            return
        else:
            self.steps += 1
            is_silent = self._play_next(due_ts)
            was_due = apply_due()
            if is_silent and not was_due and not any(self._asked.values()):
                return
        self._answered.clear()
        self._is_answered = False
        for client in self._members.values():
            self._mark(client)

    def _play_next(self, due_ts: int) -> bool:
        """Play a step, or steps of which no client hears anything; whether it was silent."""
        members = self._members.values()
        before = [len(each.outbox) for each in members]
        if not self.tws.play_unheard(min(due_ts, (self._marked_s + 1) * NS_PER_S)):
            self.tws.play_next()
        return self.tws.now // NS_PER_S == self._marked_s and before == [len(each.outbox) for each in members]

    def _mark(self, client: Client) -> None:
        self._marked_s = self.tws.now // NS_PER_S
        client.send(replies.Time(self._marked_s))
