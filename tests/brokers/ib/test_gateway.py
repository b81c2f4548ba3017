"""The connection: what can happen to it, and that whatever the peer does is told and nothing is lost."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from brokers.ib import commands as do
from brokers.ib.gateway import FRAME_BYTES_MAX, IbGateway
from brokers.ib.records import (
    Connected,
    ContractRecord,
    CurrentTime,
    Disconnected,
    ErrorMessage,
    ManagedAccounts,
    NextValidId,
    Record,
    TickString,
    Undecodable,
)
from gateway.protocol import replies as say
from gateway.protocol import requests as ask
from gateway.protocol.codec import encode_reply
from gateway.protocol.wire import frame
from papertape.core.errors import PeerError, UserError
from tests.brokers.ib.peers import VERSIONS, WITHIN_S, Pair, Peer, heard, until
from tests.brokers.ib.said import REPLIES

NEWEST = VERSIONS[-1]
SHORT_S = 0.1


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as connected:
        yield connected


def ends(records: list[Record]) -> bool:
    return isinstance(records[-1], Disconnected)


# --------------------------------------------------------------------------------------- the six defects of the client


def test_defect_1_a_message_of_exactly_4096_bytes_arrives_at_once() -> None:
    with Pair() as pair:
        empty = len(encode_reply(say.TickString(5, 48, ""), NEWEST))
        full = say.TickString(5, 48, "x" * (4096 - empty))
        assert len(encode_reply(full, NEWEST)) == 4096
        for _ in range(3):
            pair.peer.say(full)
            assert heard(pair.gateway, 1) == [TickString(5, 48, full.value)]
        pair.peer.say(full, full, say.Time(7))
        assert heard(pair.gateway, 3)[-1] == CurrentTime(7)


def test_defect_2_a_peer_that_takes_the_connection_and_says_nothing_is_given_up() -> None:
    with Peer(greet=lambda _: None) as peer:
        gateway = IbGateway()
        with pytest.raises(PeerError, match=r"did not answer within 0.1 s; in TWS, enable the API"):
            gateway.connect("127.0.0.1", peer.port, 7, SHORT_S)
        assert not gateway.is_open
        assert gateway.poll(0) == []


def test_defect_2_a_peer_that_drips_its_answer_has_no_more_time_than_that() -> None:
    def drip(peer: Peer) -> None:
        assert peer.connection is not None
        for byte in frame(b"2" * 1000) * 2:
            peer.connection.sendall(bytes([byte]))
            time.sleep(0.01)

    with Peer(greet=drip) as peer:
        began = time.monotonic()
        with pytest.raises(PeerError, match="did not answer"):
            IbGateway().connect("127.0.0.1", peer.port, 7, SHORT_S)
        assert time.monotonic() - began < WITHIN_S / 2


def test_defect_3_what_goes_wrong_with_one_message_does_not_end_the_reading() -> None:
    with Pair() as pair:
        pair.peer.write(frame(b"1\x006\x005\x001\x00not a price\x001\x000\x00"))
        first, last = pair.told(say.NextValidId(9))
        assert isinstance(first, Undecodable)
        assert "not a price" in first.text
        assert last == NextValidId(9)


@pytest.mark.parametrize(
    "payload",
    [
        b"15\x001\x00DU1\x00one too many\x00",
        b"15\x001\x00",
        b"8\x001\x00",
        b"9\x001\x00not a number\x00",
        b"3\x001\x00Submitted\x00",
        b"61\x003\x00DU1\x001\x00",
        b"777\x001\x00",
        b"x\x001\x00",
        b"15",
        b"15\x001\x00DU1\x00unfinished",
        b"\x00",
        b"\xff\xfe\x00",
    ],
)
def test_defect_4_a_message_that_the_client_would_drop_is_told_as_undecodable(payload: bytes) -> None:
    with Pair() as pair:
        pair.peer.write(frame(payload))
        first, last = pair.told(say.NextValidId(9))
        assert isinstance(first, Undecodable)
        assert last == NextValidId(9)


def test_defect_4_a_history_without_bars_is_no_undecodable_message() -> None:
    for version in VERSIONS:
        with Pair(version) as pair:
            told = pair.told(say.HistoricalData(5), say.TickMid(5, 1, 2.0))
            assert not any(isinstance(record, Undecodable) for record in told)


def test_defect_5_a_refused_connection_is_an_error_that_says_what_to_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        PeerError, match=rf"^nobody listens at 127\.0\.0\.1:{port}; start TWS or IB Gateway, or use --gateway sim$"
    ):
        IbGateway().connect("127.0.0.1", port, 7, WITHIN_S)


def test_defect_6_nothing_of_a_connection_is_left_for_the_next() -> None:
    with Pair() as old:
        old.peer.say(say.NextValidId(1), say.NextValidId(2))
        old.peer.write(encode_reply(say.NextValidId(3), NEWEST)[:-2])
        heard(old.gateway, 2)
        old.gateway.close()
        with Pair() as new:
            assert new.told(say.NextValidId(4)) == [NextValidId(4)]


@settings(max_examples=60, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8))
def test_bytes_that_mean_nothing_are_told_one_by_one_and_the_next_message_is_read(
    pair: Pair, payloads: list[bytes]
) -> None:
    pair.peer.write(b"".join(map(frame, payloads)))
    told = pair.told(say.NextValidId(9))
    assert told[-1] == NextValidId(9)
    assert len(told) == len(payloads) + 1
    assert all(isinstance(record, Undecodable) for record in told[:-1])


@settings(max_examples=100, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.one_of(*REPLIES.values()), st.data())
def test_a_message_with_a_field_changed_or_missing_is_never_passed_over_in_silence(
    pair: Pair, reply: Any, data: st.DataObject
) -> None:
    fields = encode_reply(reply, NEWEST)[4:].split(b"\0")[:-1]
    at = data.draw(st.integers(0, len(fields) - 1))
    damage = data.draw(st.sampled_from([None, b"", b"x", b"-", b"99999999999", b"1e400", b"nan", b"\xff"]))
    fields[at : at + 1] = [] if damage is None else [damage]
    pair.peer.write(frame(b"\0".join([*fields, b""]) or b"\0"))
    told = pair.told(say.NextValidId(9))
    assert told[-1] == NextValidId(9)
    assert len(told) > 1 or fields[:1] in ([b"17"], [b"99"])


def test_more_records_at_once_than_can_be_held_end_the_connection_and_say_so() -> None:
    with Peer() as peer:
        gateway = IbGateway(records_max=3)
        gateway.connect("127.0.0.1", peer.port, 7, WITHIN_S)
        assert len(gateway.poll(0)) == 1
        peer.say(*[say.NextValidId(n) for n in range(20)])
        *got, lost, last = until(gateway, ends)
        assert got == [NextValidId(n) for n in range(len(got))]
        assert lost == Undecodable("records were lost: more came at once than can be held")
        assert isinstance(last, Disconnected)
        gateway.close()


# ------------------------------------------------------------------------------------------------------ the handshake


def test_the_first_record_says_what_was_agreed() -> None:
    for version in VERSIONS:
        with Pair(version) as pair:
            assert pair.first == Connected(version, "20240603 09:30:00 EST")
            assert pair.gateway.server_version == version
            assert pair.gateway.client_version.count(".") >= 2


def test_what_comes_before_and_with_the_version_is_not_thrown_away() -> None:
    def greet(peer: Peer) -> None:
        assert peer.connection is not None
        early = encode_reply(say.ManagedAccountsList("DU1"), NEWEST)
        late = encode_reply(say.NextValidId(3), NEWEST)
        peer.connection.sendall(early + frame(b"%d\x00now\x00" % NEWEST) + late + late[:5])
        peer.connection.recv(4096)
        peer.connection.sendall(late[5:])

    with Peer(greet=greet) as peer:
        gateway = IbGateway()
        gateway.connect("127.0.0.1", peer.port, 7, WITHIN_S)
        got = heard(gateway, 4)
        assert got == [Connected(NEWEST, "now"), ManagedAccounts(("DU1",)), NextValidId(3), NextValidId(3)]
        gateway.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (frame(b"99\x00now\x00"), "speaks API version 99, older than 157"),
        (frame(b"-1\x00elsewhere:4001\x00"), "speaks API version -1"),
        (frame(b"226\x00now\x00"), "answered with API version 226, newer than"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TWS's protocol"),
        (b"\x00\x00\x00\x00", "does not speak TWS's protocol"),
        (frame(b"4\x001\x00x\x00") * 20, "does not speak TWS's protocol"),
        (b"", "closed the connection during the handshake"),
        (b"\x00\x00", "closed the connection during the handshake"),
    ],
)
def test_a_handshake_that_fails_says_why_in_one_line(answer: bytes, said: str) -> None:
    def greet(peer: Peer) -> None:
        assert peer.connection is not None
        peer.connection.recv(4096)
        peer.connection.sendall(answer)
        peer.connection.shutdown(socket.SHUT_WR)

    with Peer(greet=greet) as peer:
        with pytest.raises(PeerError, match=said) as failure:
            IbGateway().connect("127.0.0.1", peer.port, 7, WITHIN_S)
        assert "\n" not in str(failure.value)
        assert str(failure.value).startswith(f"127.0.0.1:{peer.port} ")


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("no-such-host.invalid", 7497, "is no name or address of a computer"),
        ("a" * 70, 7497, "is no name or address of a computer"),
        ("127.0.0.1", 0, "port 0: 1 to 65535"),
        ("127.0.0.1", 70_000, "port 70000: 1 to 65535"),
    ],
)
def test_an_address_that_is_none_is_the_users_to_mend(host: str, port: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        IbGateway().connect(host, port, 7, WITHIN_S)


# ----------------------------------------------------------------------------------------------------------- reading


def test_a_message_that_stalls_in_the_middle_arrives_whole() -> None:
    data = encode_reply(say.NextValidId(5), NEWEST)
    with Pair() as pair:
        for cut in range(1, len(data)):
            pair.peer.write(data[:cut])
            assert pair.gateway.poll(0.001) == []
            pair.peer.write(data[cut:])
            assert heard(pair.gateway, 1) == [NextValidId(5)]


def test_a_flood_is_read_in_order_and_a_poll_returns_before_it_ends() -> None:
    count = 10_000
    with Pair() as pair:
        data = b"".join(encode_reply(say.NextValidId(n), NEWEST) for n in range(count))
        writer = threading.Thread(target=pair.peer.write, args=(data,))
        writer.start()
        got = pair.gateway.poll(1)
        assert len(got) < count
        got += until(pair.gateway, lambda records: len(records) + len(got) >= count)
        writer.join()
        assert got == [NextValidId(n) for n in range(count)]
        assert pair.gateway.bytes_in > len(data)


@pytest.mark.parametrize("size", [0, FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_a_frame_of_an_impossible_length_ends_the_connection_and_says_so(size: int) -> None:
    with Pair() as pair:
        pair.peer.say(say.NextValidId(1))
        pair.peer.write(size.to_bytes(4, "big") + b"\x00" * 100)
        first, unreadable, last = until(pair.gateway, ends)
        assert first == NextValidId(1)
        assert isinstance(unreadable, Undecodable)
        assert f"announces {size} bytes" in unreadable.text
        assert last == Disconnected("TWS sent bytes that make no sense")
        assert not pair.gateway.send(do.AskTime())


def test_the_end_of_a_connection_is_its_last_record_and_is_told_once() -> None:
    with Pair() as pair:
        pair.peer.say(say.NextValidId(1))
        pair.peer.close()
        assert until(pair.gateway, ends) == [NextValidId(1), Disconnected("TWS closed the connection")]
        assert pair.gateway.poll(0.01) == []
        assert not pair.gateway.is_open
        assert not pair.gateway.send(do.AskTime())
        assert pair.gateway.poll(0) == []


def test_an_end_in_the_middle_of_a_message_says_that_something_is_missing() -> None:
    with Pair() as pair:
        pair.peer.write(encode_reply(say.NextValidId(1), NEWEST)[:-1])
        pair.peer.close()
        assert until(pair.gateway, ends) == [Disconnected("TWS closed the connection in the middle of a message")]


def test_a_wake_from_another_thread_ends_a_poll_and_is_never_lost() -> None:
    with Pair() as pair:
        began = time.monotonic()
        waker = threading.Timer(0.05, pair.gateway.wake)
        waker.start()
        assert pair.gateway.poll(WITHIN_S) == []
        waker.join()
        for _ in range(20_000):
            pair.gateway.wake()
        assert pair.gateway.poll(WITHIN_S) == []
        assert time.monotonic() - began < WITHIN_S
    pair.gateway.wake()


# ----------------------------------------------------------------------------------------------------------- writing


def fill(pair: Pair) -> bool:
    """Send until a request does not go out; whether the last one did."""
    wide = ContractRecord(symbol="X" * 50_000, type="STK", exchange="SMART", currency="USD")
    return all(pair.gateway.send(do.AskContract(number, wide)) for number in range(1, 10_000))


def test_a_request_that_can_not_be_written_in_time_ends_the_connection_with_its_state_unknown() -> None:
    with Pair(send_timeout_s=SHORT_S) as pair:
        assert not fill(pair)
        assert not pair.gateway.is_open
        (record,) = pair.gateway.poll(0)
        assert isinstance(record, Disconnected)
        assert "the state of the last is unknown" in record.reason


def test_what_tws_says_while_it_takes_nothing_is_read_and_kept() -> None:
    with Pair(send_timeout_s=SHORT_S) as pair:
        pair.peer.say(*[say.NextValidId(n) for n in range(5_000)])  # fits into what the system holds
        assert not fill(pair)
        *got, last = until(pair.gateway, ends)
        assert isinstance(last, Disconnected)
        assert got == [NextValidId(n) for n in range(5_000)]


def test_a_peer_that_has_gone_is_noticed_by_the_next_request_or_poll() -> None:
    with Pair() as pair:
        pair.peer.close()
        while pair.gateway.send(do.AskTime()):
            time.sleep(0.001)
        assert ends(pair.gateway.poll(0))


def test_a_wake_during_a_write_is_not_lost() -> None:
    with Pair(send_timeout_s=SHORT_S) as pair:
        pair.gateway.wake()
        fill(pair)
        assert ends(pair.gateway.poll(WITHIN_S))


def test_a_code_of_the_client_itself_is_an_answer_to_the_command_and_not_to_the_connection() -> None:
    with Pair() as pair:
        assert pair.gateway.send(do.AskContract(77, ContractRecord(symbol="ä")))
        (record,) = pair.gateway.poll(0)
        assert isinstance(record, ErrorMessage)
        assert record.request_id == 77
        assert pair.carry(do.StopMarket(3)) == ask.CancelMarketData(3)


def closes_twice(pair: Pair) -> None:
    pair.gateway.close()


def connects_twice(pair: Pair) -> None:
    with pytest.raises(AssertionError, match="one object is one connection"):
        pair.gateway.connect("127.0.0.1", pair.peer.port, 7, SHORT_S)


@pytest.mark.parametrize("then", [closes_twice, connects_twice])
def test_a_closed_connection_is_used_no_more(then: Callable[[Pair], None]) -> None:
    with Pair() as pair:
        pair.gateway.close()
        assert not pair.gateway.send(do.AskTime())
        then(pair)
