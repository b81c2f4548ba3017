"""A recorded exchange with a real TWS decodes and is written again byte for byte."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from gateway.protocol.codec import decode_reply, decode_request, encode_reply, encode_request
from gateway.protocol.replies import ManagedAccountsList, NextValidId, ScannerData
from gateway.protocol.requests import CancelScanner, ScannerSubscription
from gateway.protocol.wire import FrameReader

ROOT = Path(__file__).resolve().parents[3]


def recording() -> list[tuple[str, bytes]]:
    shared = Path(os.environ.get("PAPERTAPE_SHARED_DATA") or ROOT.parent / "shared" / "data")
    path = shared / "ib" / "scanner_exchange_sv200.txt"
    if not path.exists():
        pytest.skip("the recorded exchange is not here; PAPERTAPE_SHARED_DATA names its folder")
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line[1], base64.b64decode(line[2])) for line in lines if line[:1] == ["raw"]]


def test_a_recorded_scan_is_written_again_byte_for_byte() -> None:
    seen: list[object] = []
    for side, raw in recording():
        (payload,) = FrameReader().feed(raw)
        if side == "client":
            request = decode_request(payload, 200)
            assert encode_request(request, 200) == raw
            seen.append(request)
        else:
            reply = decode_reply(payload, 200)
            assert encode_reply(reply, 200) == raw
            seen.append(reply)
    assert [type(each) for each in seen] == [
        ManagedAccountsList, NextValidId, ScannerSubscription, ScannerData, CancelScanner,
    ]  # fmt: skip
    scan = seen[3]
    assert isinstance(scan, ScannerData)
    assert [row.contract.symbol for row in scan.rows] == [
        "BGIA", "ENHI", "JLHL", "VRAX", "WRAP", "ZBAO", "CCAQ", "TPTS", "LGHL", "FAB",
    ]  # fmt: skip
    assert [row.rank for row in scan.rows] == list(range(10))
