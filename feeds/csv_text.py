"""Finding a line or a field again in the bytes of a text, to say what is wrong with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def line_at_byte(data: NDArray[np.uint8], begin: int) -> tuple[bytes, int]:
    """The line that begins there, without its end, and where the next one begins."""
    size = 1024
    while True:
        chunk = bytes(data[begin : begin + size])
        found = [at for at in (chunk.find(b"\n"), chunk.find(b"\r")) if at >= 0]
        if found:
            end = min(found)
            both = bytes(data[begin + end : begin + end + 2]) == b"\r\n"
            return chunk[:end], begin + end + (2 if both else 1)
        if begin + size >= len(data):
            return chunk, len(data)
        size *= 8


def field_text(data: NDArray[np.uint8], begin: int, delimiter: int) -> str:
    """The field that begins there as text, with its quotes."""
    line, _ = line_at_byte(data, begin)
    text = line.decode(errors="replace")
    closing = text.find('"', 1) if text.startswith('"') else 0
    stop = text.find(chr(delimiter), max(closing, 0))
    return text if stop < 0 else text[:stop]


def field_begin(data: NDArray[np.uint8], line_at: int, field: int, delimiter: int) -> int:
    """Where a field of a line that was parsed begins."""
    at = line_at
    for _ in range(field):
        if data[at] == ord('"'):
            at += 1
            while data[at] != ord('"'):
                at += 1
        while data[at] != delimiter:
            at += 1
        at += 1
    return at


def slow_number(text: str) -> float | None:
    """What Python makes of a number that the kernel could not convert exactly; None where it can not be used."""
    digits = text.strip().strip('"').strip()
    if digits.lstrip("+-").isdigit() and abs(int(digits)) >= 1 << 63:
        return None
    value = float(digits)  # the kernel has seen that it is a decimal number
    return value if np.isfinite(value) else None
