"""The CSV feed's front door: paths in, series out, through the column cache.

The parser is imported when a text must be parsed: it costs more than to map all that was parsed before.
Formats, aliases and what happens to bad input: docs/data-formats.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from feeds.cache import ColumnCache, EntryWriter, file_key
from feeds.column_store import Column, ColumnStore, MemoryColumns, StoreError
from feeds.csv_finish import FileDetail, Finding, sessions_digest
from feeds.csv_join import TextColumns, join_texts
from feeds.csv_options import BarStamp, CsvOptions, Loaded, OnBad
from feeds.csv_sources import Source, find_sources
from papertape.core.errors import DataError
from papertape.core.model import Note, Severity

__all__ = ["BarStamp", "CsvOptions", "Loaded", "OnBad", "read_csv"]


def read_csv(
    paths: Sequence[str | Path],
    options: CsvOptions,
    *,
    cache: ColumnCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Loaded:
    """Read files, folders (recursively, sorted) and patterns of CSV text, packed or not, into series.

    There is one series for each symbol and kind; its rank is the place of its first file among all that were found.
    With a ``cache``, texts that were read before are mapped into memory, and the series' arrays are memory-mapped.
    ``progress`` is called with bytes done and bytes in all. Raises DataError (the whole of what is wrong with the
    first file that can not be used) and ConfigError.
    """
    sources = find_sources(paths)
    meter = _Meter(sources, progress)
    texts: list[TextColumns] = []
    unwritable = ""
    for rank, source in enumerate(sources):
        meter.begin(source)
        detail, columns, trouble = _columns_of(source, options, cache, meter)
        unwritable = unwritable or trouble
        texts.append(TextColumns(source.shown, rank, detail, columns))
        meter.end()
    series, trouble = join_texts(texts, cache)
    unwritable = unwritable or trouble
    if cache is not None:
        cache.evict()
    notes = _notes(texts)
    if unwritable:
        notes.append(Note("cache", f"the column cache cannot be written ({unwritable}); the next run parses again"))
    return Loaded(tuple(series), tuple(notes), _fingerprint(texts, options))


class _Meter:
    """Adds up the progress of several files."""

    def __init__(self, sources: Sequence[Source], progress: Callable[[int, int], None] | None) -> None:
        self._progress = progress
        self._sizes: dict[Path, int] = {}
        for source in sources:
            try:
                self._sizes.setdefault(source.path, source.path.stat().st_size)
            except OSError:
                self._sizes[source.path] = 0  # it is about to be refused by name
        self._total = sum(self._sizes.values())
        self._read: dict[Path, int] = {}
        self._path = Path()

    def begin(self, source: Source) -> None:
        """A source is about to be read."""
        self._path = source.path

    def advance(self, read: int) -> None:
        """So many bytes of the current file were read."""
        if self._progress is not None:
            self._read[self._path] = min(read, self._sizes[self._path])
            self._progress(sum(self._read.values()), self._total)

    def end(self) -> None:
        """The current file is done."""
        self.advance(self._sizes[self._path])


def _columns_of(
    source: Source, options: CsvOptions, cache: ColumnCache | None, meter: _Meter
) -> tuple[FileDetail, dict[str, Column], str]:
    """A text's columns, from the cache where they are there, and why they could not be cached ("" where they could)."""
    if cache is None:
        return *_read_to_memory(source, options, meter), ""
    try:
        key = file_key(source.path, source.member, source.named, _options_token(options))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=source.shown) from None
    found = cache.find(key)
    if found is not None:
        detail = msgspec.json.decode(found.detail, type=FileDetail)
        if detail.sessions == sessions_digest(options, detail.first_ts, detail.last_ts):
            return detail, found.columns, ""
        cache.forget(key)
    writer: EntryWriter | None = None
    try:
        writer = cache.begin(key)
        detail = _parsed(source, options, writer.store, meter)
        _refuse_changed(source, key, options)
        entry = writer.publish(source.shown, msgspec.json.encode(detail))
    except StoreError as error:
        if writer is not None:
            writer.discard()
        return *_read_to_memory(source, options, meter), str(error)
    except BaseException:
        if writer is not None:
            writer.discard()
        raise
    return detail, entry.columns, ""


def _read_to_memory(source: Source, options: CsvOptions, meter: _Meter) -> tuple[FileDetail, dict[str, Column]]:
    store = MemoryColumns()
    detail = _parsed(source, options, store, meter)
    return detail, store.columns()


def _parsed(source: Source, options: CsvOptions, store: ColumnStore, meter: _Meter) -> FileDetail:
    from feeds.csv_read import read_text

    return read_text(source, options, store, meter.advance)


def _refuse_changed(source: Source, key: str, options: CsvOptions) -> None:
    """A file that changes while it is read must not be kept under what it was before."""
    if file_key(source.path, source.member, source.named, _options_token(options)) != key:
        raise DataError("the file changed while it was read; run again when it is complete", path=source.shown)


def _options_token(options: CsvOptions) -> str:
    """What of the options decides how a text is understood. Sessions are compared by what matters of them."""
    return repr((
        options.tz, options.bar_stamp, options.bar_interval_s, options.on_bad, options.delimiter_byte,
        options.delimiter is None, options.unpacked_limit_bytes, sorted(options.signed_symbols),
    ))  # fmt: skip


def _notes(texts: Sequence[TextColumns]) -> list[Note]:
    """What was found in all texts, one note for each thing; the first text's words stand for all."""
    found: dict[str, list[tuple[str, Finding]]] = {}
    for text in texts:
        for finding in text.detail.findings:
            found.setdefault(finding.code, []).append((text.shown, finding))
    notes = []
    for code, each in found.items():
        shown, first = each[0]
        files = f"{shown}" if len(each) == 1 else f"{len(each):,} files, first {shown}"
        severity = Severity.WARNING if first.warning else Severity.INFO
        notes.append(Note(code, f"{first.text} ({files})", severity, sum(finding.count for _, finding in each)))
    return notes


def _fingerprint(texts: Sequence[TextColumns], options: CsvOptions) -> str:
    """SHA-256 of the texts' content, their symbols, and how they were understood; independent of where they lie."""
    digest = hashlib.sha256(_options_token(options).encode())
    for text in texts:
        symbols = ",".join(span.symbol for span in text.detail.spans)
        digest.update(f"\0{text.detail.digest}\0{text.detail.sessions}\0{symbols}".encode())
    return digest.hexdigest()
