"""Faults between the simulated TWS and its clients: what is written when, from scenarios as a user writes them."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients import Client
from gateway.fault_kinds import name_of
from gateway.faults import (
    FULL_READ,
    HELD_MOST,
    Action,
    Close,
    Due,
    FaultLayer,
    FindExchange,
    Hang,
    LoseExchange,
    Pause,
    Restart,
    Send,
)
from gateway.planned_faults import PlannedOrderFaults
from gateway.protocol.codec import decode_reply, encode_reply
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from gateway.protocol.replies import (
    Commission,
    Error,
    Execution,
    NextValidId,
    OpenOrder,
    OrderState,
    OrderStatus,
    Reply,
    TickPrice,
    Time,
)
from gateway.protocol.wire import PREFIX_BYTES, FrameReader
from gateway.scenario import Scenario
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER

START = 1_717_421_400 * NS_PER_S
"""2024-06-03 09:30 in New York."""
VERSION = 176


def name_in(frame: bytes, version: int) -> str:
    return name_of(decode_reply(frame[PREFIX_BYTES:], version))


class Bench:
    """A fault layer with clients, which keeps what the layer said it did."""

    def __init__(self, *faults: str, seed: int = 0, marked: frozenset[int] = frozenset()) -> None:
        text = f"seed = {seed}\n" + "".join(f"[[fault]]\n{each}\n" for each in faults)
        self.said: list[tuple[int, str]] = []
        self.layer = FaultLayer(
            Scenario.parse(text, "s.toml"),
            START,
            "America/New_York",
            encode_reply,
            name_in,
            marked=marked,
            told=lambda now, text: self.said.append((now, text)),
        )
        self.clients = 0

    def client(self, client_id: int = 1) -> Client:
        self.clients += 1
        client = Client(self.clients, VERSION)
        client.id = client_id
        self.layer.opened(client)
        return client

    def send(self, client: Client, *messages: Reply | bytes, after_s: float = 0.0) -> list[Action]:
        return self.layer.pass_on(client, messages, START + round(after_s * NS_PER_S))

    def due(self, after_s: float) -> Due:
        return self.layer.due(START + round(after_s * NS_PER_S))

    def due_for(self, client: Client, after_s: float) -> list[Action]:
        return self.due(after_s).by_connection.get(client.number, [])


def read(actions: list[Action]) -> list[Reply]:
    """The messages that a client gets of these actions, however they are cut."""
    data = b"".join(each.data for each in actions if isinstance(each, Send))
    return [decode_reply(payload, VERSION) for payload in FrameReader().feed(data)]


def names(actions: list[Action]) -> list[str]:
    return [name_of(each) for each in read(actions)]


def status(order_id: int = 1, state: str = "Filled") -> OrderStatus:
    return OrderStatus(order_id, state, 10.0, 0.0, 5.0, 77, 0, 5.0, 1)


def execution(order_id: int = 1, exec_id: str = "0001.01", symbol: str = "AAA") -> Execution:
    return Execution(
        -1, order_id, Contract(symbol=symbol, type="STK"), exec_id, "20240603 09:30:00 US/Eastern", "DU1", "SMART",
        "BOT", 10.0, 5.0, 77, 1, 10.0, 5.0,
    )  # fmt: skip


def open_order(order_id: int = 1, symbol: str = "AAA") -> OpenOrder:
    return OpenOrder(
        order_id, 1, 77, Contract(symbol=symbol, type="STK"), Order("BUY", 10.0, "MKT"), OrderState("Filled")
    )


def tick(price: float = 5.0) -> TickPrice:
    return TickPrice(3, 4, price, 100.0)


# -- messages ------------------------------------------------------------------------------------------------------


def test_without_a_fault_that_fits_everything_passes_as_it_is() -> None:
    bench = Bench('kind = "drop"\nmessage = "portfolio-value"')
    fill = Commission("0001.01", 1.0, "USD")
    messages: list[Reply | bytes] = [status(), execution(), fill, tick(), encode_reply(tick(6.0), VERSION)]
    out = bench.send(bench.client(), *messages)
    assert out == [Send(each if isinstance(each, bytes) else encode_reply(each, VERSION)) for each in messages]
    assert bench.said == []


def test_the_nth_message_of_a_kind_is_dropped_and_the_next_is_not() -> None:
    bench = Bench('kind = "drop"\nmessage = "order-status"\nnth = 2')
    out = bench.send(bench.client(), status(1), execution(), status(2), status(3))
    assert [each.order_id for each in read(out) if isinstance(each, OrderStatus)] == [1, 3]
    assert bench.said == [(START, "drop message order-status, nth 2 (client 1)")]


def test_count_0_means_all_that_follow() -> None:
    bench = Bench('kind = "drop"\nmessage = "order-status"\nnth = 2\ncount = 0')
    out = bench.send(bench.client(), *(status(k) for k in range(1, 9)))
    assert [each.order_id for each in read(out) if isinstance(each, OrderStatus)] == [1]


def test_a_fault_may_be_meant_for_one_client_one_symbol_and_from_a_time_on() -> None:
    bench = Bench('kind = "drop"\nmessage = "execution"\nclient = 2\nsymbol = "BBB"\nafter = "5s"')
    one, two = bench.client(1), bench.client(2)
    assert names(bench.send(two, execution(symbol="BBB"), after_s=4.9)) == ["execution"], "it is not armed yet"
    assert names(bench.send(one, execution(symbol="BBB"), after_s=6)) == ["execution"]
    assert names(bench.send(two, execution(symbol="AAA"), after_s=6)) == ["execution"]
    assert names(bench.send(two, execution(symbol="BBB"), after_s=6)) == []


def test_a_fault_of_any_message_meets_encoded_market_data_too() -> None:
    bench = Bench('kind = "drop"\nmessage = "any"\nnth = 2')
    assert names(bench.send(bench.client(), status(), encode_reply(tick(), VERSION), tick())) == [
        "order-status",
        "tick-price",
    ]


def test_a_duplicate_follows_its_original_at_once() -> None:
    bench = Bench('kind = "duplicate"\nmessage = "execution"')
    assert names(bench.send(bench.client(), execution(), status())) == ["execution", "execution", "order-status"]


def test_a_delayed_message_comes_when_exchange_time_has_passed() -> None:
    bench = Bench('kind = "delay"\nmessage = "commission"\nfor = "5s"')
    client = bench.client()
    assert names(bench.send(client, execution(), Commission("0001.01", 1.0, "USD"), status())) == [
        "execution",
        "order-status",
    ]
    assert bench.layer.next_ts == START + 5 * NS_PER_S
    assert bench.due_for(client, 4.999) == []
    assert names(bench.due_for(client, 5)) == ["commission"]
    assert bench.layer.next_ts == NEVER


@pytest.mark.parametrize(
    ("message", "behind", "sent", "seen"),
    [
        ("execution", "order-status", [execution(), status()], ["order-status", "execution"]),
        ("open-order", "execution", [open_order(), execution(), status()], ["execution", "open-order", "order-status"]),
        (
            "execution",
            "commission",
            [execution(), status(), Commission("0001.01", 1.0, "USD")],
            ["order-status", "commission", "execution"],
        ),
    ],
)
def test_messages_of_one_order_change_places(message: str, behind: str, sent: list[Reply], seen: list[str]) -> None:
    bench = Bench(f'kind = "reorder"\nmessage = "{message}"\nbehind = "{behind}"')
    assert names(bench.send(bench.client(), *sent)) == seen


def test_a_message_is_not_overtaken_by_that_of_another_order() -> None:
    bench = Bench('kind = "reorder"\nmessage = "execution"\nbehind = "order-status"')
    out = read(bench.send(bench.client(), execution(1), status(2), status(1)))
    assert [(type(each).__name__, getattr(each, "order_id", 0)) for each in out] == [
        ("OrderStatus", 2),
        ("OrderStatus", 1),
        ("Execution", 1),
    ]


@pytest.mark.parametrize("kind", ["drop", "duplicate", 'delay"\nfor = "3s', 'reorder"\nbehind = "any'])
def test_a_marker_of_lockstep_comes_once_and_in_its_place(kind: str) -> None:
    bench = Bench(f'kind = "{kind}"\nmessage = "any"\nnth = 2', marked=frozenset({1}))
    assert names(bench.send(bench.client(1), status(1), Time(5), Time(6))) == ["order-status", "time", "time"]
    assert names(bench.send(bench.client(2), Time(7))) != ["time"], "another client's time is no marker"


def test_a_message_that_nothing_overtakes_comes_at_last() -> None:
    bench = Bench('kind = "reorder"\nmessage = "execution"\nbehind = "commission"\nfor = "30s"')
    client = bench.client()
    assert bench.send(client, execution(), status()) == [Send(encode_reply(status(), VERSION))]
    assert bench.due_for(client, 29) == []
    assert names(bench.due_for(client, 30)) == ["execution"]


@given(
    st.lists(st.sampled_from(["drop", "duplicate", "delay", "reorder"]), max_size=4),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=30),
    st.integers(1, 3),
)
def test_whatever_comes_late_or_out_of_order_comes_in_the_end(
    kinds: list[str], sent: list[tuple[int, int]], nth: int
) -> None:
    """Nothing but a drop loses a message, and nothing but a duplicate adds one."""
    more = {"drop": "", "duplicate": "", "delay": '\nfor = "3s"', "reorder": '\nbehind = "order-status"'}
    bench = Bench(*(f'kind = "{each}"\nmessage = "execution"\nnth = {nth}{more[each]}' for each in kinds))
    client = bench.client()
    makers = (status, execution, open_order)
    messages: list[Reply] = [makers[kind](order_id) for kind, order_id in sent]
    out = bench.send(client, *messages)
    out += bench.due_for(client, 1_000)
    got, wanted = read(out), list(messages)
    met = [each for each in messages if isinstance(each, Execution)][nth - 1 : nth]
    if met and "drop" in kinds and not {"delay", "reorder"} & set(kinds[: kinds.index("drop")]):
        wanted.remove(met[0])
    elif met and not {"delay", "reorder"} & set(kinds):
        wanted += met * kinds.count("duplicate")
    assert sorted(map(repr, got)) == sorted(
        map(repr, [decode_reply(encode_reply(each, VERSION)[4:], VERSION) for each in wanted])
    )


def test_what_is_held_for_one_client_is_bounded() -> None:
    bench = Bench('kind = "delay"\nmessage = "any"\ncount = 0\nfor = "1000h"')
    client = bench.client()
    assert bench.send(client, *[Time(1)] * HELD_MOST) == []
    assert bench.send(client, Time(1)) == [Close()]
    assert "10,001 messages are held for client 1" in bench.said[-1][1]


def test_what_was_held_is_forgotten_with_its_connection() -> None:
    bench = Bench('kind = "delay"\nmessage = "execution"\nfor = "5s"')
    client = bench.client()
    bench.send(client, execution())
    bench.layer.closed(client)
    again = bench.client()
    assert bench.due(6) == Due()
    assert names(bench.send(again, execution(), after_s=7)) == ["execution"]


# -- bytes ---------------------------------------------------------------------------------------------------------


def test_a_stall_is_in_the_middle_of_a_message() -> None:
    bench = Bench('kind = "stall"\nmessage = "error"\nwall = "1.5s"\nbytes = 10000')
    long = Error(-1, 2104, "x" * 20_000)
    out = bench.send(bench.client(), long, status())
    frame = encode_reply(long, VERSION)
    assert out == [Send(frame[:10_000]), Pause(1.5), Send(frame[10_000:]), Send(encode_reply(status(), VERSION))]


def test_a_stall_leaves_something_to_come() -> None:
    bench = Bench('kind = "stall"\nmessage = "order-status"\nbytes = 100000')
    first, pause, rest = bench.send(bench.client(), status())
    assert (pause, isinstance(first, Send) and len(first.data) > 10, isinstance(rest, Send) and len(rest.data)) == (
        Pause(2.0),
        True,
        1,
    )


def test_a_drip_writes_a_message_in_small_pieces() -> None:
    bench = Bench('kind = "drip"\nmessage = "order-status"\nbytes = 3\nwall = "10ms"')
    out = bench.send(bench.client(), status())
    assert out[1::2] == [Pause(0.01)] * (len(out) // 2)
    assert {len(each.data) for each in out[:-2:2] if isinstance(each, Send)} == {3}
    assert names(out) == ["order-status"]


@given(st.integers(0, 9_000))
def test_a_full_read_is_written_in_pieces_of_exactly_4096_bytes(length: int) -> None:
    bench = Bench('kind = "full-read"\nmessage = "error"')
    message = Error(-1, 2107, "x" * length)
    out = bench.send(bench.client(), message, status())
    *padded, last = out
    sends = [each for each in padded if isinstance(each, Send)]
    assert {len(each.data) for each in sends} == {FULL_READ}
    assert all(isinstance(a, Pause) != isinstance(b, Pause) for a, b in itertools.pairwise(padded))
    assert isinstance(padded[0], Pause), "nothing else comes with the first piece"
    got = read(out)
    assert got[0] == message
    assert [each for each in got[1:-1] if not (isinstance(each, Error) and each.code == 2104)] == []
    assert last == Send(encode_reply(status(), VERSION))


def test_garbage_is_the_same_for_the_same_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        bench = Bench('kind = "garbage"\nafter = "1s"\nbytes = 50', seed=seed)
        client = bench.client()
        (send,) = bench.due_for(client, 1)
        assert isinstance(send, Send)
        drawn.append(send.data)
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 50


def test_garbage_may_come_right_before_a_message() -> None:
    bench = Bench('kind = "garbage"\nmessage = "execution"')
    garbage, message = bench.send(bench.client(), execution())
    assert isinstance(garbage, Send)
    assert len(garbage.data) == 64
    assert message == Send(encode_reply(execution(), VERSION))


# -- connections ---------------------------------------------------------------------------------------------------


def test_a_disconnect_comes_instead_of_the_message_and_nothing_follows() -> None:
    bench = Bench('kind = "disconnect"\nmessage = "execution"')
    out = bench.send(bench.client(), status(), execution(), Commission("0001.01", 1.0, "USD"))
    assert out == [Send(encode_reply(status(), VERSION)), Close()]


def test_a_disconnect_at_a_time_is_for_all_or_for_one() -> None:
    bench = Bench('kind = "disconnect"\nafter = "1s"', 'kind = "disconnect"\nafter = "2s"\nclient = 2')
    one, two = bench.client(1), bench.client(2)
    assert bench.due(0.5) == Due()
    assert bench.due(1).by_connection == {one.number: [Close()], two.number: [Close()]}
    assert bench.due(2).by_connection == {two.number: [Close()]}


def test_a_half_open_connection_hangs_for_a_time_or_for_ever() -> None:
    bench = Bench('kind = "half-open"\nafter = "1s"\nwall = "20s"', 'kind = "half-open"\nmessage = "order-status"')
    client = bench.client()
    assert bench.due_for(client, 1) == [Hang(20.0)]
    assert bench.send(client, status(), after_s=2)[0] == Hang(0.0)


def test_a_restart_is_the_servers() -> None:
    bench = Bench('kind = "restart"\nat = "09:31"\nwall = "3s"')
    bench.client()
    assert bench.layer.next_ts == START + 60 * NS_PER_S
    assert bench.due(60) == Due([Restart(3.0)])


def test_a_client_id_is_busy_for_so_many_attempts() -> None:
    bench = Bench('kind = "client-id-busy"\nclient = 5\ncount = 2\nafter = "1s"')
    assert bench.layer.refusal(5, START) is None, "not armed yet"
    later = START + NS_PER_S
    assert bench.layer.refusal(4, later) is None
    refused = [bench.layer.refusal(5, later) for _ in range(3)]
    assert [None if each is None else each.code for each in refused] == [326, 326, None]


# -- the exchange --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data_lost", "code"), [("true", 1101), ("false", 1102)])
def test_what_happens_while_connectivity_is_lost_is_told_after_it(data_lost: str, code: int) -> None:
    bench = Bench(f'kind = "connectivity"\nafter = "10s"\nfor = "30s"\ndata_lost = {data_lost}')
    client = bench.client()
    lost = bench.due(10)
    assert lost.server == [LoseExchange()]
    assert [getattr(each, "code", 0) for each in read(lost.by_connection[client.number])] == [1100]
    inside = bench.send(client, execution(), tick(), Time(5), encode_reply(tick(), VERSION), status(), after_s=20)
    assert names(inside) == ["time"], "TWS itself still answers"
    found = bench.due(40)
    assert found.server == [FindExchange(data_lost == "true")]
    told = read(found.by_connection[client.number])
    assert [getattr(each, "code", type(each).__name__) for each in told] == [code, "Execution", "OrderStatus"]
    assert names(bench.send(client, tick(), after_s=41)) == ["tick-price"]


def test_a_client_that_connects_while_connectivity_is_lost_is_told() -> None:
    bench = Bench('kind = "connectivity"\nafter = "0s"\nfor = "30s"')
    bench.due(0)
    out = read(bench.send(bench.client(), NextValidId(1), after_s=1))
    assert [getattr(each, "code", type(each).__name__) for each in out] == ["NextValidId", 1100]


def test_losses_of_connectivity_that_overlap_end_with_the_last() -> None:
    bench = Bench(
        'kind = "connectivity"\nafter = "0s"\nfor = "30s"', 'kind = "connectivity"\nafter = "10s"\nfor = "30s"'
    )
    client = bench.client()
    bench.due(10)
    bench.send(client, execution(), after_s=15)
    assert bench.due(35) == Due()
    assert [each for each in names(bench.due_for(client, 40)) if each != "error"] == ["execution"]


def test_a_delay_that_ends_while_connectivity_is_lost_waits_on() -> None:
    bench = Bench(
        'kind = "delay"\nmessage = "execution"\nfor = "15s"', 'kind = "connectivity"\nafter = "10s"\nfor = "30s"'
    )
    client = bench.client()
    bench.send(client, execution())
    assert names(bench.due_for(client, 20)) == ["error"]
    assert names(bench.due_for(client, 40)) == ["error", "execution"]


@pytest.mark.parametrize(
    ("code", "restored", "passes"),
    [(2103, 2104, False), (2105, 2106, True), (2108, 2104, True), (2110, 2104, False), (2157, 2158, True)],
)
def test_a_farm_breaks_and_comes_back_and_market_data_with_it(code: int, restored: int, passes: bool) -> None:
    bench = Bench(f'kind = "farm"\nafter = "1s"\nfor = "10s"\ncode = {code}')
    client = bench.client()
    assert [getattr(each, "code", 0) for each in read(bench.due_for(client, 1))] == [code]
    assert names(bench.send(client, tick(), status(), after_s=5)) == [*(["tick-price"] * passes), "order-status"]
    assert [getattr(each, "code", 0) for each in read(bench.due_for(client, 11))] == [restored]
    assert names(bench.send(client, tick(), after_s=12)) == ["tick-price"]


def test_a_notice_says_what_the_file_says_to_clients_that_have_started() -> None:
    bench = Bench('kind = "notice"\nafter = "1s"\ncode = 10197\ntext = "No market data during competing live session"')
    one, waiting = bench.client(1), bench.client(-1)
    due = bench.due(1)
    assert read(due.by_connection[one.number]) == [Error(-1, 10197, "No market data during competing live session")]
    assert waiting.number not in due.by_connection


def test_a_layer_does_the_same_for_the_same_input() -> None:
    def play() -> list[object]:
        scenario = Scenario.from_seed(11, START, START + 3600 * NS_PER_S)
        layer = FaultLayer(scenario, START, "America/New_York", encode_reply, name_in)
        client = Client(1, VERSION)
        client.id = 1
        layer.opened(client)
        out: list[object] = []
        for k in range(3600):
            now = START + k * NS_PER_S
            out.append(layer.due(now))
            if k % 60 == 0:
                out.append(layer.pass_on(client, [open_order(k + 1), execution(k + 1, f"{k}.01"), status(k + 1)], now))
        return out

    assert play() == play()


# -- orders --------------------------------------------------------------------------------------------------------


def planned(*faults: str) -> PlannedOrderFaults:
    return PlannedOrderFaults(Scenario.parse("".join(f"[[fault]]\n{each}\n" for each in faults), "s.toml"))


def test_the_nth_order_is_rejected_with_the_text_of_the_file() -> None:
    plan = planned('kind = "reject"\nnth = 2\ntext = "no"', 'kind = "reject"\nsymbol = "BBB"\nnth = 2\ntext = "no BBB"')
    asked = ["AAA", "BBB", "AAA", "BBB", "BBB"]
    assert [plan.rejects(n, symbol) for n, symbol in enumerate(asked, 1)] == ["", "no", "", "no BBB", ""]


def test_fills_are_cut_corrected_and_busted_by_their_number() -> None:
    plan = planned(
        'kind = "partial"\nnth = 2\nparts = 4\ncount = 2',
        'kind = "correct"\nnth = 3\nby = 0.02',
        'kind = "bust"\nnth = 4',
        'kind = "late-fill"\nnth = 5',
    )
    assert [plan.splits(n) for n in range(1, 5)] == [1, 4, 4, 1]
    assert [plan.corrects(n, 10.0) for n in (1, 3)][1] == 10.02
    assert math.isnan(plan.corrects(2, 10.0))
    assert [plan.busts(n) for n in (3, 4, 5)] == [False, True, False]
    assert [plan.fills_after_cancel(n) for n in (4, 5, 6)] == [False, True, False]


def test_a_correction_never_makes_a_price_of_nothing() -> None:
    assert math.isnan(planned('kind = "correct"\nby = -0.01').corrects(1, 0.01))


def test_ids_roll_back_but_not_below_1() -> None:
    plan = planned('kind = "ids-back"\nnth = 2\nby = 100')
    assert [plan.rolled_back(1, order_id) for order_id in (500, 500, 500)] == [500, 400, 500]
    assert planned('kind = "ids-back"').rolled_back(1, 7) == 1
