"""From the columns of texts to series: several texts of one symbol and kind, one a day for example, become one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from feeds.cache import ColumnCache, text_key
from feeds.column_store import Column, ColumnStore, MemoryColumns, StoreError
from feeds.csv_finish import CHUNK_ROWS, FileDetail, Span
from feeds.timestamps import iso
from papertape.core.errors import DataError
from papertape.core.model import EventKind
from papertape.core.series import COLUMNS, I8, Series


@dataclass(frozen=True, slots=True, eq=False)
class TextColumns:
    """What one text held. ``rank`` is its place among the texts."""

    shown: str
    rank: int
    detail: FileDetail
    columns: dict[str, Column]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One symbol's rows in one text."""

    text: TextColumns
    span: Span

    def column(self, name: str) -> Column:
        return self.text.columns[name][self.span.begin : self.span.end]

    @property
    def first(self) -> int:
        return int(self.column("ts")[0])

    @property
    def last(self) -> int:
        return int(self.column("ts")[-1])


def join_texts(texts: Sequence[TextColumns], cache: ColumnCache | None) -> tuple[list[Series], str]:
    """The series of texts in order of rank, and why joined columns could not be cached ("" where they could).

    Raises DataError where two texts of a symbol and kind overlap in time.
    """
    groups: dict[tuple[str, int], list[_Part]] = {}
    for text in texts:
        for span in text.detail.spans:
            groups.setdefault((span.symbol, text.detail.kind), []).append(_Part(text, span))
    ranks = _joint_ranks(groups)
    offsets = _row_offsets(texts)
    series = []
    trouble = ""
    for (symbol, kind), parts in groups.items():
        parts.sort(key=lambda part: (part.first, part.last))
        _refuse_overlap(symbol, EventKind(kind), parts)
        rank = ranks[parts[0].text.rank]
        if len(parts) == 1:
            part = parts[0]
            columns = {name: part.column(name) for name in part.text.columns}
            if "row" in columns and offsets[part.text.rank]:
                columns["row"] = columns["row"] + offsets[part.text.rank]
        else:
            columns, failed = _joined(parts, offsets, cache)
            trouble = trouble or failed
        source = parts[0].text.shown if len(parts) == 1 else f"{parts[0].text.shown} and {len(parts) - 1} more"
        series.append(
            Series(
                symbol,
                EventKind(kind),
                columns["ts"],
                tuple(columns[name] for name in COLUMNS[EventKind(kind)]),
                start=columns.get("start"),
                row=columns.get("row"),
                rank=rank,
                source=source,
            )
        )
    return sorted(series, key=lambda each: each.rank), trouble


def _joint_ranks(groups: dict[tuple[str, int], list[_Part]]) -> dict[int, int]:
    """Text's rank -> the lowest rank of all texts that share a symbol with it, directly or through others.

    Events of one time in one text must keep their order also where some of its symbols began in earlier texts.
    """
    ranks: dict[int, int] = {}

    def lowest(rank: int) -> int:
        while ranks.setdefault(rank, rank) != rank:
            rank = ranks[rank]
        return rank

    for parts in groups.values():
        for part in parts:
            one, other = sorted((lowest(parts[0].text.rank), lowest(part.text.rank)))
            ranks[other] = one
    return {rank: lowest(rank) for rank in list(ranks)}


def _row_offsets(texts: Sequence[TextColumns]) -> dict[int, int]:
    """Text's rank -> number of rows in the texts that begin before it, so that joined rows keep rising.

    Zero throughout where no text has several symbols.
    """
    offsets: dict[int, int] = {}
    total = 0
    several = any("row" in text.columns for text in texts)
    for text in sorted(texts, key=lambda each: (each.detail.first_ts, each.detail.last_ts, each.rank)):
        offsets[text.rank] = total if several and len(texts) > 1 else 0
        total += int(text.detail.rows)
    return offsets


def _refuse_overlap(symbol: str, kind: EventKind, parts: Sequence[_Part]) -> None:
    for before, after in itertools.pairwise(parts):
        touching = after.first == before.last and kind is not EventKind.BAR
        if after.first <= before.last and not touching:
            raise DataError(
                f"{symbol} overlaps with {before.text.shown}: this begins at {iso(after.first)}, that ends at "
                f"{iso(before.last)}; name one of them, or cut them apart",
                path=after.text.shown,
            )


def _joined(
    parts: Sequence[_Part], offsets: dict[int, int], cache: ColumnCache | None
) -> tuple[dict[str, Column], str]:
    """The columns of parts one behind the other, and why they could not be cached."""
    trouble = ""
    if cache is not None:
        words = [f"{p.text.detail.digest},{p.span.begin},{p.span.end},{p.text.detail.sessions}" for p in parts]
        words += [f"{p.text.shown},{offsets[p.text.rank]},{p.first},{p.last}" for p in parts]
        writer = None
        try:
            key = text_key("joined", *words, *(_checks(part) for part in parts))
            found = cache.find(key)
            if found is not None:
                return found.columns, ""
            writer = cache.begin(key)
            _append_all(parts, offsets, writer.store)
            shown = f"{parts[0].text.shown} and {len(parts) - 1} more: {parts[0].span.symbol}"
            return writer.publish(shown, msgspec.json.encode(len(parts))).columns, ""
        except StoreError as error:
            if writer is not None:
                writer.discard()
            trouble = str(error)
    store = MemoryColumns()
    _append_all(parts, offsets, store)
    return store.columns(), trouble


def _checks(part: _Part) -> str:
    """What tells apart columns that were read from one text with different options."""
    values = [part.column(name)[[0, -1]].tolist() for name in part.text.columns]
    return repr(values)


def _append_all(parts: Sequence[_Part], offsets: dict[int, int], store: ColumnStore) -> None:
    with_rows = any("row" in part.text.columns for part in parts)
    for part in parts:
        names = [name for name in part.text.columns if name != "row"]
        size = part.span.end - part.span.begin
        for begin in range(0, size, CHUNK_ROWS):
            end = min(begin + CHUNK_ROWS, size)
            for name in names:
                store.append(name, part.column(name)[begin:end])
            if with_rows:
                rows: I8 = part.column("row")[begin:end] if "row" in part.text.columns else np.arange(begin, end)
                store.append("row", rows + offsets[part.text.rank])
