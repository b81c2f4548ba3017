"""Bars that were over before a strategy asked for them, as one batch: what a warm-up hears."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from papertape.core.series import Batch, Series


def past_batch(
    pieces: Sequence[tuple[int, Series, int, int]], split_factor: Callable[[int, int], float]
) -> Batch | None:
    """Bars [begin, end) of each (instrument, series, begin, end), in order of time, then as the pieces are ordered.

    ``split_factor(instrument, start)`` is what prices of then are divided by to compare with those of now. None where
    there are no bars at all.
    """
    held = [(j, series, begin, end) for j, series, begin, end in pieces if end > begin]
    if not held:
        return None
    ts = np.concatenate([series.ts[begin:end] for _, series, begin, end in held])
    start = np.concatenate([_starts(series)[begin:end] for _, series, begin, end in held])
    sizes = [end - begin for _, _, begin, end in held]
    instrument = np.repeat(np.array([j for j, *_ in held], np.int32), sizes)
    kind = np.repeat(np.array([series.kind for _, series, *_ in held], np.uint8), sizes)
    columns = [np.concatenate([series.columns[c][begin:end] for _, series, begin, end in held]) for c in range(5)]
    pairs = zip(instrument.tolist(), start.tolist(), strict=True)
    factor = np.array([split_factor(j, then) for j, then in pairs])
    for c in range(4):
        columns[c] = columns[c] / factor
    columns[4] = columns[4] * factor
    order = np.argsort(ts, kind="stable")
    return Batch(
        ts=ts[order],
        kind=kind[order],
        instrument=instrument[order],
        columns=(columns[0][order], columns[1][order], columns[2][order], columns[3][order], columns[4][order]),
        start=start[order],
        is_past=True,
    )


def _starts(series: Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    assert series.start is not None, "only bars are heard of the past"
    return series.start
