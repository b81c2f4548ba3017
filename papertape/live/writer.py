"""Writes what happens into the journal of a run: the kind of an entry is its class, instruments come before what names them."""

from __future__ import annotations

from brokers.ib.registry import Registry
from papertape.live import entries
from papertape.live.entries import Entry
from papertape.live.journal import Journal


class EntryWriter:
    """One run's entries. After :meth:`give_up` nothing is written any more."""

    def __init__(self, journal: Journal, registry: Registry) -> None:
        self._journal = journal
        self._registry = registry
        self.known = 0
        """Instruments that the journal has."""
        self._has_given_up = False

    def note(self, now: int, entry: Entry) -> None:
        """Write an entry that is durable within 50 ms. Raises JournalError."""
        if not self._has_given_up:
            self._note_new(now)
            self._journal.note(now, type(entry).__name__, entries.encode(entry))

    def commit(self, now: int, entry: Entry) -> None:
        """Write an entry that is durable on return, with all before it. Raises JournalError: its effect must not follow."""
        if not self._has_given_up:
            self._note_new(now)
            self._journal.commit(now, type(entry).__name__, entries.encode(entry))

    def note_instrument(self, j: int, now: int) -> None:
        """TWS has defined an instrument that was there before."""
        if j < self.known and not self._has_given_up:
            self._note_known(j, now)

    @property
    def has_given_up(self) -> bool:
        """Whether nothing can be journaled any more, so that no order may be sent."""
        return self._has_given_up

    def give_up(self) -> None:
        """The journal takes nothing more: what follows can only be the end of orders."""
        self._has_given_up = True

    def _note_new(self, now: int) -> None:
        while self.known < len(self._registry):
            self._note_known(self.known, now)
            self.known += 1

    def _note_known(self, j: int, now: int) -> None:
        each = self._registry.instruments[j]
        entry = entries.Known(
            j, each.symbol, each.type.value, each.currency, each.exchange, each.tick_size, each.multiplier,
            self._registry.con_ids[j],
        )  # fmt: skip
        self._journal.note(now, "Known", entries.encode(entry))
