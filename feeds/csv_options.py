"""What the user says about CSV files, and what reading them found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from papertape.core.errors import ConfigError
from papertape.core.model import Note, SessionTimes
from papertape.core.series import Series

UNPACKED_LIMIT_BYTES = 64 * 2**30


class BarStamp(StrEnum):
    """Which end of a bar its time is."""

    OPEN = "open"
    CLOSE = "close"


class OnBad(StrEnum):
    """What a row that can not be used means: the file is refused, or the row is dropped and counted."""

    REFUSE = "refuse"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class CsvOptions:
    r"""How CSV files are to be understood.

    ``tz`` is the IANA zone of times without one. ``bar_stamp`` and ``bar_interval_s`` say what a bar's time means and
    how long it lasts (seconds; inferred where None). ``delimiter`` is one character (or ``\t``), a comma if None.
    ``sessions`` are the exchange's: daily bars get their times from them, and bars outside of them are counted.
    ``unpacked_limit_bytes`` bounds what a compressed file may unpack to. ``signed_symbols`` are the instruments whose
    prices may be zero or negative.
    """

    tz: str | None = None
    bar_stamp: BarStamp | None = None
    bar_interval_s: float | None = None
    on_bad: OnBad = OnBad.REFUSE
    delimiter: str | None = None
    unpacked_limit_bytes: int = UNPACKED_LIMIT_BYTES
    sessions: SessionTimes | None = None
    signed_symbols: frozenset[str] = frozenset()

    @property
    def delimiter_byte(self) -> int:
        """The delimiter as a byte. Raises ConfigError for one that can not be a delimiter."""
        text = {None: ",", "\\t": "\t", "tab": "\t"}.get(self.delimiter, self.delimiter or "")
        if len(text) != 1 or not text.isascii() or text.isalnum() or text in '\r\n"+-.\0':
            raise ConfigError(f'"{self.delimiter}" cannot be a delimiter; give one character such as ; or |')
        return ord(text)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What CSV files hold: series, what must be said about them, and the hex digest of content and options."""

    series: tuple[Series, ...]
    notes: tuple[Note, ...]
    fingerprint: str
