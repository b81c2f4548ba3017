"""LEAN's factor files: what prices are multiplied by, and the splits and dividends that can be read from them.

A row ``date,price_factor,split_factor,reference_price`` holds for all days up to and including its date, back to the
row before it; ``reference_price`` is the close of that date as it was traded. The next session is the ex-date of what
changed. (QuantConnect/Lean, ``CorporateFactorProvider.cs`` and ``CorporateFactorRow.cs``.)
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

from feeds.lean_format import Scale
from papertape.core.errors import DataError
from papertape.core.model import SessionTimes

_DENOMINATOR_MAX = 32
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Factors:
    """A factor file's columns; ``day`` is days since 1970-01-01, ascending."""

    day: tuple[int, ...]
    price: tuple[float, ...]
    split: tuple[float, ...]
    reference: tuple[float, ...]

    def on(self, day: int) -> Scale:
        """What prices of a day are multiplied by (dividends and splits) and sizes divided by (splits only)."""
        at = bisect_left(self.day, day)
        if at == len(self.day):
            return Scale()
        return Scale(self.price[at] * self.split[at], self.split[at])

    def actions(self, first_day: int, last_day: int, sessions: SessionTimes) -> list[tuple[date, str, str]]:
        """(ex-date, kind, value) of what happened after the first day and up to the last, splits before dividends.

        A dividend is what a share paid as it was traded on the ex-date: reference price x (1 - price factor / the next
        row's price factor), divided by the split of the same day if there was one.
        """
        result = []
        for i in range(len(self.day) - 1):
            at = bisect_left(sessions.date, self.day[i] + 1)
            if at == len(sessions.date) or not first_day < sessions.date[at] <= last_day:
                continue
            ex_date = date.fromordinal(_EPOCH.toordinal() + sessions.date[at])
            ratio = Fraction(self.split[i + 1] / self.split[i]).limit_denominator(_DENOMINATOR_MAX)
            if ratio != 1 and ratio > 0:
                result.append((ex_date, "split", f"{float(ratio):.10g}"))
            paid = self.reference[i] * (1.0 - self.price[i] / self.price[i + 1]) / float(ratio or 1)
            if round(paid, 4) > 0:
                result.append((ex_date, "dividend", f"{paid:.4f}".rstrip("0").rstrip(".")))
        return result


def read_factors(path: Path) -> Factors:
    """Read a factor file. Raises DataError with the line that can not be used."""
    days: list[int] = []
    columns: tuple[list[float], list[float], list[float]] = ([], [], [])
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not row or row[0].startswith("#"):
                    continue
                try:
                    day = (date.fromisoformat(f"{row[0][:4]}-{row[0][4:6]}-{row[0][6:8]}") - _EPOCH).days
                    factors = float(row[1]), float(row[2]), float(row[3]) if len(row) > 3 else 0.0
                except (ValueError, IndexError):
                    what = "is not date,price factor,split factor,reference price"
                    raise DataError(what, path=str(path), line=number) from None
                if not (0 < factors[0] < 1e6 and 0 < factors[1] < 1e6 and (not days or day > days[-1])):
                    what = "has a factor that is not above 0, or a date that does not rise"
                    raise DataError(what, path=str(path), line=number)
                days.append(day)
                for column, value in zip(columns, factors, strict=True):
                    column.append(value)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", path=str(path)) from None
    return Factors(tuple(days), tuple(columns[0]), tuple(columns[1]), tuple(columns[2]))
