"""The journal in memory: decisions and what came of them, byte for byte the same for the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from papertape.core.model import OrderStatus, Scan
from papertape.core.orders import OrderRequest
from papertape.core.requests import Reply
from papertape.core.state import REASON_TEXT, Reason, State


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

    def encode(self, symbols: list[str]) -> bytes:
        """All records, one JSON object a line, in the order of happening."""
        encoder = msgspec.json.Encoder(enc_hook=str)
        lines: list[bytes] = []
        for record in self._records:
            if record[0] == "reports":
                lines.extend(encoder.encode(each) for each in self._reports(record[1], record[2], symbols))
            else:
                lines.append(encoder.encode(_plain(record)))
        return b"\n".join(lines) + b"\n" if lines else b""

    def _reports(self, begin: int, end: int, symbols: list[str]) -> list[list[Any]]:
        found: list[list[Any]] = []
        for x in self._state.reports[begin:end]:
            head = [int(x["ts"]), int(x["order"]) + 1, symbols[x["instrument"]], OrderStatus(int(x["status"])).name]
            if x["quantity"] > 0.0:
                found.append(["fill", *head, float(x["quantity"]), float(x["price"]), float(x["fee"])])
            else:
                found.append(["status", *head, REASON_TEXT[Reason(int(x["reason"]))]])
        return found


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
