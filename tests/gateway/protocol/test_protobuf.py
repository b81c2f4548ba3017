"""Server versions 201 to 226: what the unmodified client sends as protobuf is read as meant, and text goes on as it was."""

from __future__ import annotations

import dataclasses
import importlib
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from gateway.order_terms import Rejected, understand
from gateway.protocol import protobuf
from gateway.protocol import requests as ask
from gateway.protocol.codec import decode_reply, decode_request, encode_reply, encode_request, reply_tail, with_request
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from gateway.protocol.protobuf_layouts import Group, Items, Maybe, Unused, Within
from gateway.protocol.protobuf_requests import NAMES_ONLY, PROTOBUF_REQUESTS, ProtobufMessage
from gateway.protocol.replies import CompletedOrder, NextValidId, OpenOrder, OrderState, TickPrice
from gateway.protocol.wire import FrameReader, ProtocolError
from papertape.core.errors import ConfigError
from papertape.core.model import Instrument
from tests.gateway.protocol import test_fuzz as fuzz
from tests.gateway.protocol import test_replies_to_clients as said
from tests.gateway.protocol import test_requests_of_clients as sent

pytest.importorskip("ibapi.protobuf", reason="the message classes are those of the extra ib")

Probe = Callable[[str, int, list[Any], list[bytes]], dict[str, Any]]

CLIENT = "v1050"
VERSIONS = (201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 220, 226)
SOME_VERSIONS = (201, 203, 205, 210, 213, 220, 226)
SINCE = {each.number: each.since for each in PROTOBUF_REQUESTS} | {each.number: each.since for each in NAMES_ONLY}
OF_CLIENT = {each.symbol: each for each in (sent.STOCK, sent.OPTION, sent.BAG)}
MUTATIONS = 20_000

NEW_TERMS: dict[str, tuple[str, Any, int]] = {
    "deactivate": ("deactivate", True, 216),
    "postOnly": ("post_only", True, 216),
    "allowPreOpen": ("allow_pre_open", True, 216),
    "ignoreOpenAuction": ("ignore_open_auction", True, 216),
    "seekPriceImprovement": ("seek_price_improvement", True, 217),
    "whatIfType": ("what_if_type", 1, 217),
    "slOrderId": ("stop_loss_id", 5, 218),
    "slOrderType": ("stop_loss_type", "PRESET", 218),
    "ptOrderId": ("profit_taker_id", 6, 218),
    "ptOrderType": ("profit_taker_type", "PRESET", 218),
}
"""Terms that text never had: the client's name -> ours, a value, and from which server version the client sends it."""


def calls_of(version: int) -> list[sent.Call]:
    return [
        *sent.requests_of_accounts(CLIENT, version),
        *sent.requests_for_data(CLIENT, version),
        *sent.placed_orders(CLIENT, version),
        *sent.by_name_only(CLIENT),
    ]


def payloads_of(probe: Probe, version: int, calls: list[sent.Call]) -> list[bytes]:
    """What the client sends for calls, without the frames' lengths."""
    seen = probe(CLIENT, version, [[method, args] for _, method, args in calls], [])
    assert seen["refused"] == []
    return FrameReader().feed(b"".join(bytes.fromhex(each) for each in seen["sent"]))


def number_of(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "big")


def carried(meant: ask.Request) -> ask.Request:
    """A request as its protobuf carries it: contracts whole, maps without an order, no auction strategy."""
    match meant:
        case ask.PlaceOrder(order=order):
            terms = dataclasses.replace(order, auction_strategy=0, algo_params=tuple(sorted(order.algo_params)))
            return dataclasses.replace(meant, order=terms)
        case ask.MarketData() | ask.TickByTick() | ask.HistoricalBars() | ask.RealTimeBars() | ask.HeadTimestamp():
            return dataclasses.replace(meant, contract=OF_CLIENT[meant.contract.symbol])
    return meant


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_client_sends_is_what_was_asked(version: int, probe: Probe) -> None:
    calls = calls_of(version)
    payloads = payloads_of(probe, version, calls)

    assert len(payloads) == len(calls)
    for payload, (meant, method, _) in zip(payloads, calls, strict=True):
        number = number_of(payload)
        is_protobuf = number > 200
        assert is_protobuf == (version >= SINCE[number - 200 if is_protobuf else number]), method
        assert repr(decode_request(payload, version)) == repr(carried(meant) if is_protobuf else meant), method


def test_each_request_that_is_simulated_was_sent_as_protobuf(probe: Probe) -> None:
    numbers = {number_of(payload) - 200 for payload in payloads_of(probe, 226, calls_of(226))}
    assert {each.number for each in PROTOBUF_REQUESTS} <= numbers


@pytest.mark.parametrize("version", SOME_VERSIONS)
def test_an_order_comes_back_as_it_was_placed(version: int, probe: Probe) -> None:
    calls = sent.placed_orders(CLIENT, version)
    state = OrderState("Submitted")
    frames = []
    for payload in payloads_of(probe, version, calls):
        each = decode_request(payload, version)
        assert isinstance(each, ask.PlaceOrder)
        frames.append(encode_reply(OpenOrder(each.order_id, 7, 9, each.contract, each.order, state), version))
        frames.append(encode_reply(CompletedOrder(9, 0, each.contract, each.order, state, 3.0), version))

    read = probe(CLIENT, version, [], [each[4:] for each in frames])["read"]

    for at, (_, _, (order_id, contract, order)) in enumerate(calls):
        (opened, left), (completed, completed_left) = read[2 * at], read[2 * at + 1]
        terms = {k: v for k, v in order["Order"].items() if k != "auctionStrategy" or version < SINCE[3]}
        if "algoParams" in terms and version >= SINCE[3]:
            terms["algoParams"] = sorted(terms["algoParams"])
        heard = {name: value for name, value in contract["Contract"].items()
                 if name not in {"primaryExchange", "secIdType", "secId"}}  # fmt: skip
        assert [name for name, _ in opened + completed] == ["openOrder", "completedOrder"], opened
        assert (left, completed_left) == (0, 0)
        meant = [order_id, heard, sent.repeated(terms, version, sent.NEVER_SAID), {"status": "Submitted"}]
        assert sent.differences(meant, opened[0][1]) == []
        meant = [heard, sent.repeated(terms, version, sent.NEVER_COMPLETED), {"status": "Submitted"}]
        assert sent.differences(meant, completed[0][1]) == []


@pytest.mark.parametrize("version", SOME_VERSIONS)
@pytest.mark.parametrize("part", [said.session, said.account, said.market, said.contracts, said.orders])
def test_the_client_reads_from_text_what_was_meant(
    part: Callable[[str, int], list[tuple[Any, said.Heard]]], version: int, probe: Probe
) -> None:
    rows = part(CLIENT, version)

    read = probe(CLIENT, version, [], [encode_reply(reply, version)[4:] for reply, _ in rows])["read"]

    assert len(read) == len(rows)
    for (reply, meant), (heard, left) in zip(rows, read, strict=True):
        assert said.differences(meant, heard) == [], reply
        if not heard[0][0].startswith(said.UNWATCHED):
            assert left == 0, reply


@pytest.mark.parametrize(("theirs", "ours", "value", "since"), [(k, *v) for k, v in NEW_TERMS.items()])
def test_a_term_that_text_never_had_reaches_the_order_and_is_refused_by_name(
    theirs: str, ours: str, value: Any, since: int, probe: Probe
) -> None:
    terms = {"action": "BUY", "totalQuantity": 1, "orderType": "MKT", theirs: value}
    stock = Instrument("AAPL")

    seen = probe(CLIENT, since, [["placeOrder", [1, {"Contract": sent.STOCK_OF_CLIENT}, {"Order": terms}]]], [])
    placed = decode_request(bytes.fromhex(seen["sent"][0])[4:], since)

    assert isinstance(placed, ask.PlaceOrder)
    assert getattr(placed.order, ours) == value
    refused = understand(placed.order, 0, stock, since, "US/Eastern", 0)
    assert isinstance(refused, Rejected)
    assert refused.code == 201
    assert "not simulated" in refused.text
    without = dataclasses.replace(placed.order, **{ours: getattr(Order(), ours)})
    assert not isinstance(understand(without, 0, stock, since, "US/Eastern", 0), Rejected)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("hedgeMaxSize", "hedge_max_size"), ("conditionsIncludeOvernight", "conditions_overnight")]
)
def test_terms_of_hedges_and_conditions_reach_the_order(theirs: str, ours: str, probe: Probe) -> None:
    value = 7 if theirs == "hedgeMaxSize" else True
    call = ["placeOrder", [1, {"Contract": sent.STOCK_OF_CLIENT}, {"Order": {"orderType": "MKT", theirs: value}}]]
    placed = decode_request(bytes.fromhex(probe(CLIENT, 226, [call], [])["sent"][0])[4:], 226)
    assert isinstance(placed, ask.PlaceOrder)
    assert getattr(placed.order, ours) == value


def test_versions_are_those_of_the_client() -> None:
    of_client = importlib.import_module("ibapi.common").getServerVersionForMessage
    theirs = {number: of_client(number) for number in SINCE}
    without_one = {number for number, since in theirs.items() if since == math.inf}
    assert without_one == {106, 107, 108, 109}
    assert {n: v for n, v in theirs.items() if n not in without_one} == {
        n: v for n, v in SINCE.items() if n not in without_one
    }
    known = {int(each) for each in importlib.import_module("ibapi.message").OUT}
    assert known - set(SINCE) == {72, 73}  # verify and authorize: text at every version


def fields_of(items: Items) -> dict[str, Items | None]:
    """Names that a table has, with the table of a message within."""
    found: dict[str, Items | None] = {}
    for item in items:
        match item:
            case Unused(names):
                found.update(dict.fromkeys(names))
            case Within(name, inner) | Maybe(name, _, _, inner):
                found[name] = inner
            case Group(name, _, _, inner, aside):
                found[name] = inner if aside is None else (*inner, Unused((aside.name,)))
            case _:
                found[item.name] = None
    return found


def missing(items: Items, descriptor: Any, where: str) -> Iterator[str]:
    """Fields that only the message class or only the table has."""
    mine = fields_of(items)
    theirs: Mapping[str, Any] = descriptor.fields_by_name
    yield from (f"{where}.{name}" for name in mine.keys() ^ theirs.keys())
    for name, inner in mine.items():
        if inner is not None and name in theirs:
            yield from missing(inner, theirs[name].message_type, f"{where}.{name}")


@pytest.mark.parametrize("layout", PROTOBUF_REQUESTS, ids=lambda each: each.message)
def test_a_table_has_every_field_of_its_message_class(layout: ProtobufMessage) -> None:
    message = getattr(importlib.import_module(f"ibapi.protobuf.{layout.message}_pb2"), layout.message)
    assert list(missing(layout.items, message.DESCRIPTOR, layout.message)) == []


# -- what is no request ----------------------------------------------------------------------------------------------


def made(name: str, **values: Any) -> Any:
    """A message of the client's own class."""
    return getattr(importlib.import_module(f"ibapi.protobuf.{name}_pb2"), name)(**values)


def framed(number: int, message: Any) -> bytes:
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return (200 + number).to_bytes(4, "big") + body


def order_of(**terms: Any) -> bytes:
    return framed(3, made("PlaceOrderRequest", orderId=9, order=made("Order", **terms)))


def with_field(number: int, value: int) -> bytes:
    """One more field of a message, as bytes."""
    return bytes([number << 3 & 0x7F | 0x80, number >> 4, value])


@pytest.mark.parametrize(
    ("payload", "version", "why", "request_number"),
    [
        (framed(1, made("MarketDataRequest")), 226, r"it has no reqId", -1),
        (framed(4, made("CancelOrderRequest")), 226, r"it has no orderId", -1),
        (framed(71, made("StartApiRequest")), 226, r"it has no clientId", -1),
        (framed(3, made("PlaceOrderRequest", orderId=9)), 202, r"message 3 is unknown as protobuf at server version 202", -1),
        (framed(52, b""), 226, r"message 52 is unknown as protobuf", -1),
        (framed(1_000_000, b""), 226, r"message 1000000 is unknown as protobuf", -1),
        (framed(1, b"\xff\xff"), 226, r"it is no such protobuf", -1),
        (framed(1, b"\x12\x03\x12\x01\xff"), 226, r"it is no such protobuf", -1),
        (order_of(totalQuantity="a lot"), 226, r"order\.totalQuantity is 'a lot', which is no quantity", 9),
        (order_of(lmtPrice=math.nan), 226, r"order\.lmtPrice is 'nan', which is no number", 9),
        (order_of(lmtPrice=math.inf), 226, r"order\.lmtPrice is 'inf', which is no number", 9),
        (order_of(orderRef="a\0b"), 226, r"order\.orderRef holds a NUL", 9),
        (order_of(conditions=[made("OrderCondition", price=1.0)]), 226, r"it has no order\.conditions\.type", 9),
        (order_of(conditions=[made("OrderCondition", type=2)]), 226, r"order\.conditions\.type is '2'", 9),
        (order_of() + with_field(99, 1), 226, r"it has field 99, which the installed ibapi does not know", 9),
        (framed(3, b"\x08\x09\x1a\x03" + with_field(999, 1)), 226, r"it has field order\.999, which the installed", 9),
        (b"\0\0\0", 226, r"four bytes; it has 3", -1),
        (b"\0\0\0\x31", 226, r"it ends before the message's version", -1),
        (b"49\x001\0", 226, r"unknown as protobuf", -1),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_says_why(
    payload: bytes, version: int, why: str, request_number: int
) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        decode_request(payload, version)
    assert caught.value.request == request_number


def test_a_field_of_the_class_that_no_table_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = next(each for each in PROTOBUF_REQUESTS if each.number == 71)
    shorter = dataclasses.replace(layout, items=layout.items[:1])
    monkeypatch.setattr(protobuf, "_MESSAGES", {71: shorter})
    protobuf._reader.cache_clear()
    try:
        with pytest.raises(ProtocolError, match="optionalCapabilities is set, which this gateway does not know"):
            protobuf.decode(71, made("StartApiRequest", clientId=1, optionalCapabilities="x").SerializeToString(), 226)
    finally:
        protobuf._reader.cache_clear()


def test_repeated_fields_and_messages_are_bounded() -> None:
    many = made("ExecutionFilter", specificDates=range(10_001))
    with pytest.raises(ProtocolError, match=r"specificDates has 10001 values; 10000 are allowed"):
        decode_request(framed(7, made("ExecutionRequest", reqId=1, executionFilter=many)), 226)
    long = made("FAReplace", reqId=1, xml="x" * (protobuf.BYTES_MAX + 1))
    with pytest.raises(ProtocolError, match=r"bytes; 262144 are allowed"):
        decode_request(framed(19, long), 226)


def test_protobuf_is_no_message_of_version_200() -> None:
    with pytest.raises(ProtocolError):
        decode_request(framed(49, made("CurrentTimeRequest")), 200)
    with pytest.raises(ProtocolError, match="numbers above 200 are no text messages"):
        decode_request(b"249\0", 200)


def test_mutated_messages_are_read_or_refused_in_one_line(probe: Probe) -> None:
    rng = random.Random(20261122)
    valid = [each for each in payloads_of(probe, 226, calls_of(226)) if len(each) > 4]
    refused = 0
    for _ in range(MUTATIONS):
        body = bytearray(rng.choice(valid))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(4, len(body) + 1)
            match rng.randrange(3):
                case 0:
                    body[at : at + 1] = rng.randbytes(1)
                case 1:
                    del body[at : at + rng.randint(1, 4)]
                case _:
                    body[at:at] = rng.randbytes(rng.randint(1, 4))
        refused += fuzz.refused(bytes(body), 226)
    assert MUTATIONS // 4 < refused < MUTATIONS


# -- text above 200 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [201, 226])
@pytest.mark.parametrize("request_", fuzz.VALID, ids=lambda each: type(each).__name__)
def test_requests_in_text_are_read_at_every_version(request_: ask.Request, version: int) -> None:
    payload = encode_request(request_, version)[4:]
    assert number_of(payload) <= 200
    assert repr(decode_request(payload, version)) == repr(decode_request(encode_request(request_, 200)[4:], 200))


def test_a_reply_begins_with_its_number_in_four_bytes() -> None:
    assert encode_reply(NextValidId(7), 200)[4:] == b"9\x001\x007\0"
    assert encode_reply(NextValidId(7), 201)[4:] == b"\0\0\0\x091\x007\0"
    assert decode_reply(encode_reply(NextValidId(7), 226)[4:], 226) == NextValidId(7)


@pytest.mark.parametrize("version", [201, 226])
def test_replies_are_at_every_version_what_they_are_at_200(version: int) -> None:
    parts = (said.session, said.account, said.market, said.contracts, said.orders)
    rows = [reply for part in parts for reply, _ in part(CLIENT, 200)]
    assert len(rows) > 40
    for each in rows:
        text, raw = encode_reply(each, 200)[4:], encode_reply(each, version)[4:]
        assert text.split(b"\0", 1) == [str(number_of(raw)).encode(), raw[4:]]
        assert repr(decode_reply(raw, version)) == repr(decode_reply(text, 200))


def test_a_reply_for_many_is_put_together_with_each_ones_number() -> None:
    head, tail = reply_tail(TickPrice(1, 4, 10.5, 3.0), 226)
    assert with_request(head, 77, tail) == encode_reply(TickPrice(77, 4, 10.5, 3.0), 226)


# -- without the message classes -------------------------------------------------------------------------------------


@pytest.fixture
def unloaded() -> Iterator[None]:
    protobuf._message_class.cache_clear()
    yield
    protobuf._message_class.cache_clear()


@pytest.mark.parametrize(
    "absent", ["ibapi", "ibapi.protobuf", "ibapi.protobuf.StartApiRequest_pb2", "google.protobuf.runtime_version"]
)
@pytest.mark.usefixtures("unloaded")
def test_without_the_message_classes_one_line_says_what_to_install(
    absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if absent == "ibapi.protobuf":
        monkeypatch.delattr("ibapi.protobuf")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ConfigError) as caught:
        protobuf.check_server_version(226, "--server-version")
    line = str(caught.value)
    assert line.startswith("--server-version 226: above 200")
    assert "pip install '.[ib]'" in line
    assert "\n" not in line
    protobuf.check_server_version(200)


def test_an_installation_of_an_older_client_offers_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    protobuf._message_class.cache_clear()
    monkeypatch.setitem(sys.modules, "ibapi.protobuf.ContractDataRequest_pb2", None)
    protobuf.check_server_version(204)
    with pytest.raises(ConfigError, match="ContractDataRequest_pb2"):
        protobuf.check_server_version(205)
    protobuf._message_class.cache_clear()


@pytest.mark.parametrize("version", [156, 227])
def test_other_versions_can_not_be_offered(version: int) -> None:
    with pytest.raises(ConfigError, match=f"server version {version}: 157 to 226 can be spoken"):
        protobuf.check_server_version(version)


def test_a_contract_and_an_order_that_say_nothing_are_unset_as_in_text() -> None:
    placed = decode_request(framed(3, made("PlaceOrderRequest", orderId=9)), 226)
    assert repr(placed) == repr(
        ask.PlaceOrder(9, Contract(), Order(quantity=math.nan, tif="", transmit=False, exempt_code=0))
    )
