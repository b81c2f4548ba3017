from __future__ import annotations
import math
import numpy as np
from brokers.ib import asks
from brokers.ib.events import BarClosed, QuoteTick, TradeTick
from papertape.core.model import EventKind, Instrument
from papertape.core.requests import ConfirmRequest, Reply
from papertape.core.series import Batch


def make_batches(events, after_ts):
    n = len(events)
    ts = np.empty(n, np.int64)
    kind = np.empty(n, np.uint8)
    inst = np.empty(n, np.int32)
    cols = [np.zeros(n) for _ in range(5)]
    start = np.zeros(n, np.int64)
    last = after_ts
    for i, e in enumerate(events):
        last = max(last, e.received_ts)
        ts[i] = last
        inst[i] = e.instrument
        if isinstance(e, TradeTick):
            kind[i] = EventKind.TRADE
            vals = (e.price, e.size)
        elif isinstance(e, QuoteTick):
            kind[i] = EventKind.QUOTE
            vals = (e.bid, e.ask, e.bid_size, e.ask_size)
        else:
            kind[i] = EventKind.BAR_VIEW
            vals = (e.open, e.high, e.low, e.close, e.volume)
            start[i] = e.start
        for c, v in zip(cols, vals):
            c[i] = v
    return [Batch(ts, kind, inst, tuple(cols), start)]


class IbFeed:
    def __init__(self, registry, *, post, calendar):
        self.registry = registry
        self.post = post
        self.instruments = registry.instruments
        self.sync = lambda: None

    restarts = False

    def find(self, symbol):
        j, _ = self.registry.add(Instrument(symbol))
        self.sync()
        return j

    def watch(self, j, now):
        self.post(asks.Know(j, self.registry.instruments[j], self.registry.con_ids[j]))
        self.post(asks.Watch(j))
        return None

    def unwatch(self, j):
        self.post(asks.Unwatch(j))

    def watch_bars(self, j, interval_ns, now):
        return None

    def kinds(self, j):
        return frozenset({EventKind.TRADE, EventKind.QUOTE})

    def ask(self, request, now):
        if isinstance(request, ConfirmRequest):
            return Reply(request, {}, value=True)
        self.post(asks.Put(request))
        return None
