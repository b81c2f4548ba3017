"""The journal in memory: decisions and what came of them, byte for byte the same for the same run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from papertape.core.model import OrderStatus, Scan
from papertape.core.orders import OrderRequest
from papertape.core.requests import Reply
from papertape.core.state import REASON_TEXT, Reason, State

_AT_ONCE = 4096
_REPORT_FIELDS = ("ts", "order", "instrument", "status", "reason", "quantity", "price", "fee")
_STATUS_NAMES = {int(status): status.name for status in OrderStatus}


class MemoryJournal:
    """Keeps records as they are written and encodes them when asked: one JSON object a line.

    Fills are not copied when they happen: the journal notes which of the state's reports came before which
    decision, and reads them from the state when it is encoded.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._records: list[tuple[Any, ...]] = []
        self.write: Callable[[tuple[Any, ...]], None] = self._records.append
        """Append a decision."""

    def write_reports(self, begin: int, end: int) -> None:
        """Append reports [begin, end) of the state."""
        self._records.append(("reports", begin, end))

    def __len__(self) -> int:
        return len(self._records)

    def plain_since(self, first: int, most: int, kinds: Collection[str]) -> tuple[list[list[Any]], int]:
        """At most so many decisions of some kinds from record ``first`` on, JSON-able, and the first record behind them."""
        found: list[list[Any]] = []
        at = first
        while at < len(self._records) and len(found) < most:
            if self._records[at][0] in kinds:
                found.append(msgspec.to_builtins(_plain(self._records[at]), enc_hook=str))
            at += 1
        return found, at

    def encode(self, symbols: list[str]) -> bytes:
        """All records, one JSON object a line, in the order of happening."""
        return msgspec.json.Encoder(enc_hook=str).encode_lines(self._lines(symbols))

    def _lines(self, symbols: list[str]) -> Iterator[list[Any]]:
        reports = self._report_lines(symbols)
        journaled = 0
        for record in self._records:
            if record[0] == "reports":
                assert record[1] == journaled, "reports are journaled one after the other, each once"
                journaled = record[2]
                yield from itertools.islice(reports, record[2] - record[1])
            else:
                yield _plain(record)

    def _report_lines(self, symbols: list[str]) -> Iterator[list[Any]]:
        """All reports, oldest first, read from the state some thousand at a time: one by one takes five times longer."""
        for begin in range(0, len(self._state.reports), _AT_ONCE):
            rows = self._state.reports[begin : begin + _AT_ONCE]
            columns = (rows[name].tolist() for name in _REPORT_FIELDS)
            for ts, order, instrument, status, reason, quantity, price, fee in zip(*columns, strict=True):
                head = (ts, order + 1, symbols[instrument], _STATUS_NAMES[status])
                if quantity > 0.0:
                    yield ["fill", *head, quantity, price, fee]
                else:
                    yield ["status", *head, REASON_TEXT[Reason(reason)]]


def _plain(record: tuple[Any, ...]) -> list[Any]:
    """A record as JSON-able values; an order request becomes what it asks for."""
    out: list[Any] = []
    for value in record:
        if isinstance(value, OrderRequest):
            out += [
                value.symbol, value.side.name, value.quantity, value.type.name, value.limit_price, value.stop_price,
                value.trail, value.tif.name, value.group, value.parent, value.tag,
            ]  # fmt: skip
        elif isinstance(value, Reply):
            answer = value.value
            if isinstance(answer, Scan):
                answer = [answer.code, answer.symbols, answer.source, answer.note]
            out += [sorted(value), list(value.missing), answer]
        else:
            out.append(value)
    return out
