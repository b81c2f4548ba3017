"""A connected client as the desks see it: who it is, and where replies to it go."""

from __future__ import annotations

from gateway.protocol.replies import Error, Reply
from papertape.core.model import NS_PER_MS

UNSTARTED = -1
"""Client id of a connection that has not sent startApi yet."""


class Client:
    """One API connection. ``outbox`` holds what is to be sent, in order: replies, or frames that are encoded already.

    Whoever owns the connection empties the outbox after every call; a client that is ``closing`` is disconnected once
    its outbox was sent. ``number`` counts connections, so that a client id that comes again is told apart.
    """

    __slots__ = ("closing", "id", "number", "outbox", "version")

    def __init__(self, number: int, version: int) -> None:
        self.number = number
        self.version = version
        self.id = UNSTARTED
        self.outbox: list[Reply | bytes] = []
        self.closing = ""
        """Why the server ends the connection; empty while it does not."""

    def send(self, reply: Reply) -> None:
        """Queue a reply."""
        self.outbox.append(reply)

    def send_frame(self, frame: bytes) -> None:
        """Queue a frame that is encoded for this client's version already (market data that many clients get)."""
        self.outbox.append(frame)

    def error(self, request: int, code: int, text: str, now: int) -> None:
        """Queue an error or notice about a request (-1: about none) at exchange time ``now`` (ns)."""
        self.outbox.append(Error(request, code, text, ms=now // NS_PER_MS))

    def take(self) -> list[Reply | bytes]:
        """Empty the outbox."""
        taken, self.outbox = self.outbox, []
        return taken

    def __repr__(self) -> str:
        return f"<Client {self.id} of connection {self.number}, version {self.version}>"
