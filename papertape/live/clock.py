"""What time it is in a live run: TWS's clock, not this machine's. Times are UTC nanoseconds."""

from __future__ import annotations

import time

from papertape.core.model import NS_PER_S


class SteppedClock:
    """In lockstep: the time is what the gateway's last marker said."""

    def __init__(self) -> None:
        self._now = 0

    def begin_at(self, ts: int) -> None:
        """It is at least so late: a run that goes on knows from its journal."""
        self._now = max(self._now, ts)

    def now(self) -> int:
        """The present time."""
        return self._now

    def heard(self, ts_s: int, asked_ns: int) -> None:
        """TWS said a time."""
        self._now = max(self._now, ts_s * NS_PER_S)


class WallClock:
    """The clock of this machine, moved to agree with TWS's, and never back once that was heard.

    TWS tells whole seconds, so what it says bounds the difference from both sides: it was at least ``ts_s`` when the
    answer came, and less than ``ts_s + 1`` when it was asked. Where no difference is between the bounds, there is none.
    ``speed`` is that of a simulated gateway.
    """

    def __init__(self, speed: float = 1.0, now: int | None = None) -> None:
        """``now`` is TWS's time (UTC ns) where that is not this machine's: a simulated one may live in another year."""
        self.speed = speed
        self._began_ns = time.monotonic_ns()
        self._start = time.time_ns() if now is None else now
        self._least, self._most = -(2**62), 2**62
        self._offset = 0
        self._last = 0
        self._was_heard = False

    def begin_at(self, ts: int) -> None:
        """A run that goes on: this clock is that of the world, and has gone on by itself."""

    def _raw(self, monotonic_ns: int) -> int:
        return self._start + round((monotonic_ns - self._began_ns) * self.speed)

    def now(self) -> int:
        """The present time."""
        self._last = max(self._last, self._raw(time.monotonic_ns()) + self._offset)
        return self._last

    def heard(self, ts_s: int, asked_ns: int) -> None:
        """TWS said ``ts_s`` (seconds since 1970) just now, when asked at ``asked_ns`` (of ``time.monotonic_ns``)."""
        received = self._raw(time.monotonic_ns())
        least, most = ts_s * NS_PER_S - received, (ts_s + 1) * NS_PER_S - self._raw(asked_ns)
        self._least, self._most = max(self._least, least), min(self._most, most)
        if self._least > self._most:  # one of the clocks was set: begin anew
            self._least, self._most = least, most
        if not self._least <= self._offset <= self._most:
            self._offset = self._least if abs(self._least) < abs(self._most) else self._most
        if not self._was_heard:  # nothing has happened yet, so the clock may still be set back
            self._was_heard = True
            self._last = 0

    @property
    def difference_s(self) -> float:
        """Seconds by which TWS's clock is ahead of this machine's; 0 where it can not be told from it."""
        return self._offset / NS_PER_S
