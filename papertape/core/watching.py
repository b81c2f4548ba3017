"""Which instruments the feed delivers, and why: subscribed to, held, or ordered."""

from __future__ import annotations

import numpy as np

from papertape.core.filters import Filter
from papertape.core.ledger import Ledger
from papertape.core.model import EventKind
from papertape.core.ports import Feed
from papertape.core.subscriptions import Subscriptions


class Watchlist:
    """Keeps the feed delivering exactly what is subscribed to, held or ordered.

    ``changed`` is set when the rest of the present batch is void because of a change.
    """

    __slots__ = ("_bars", "_feed", "_hears", "_ledger", "_records", "changed", "subscriptions", "unheard", "watched")

    def __init__(self, feed: Feed, ledger: Ledger, *, trades: bool, quotes: bool, bars: bool) -> None:
        self._feed = feed
        self._ledger = ledger
        self._records = ledger.state.instruments
        self._hears = {EventKind.TRADE: trades, EventKind.QUOTE: quotes}
        self._bars = bars
        self.watched: set[int] = set()
        """What the feed delivers."""
        self.unheard: set[int] = set()
        """Watched because held or ordered only."""
        self.subscriptions = Subscriptions()
        self.changed = False

    def watch(self, j: int, now: int) -> None:
        """Have an instrument delivered from now on; its last known prices are taken at once, and wake nobody."""
        if j in self.watched:
            return
        self.watched.add(j)
        self.unheard.add(j)
        image = self._feed.watch(j, now)
        if image is not None:
            self._ledger.note_image(j, image.last, image.bid, image.ask, image.ts)
        self._records["has_trades"][j] = EventKind.TRADE in self._feed.kinds(j)
        self._changed()

    def follow(self, j: int, now: int) -> None:
        """Have an instrument delivered for the whole run, though nothing of it is heard."""
        self.watch(j, now)
        self.unheard.discard(j)

    def release(self, j: int) -> None:
        """Stop following an instrument that is neither held, nor ordered, nor subscribed to."""
        r = self._records[j]
        if j not in self.unheard or r["quantity"] != 0.0 or r["head"] >= 0:
            return
        self.watched.discard(j)
        self.unheard.discard(j)
        self._feed.unwatch(j)
        for name in ("last", "mark", "bid", "ask"):
            r[name] = np.nan  # nobody looks any more: unknown
        r["last_ts"] = 0
        r["quote_ts"] = 0
        self._changed()

    def hear(self, j: int, when: Filter | None, bars_ns: int | None, now: int, warmup: int = 0) -> list[EventKind]:
        """Subscribe the strategy to an instrument; returns the kinds of event that it will hear of it."""
        self.watch(j, now)
        available = self._feed.kinds(j)
        heard = [kind for kind, wanted in self._hears.items() if wanted and kind in available]
        if self._bars:
            bars = self._feed.watch_bars(j, bars_ns, now, warmup)
            if bars is not None and self._feed.restarts:
                heard.append(bars)
            elif bars is not None:  # live: whether a bar marks depends on whether anything else comes
                heard += [EventKind.BAR, EventKind.BAR_VIEW]
        for kind in heard:
            self.subscriptions.hear(kind, j, when)
        if heard:
            self.unheard.discard(j)
        self._changed()
        return heard

    def forget(self, j: int) -> None:
        """Unsubscribe the strategy from an instrument."""
        self.subscriptions.forget(j)
        if j in self.watched:
            self.unheard.add(j)
            self.release(j)
        self._changed()

    def _changed(self) -> None:
        self.changed = self.changed or self._feed.restarts
