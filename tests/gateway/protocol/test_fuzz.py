"""Whatever arrives is a request or a ProtocolError with one line: 100,000 frames, mutated valid ones and noise."""

from __future__ import annotations

import random

import pytest

from gateway.protocol import requests as ask
from gateway.protocol.codec import decode_request, encode_request
from gateway.protocol.contract import ComboLeg, Contract, DeltaNeutral
from gateway.protocol.handshake import Handshake
from gateway.protocol.order import Condition, Order
from gateway.protocol.wire import FIRST_VERSION, LAST_VERSION, FrameReader, ProtocolError, frame

FRAMES = 100_000
SEED = 20261122
LINE_MOST = 300
BAG = Contract(symbol="A,B", type="BAG", exchange="IBKRATS", legs=(ComboLeg(1, 1, "BUY"), ComboLeg(2, 1, "SELL")),
               delta_neutral=DeltaNeutral(3, 0.5, 1.0))  # fmt: skip
RICH = Order(
    "BUY", 100.0, "PEG BEST", 1.5, delta_neutral_type="MKT", scale_price_increment=0.5, hedge_type="B",
    algo_strategy="Twap", algo_params=(("a", "b"),), compete_offset=float("inf"), leg_prices=(1.0, 2.0),
    smart_routing=(("c", "d"),),
    conditions=tuple(Condition(number, value="1") for number in (1, 3, 4, 5, 6, 7)),
)  # fmt: skip
VALID: list[ask.Request] = [
    ask.StartApi(1), ask.CurrentTime(), ask.AccountSummary(1, "All", "Cash"), ask.MarketData(1, BAG, "233"),
    ask.HistoricalBars(1, BAG, "", "1 min", "1 D"), ask.ScannerSubscription(1, 10, "STK"), ask.CancelOrder(1),
    ask.Executions(1, ask.ExecutionFilter(dates=(1, 2))), ask.PlaceOrder(1, BAG, RICH), ask.TickByTick(1, BAG),
    ask.Unsupported(10, "market depth", 1), ask.GlobalCancel(), ask.ContractDetails(1, BAG),
]  # fmt: skip
NASTY = (
    b"", b"1000000000", b"-1", b"2147483647", b"9223372036854775808", b"9" * 5_000, b"1e999", b"nan", b"-inf", b"1_0",
    b"\xff\xfe", b"0x10", b" 1", b"1.7976931348623157e+308", b"BAG", b"PEG BENCH", b"FUND", "٣".encode(), b"\n", b"\\",
)  # fmt: skip


def mutated(payload: bytes, rng: random.Random) -> bytes:
    """A payload with one to three things wrong with it."""
    for _ in range(rng.randint(1, 3)):
        fields = payload.split(b"\0")
        at = rng.randrange(len(fields))
        match rng.randrange(7):
            case 0:
                fields[at] = rng.choice(NASTY)
            case 1:
                del fields[at]
            case 2:
                fields.insert(at, rng.choice(NASTY))
            case 3:
                fields[at:at] = fields[at : at + 5]
            case 4:
                payload = payload[: rng.randrange(len(payload) + 1)]
                continue
            case 5 if payload:
                place = rng.randrange(len(payload))
                payload = payload[:place] + bytes([rng.randrange(256)]) + payload[place + 1 :]
                continue
            case _:
                fields[0] = str(rng.randrange(-5, 300)).encode()
        payload = b"\0".join(fields)
    return payload


def refused(payload: bytes, version: int) -> bool:
    """Whether it was refused, in one line that is not long; anything else than a ProtocolError goes through."""
    try:
        decode_request(payload, version)
    except ProtocolError as error:
        line, number = str(error), error.request
    else:
        return False
    assert line
    assert "\n" not in line
    assert len(line) <= LINE_MOST, line
    assert isinstance(number, int)
    return True


def test_no_frame_does_more_than_be_refused() -> None:
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    written = {
        version: [encode_request(each, version)[4:] for each in VALID] for version in (FIRST_VERSION, 176, LAST_VERSION)
    }
    count = 0
    for _ in range(FRAMES):
        version = rng.randint(FIRST_VERSION, LAST_VERSION)
        if rng.random() < 0.1:
            payload = rng.randbytes(rng.randrange(200))
        else:
            payload = mutated(rng.choice(written[rng.choice((FIRST_VERSION, 176, LAST_VERSION))]), rng)
        count += refused(payload, version)
    assert FRAMES // 2 < count < FRAMES


def test_pieces_of_noise_are_frames_or_refused() -> None:
    rng = random.Random(SEED)
    for _ in range(2_000):
        reader = FrameReader(1_000)
        why = ""
        try:
            for _ in range(5):
                reader.feed(rng.choice((rng.randbytes(rng.randrange(50)), frame(rng.randbytes(3)))))
        except ProtocolError as error:
            why = str(error)
        assert reader.waiting <= 1_004 + 50
        assert not why or "allowed" in why


def test_a_greeting_of_noise_is_refused_or_waits_for_more() -> None:
    rng = random.Random(SEED)
    for _ in range(2_000):
        noise = rng.randbytes(rng.randrange(30))
        handshake = Handshake(LAST_VERSION, "now")
        try:
            handshake.feed(rng.choice((noise, b"API\0" + noise, b"API\0" + frame(b"v1" + noise))))
        except ProtocolError:
            handshake.version = 0
        assert not handshake.done or FIRST_VERSION <= handshake.version <= LAST_VERSION


@pytest.mark.parametrize("count", [b"1000000000", b"99999999999999", b"-5"])
def test_a_count_that_the_frame_does_not_hold_costs_nothing(count: bytes) -> None:
    payload = encode_request(ask.MarketData(1, BAG), LAST_VERSION)[4:]
    broken = payload.replace(b"\0IBKRATS\0\0\0\0\x002\0", b"\0IBKRATS\0\0\0\0\0" + count + b"\0")
    assert broken != payload
    with pytest.raises(ProtocolError, match=r"number of contract\.legs"):
        decode_request(broken, LAST_VERSION)
