"""What a run says of itself while it happens: notes, log lines, guard events, scans, the strategy's own series."""

from __future__ import annotations

from papertape.core.model import Note, Scan, Severity
from papertape.core.record import GuardEvent

LOG_LINES = 100_000
"""Most lines of a strategy's own that a run keeps."""
CUSTOM_POINTS = 1_000_000
"""Most values that a run keeps of one series of ``record()``."""
GUARD_EVENTS = 10_000
"""Most events of the guard that a run lists."""


class RunLog:
    """Bounded lists; what no longer fits is counted in a note."""

    __slots__ = ("custom", "daily", "guard", "lines", "notes", "scans")

    def __init__(self) -> None:
        self.notes: dict[str, Note] = {}
        self.lines: list[tuple[int, str]] = []
        self.custom: dict[str, list[tuple[int, float]]] = {}
        self.guard: list[GuardEvent] = []
        self.scans: list[Scan] = []
        self.daily: list[tuple[int, int, float]] = []
        """(date, time of the close, equity) of each session that closed."""

    def note(self, code: str, text: str, severity: Severity = Severity.WARNING) -> None:
        """Note something that the report must say; equal codes are counted."""
        known = self.notes.get(code)
        self.notes[code] = Note(code, text, severity, 1 if known is None else known.count + 1)

    def say(self, ts: int, text: str) -> None:
        """Keep what the strategy says, a text of several lines (a table) as so many."""
        for line in text.split("\n"):
            if len(self.lines) < LOG_LINES:
                self.lines.append((ts, line))
            else:
                self.note("log_more", f"the strategy logged more than {LOG_LINES} lines; the rest is not kept")

    def record(self, ts: int, name: str, value: float) -> None:
        """Keep a value of a series of the strategy's own."""
        series = self.custom.setdefault(name, [])
        if len(series) < CUSTOM_POINTS:
            series.append((ts, value))
        else:
            self.note("record_more", f"record({name!r}) has more than {CUSTOM_POINTS} values; the rest is not kept")

    def guarded(self, ts: int, kind: str, rule: str, text: str) -> None:
        """Keep an event of the guard."""
        if len(self.guard) < GUARD_EVENTS:
            self.guard.append(GuardEvent(ts, kind, rule, text))
        else:
            self.note("guard_more", f"the guard acted more than {GUARD_EVENTS} times; the rest is not listed")
