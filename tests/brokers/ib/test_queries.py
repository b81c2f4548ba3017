"""Snapshots, histories, scans and definitions, against plain records: counted one by one, each with a deadline."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from brokers.ib.commands import (
    AskContract,
    AskHistory,
    FollowMarket,
    FollowScan,
    StopHistory,
    StopMarket,
    StopScan,
)
from brokers.ib.events import Answered, InstrumentKnown, Notice
from brokers.ib.queries import QuerySettings
from brokers.ib.records import (
    Connected,
    ContractDetails,
    ContractDetailsEnd,
    ContractRecord,
    Disconnected,
    ErrorMessage,
    HistoryBar,
    HistoryEnd,
    NextValidId,
    ScannerEnd,
    ScannerRow,
    SnapshotEnd,
    TickGeneric,
    TickPrice,
    TickSize,
    TickString,
)
from papertape.core import scanner
from papertape.core.model import NS_PER_S, Bar, Instrument, ScanRow
from papertape.core.requests import HistoryRequest, Reply, ScanRequest, Snapshot, SnapshotRequest, duration
from tests.brokers.ib.asked import NOW, Asked
from tests.gateway.june import at


def answers(asked: Asked) -> list[Reply]:
    return [event.reply for event in asked.taken(Answered)]


def prices(request: int, last: float = 10.0) -> list[Any]:
    return [
        TickPrice(request, 4, last), TickSize(request, 5, 100.0), TickString(request, 45, str(NOW // NS_PER_S - 3)),
        TickPrice(request, 6, 11.0), TickSize(request, 8, 12.0), TickPrice(request, 1, 9.9), TickSize(request, 0, 1.0),
        TickPrice(request, 2, 10.1), TickSize(request, 3, 1.0), TickGeneric(request, 49, 0.0),
    ]  # fmt: skip


def asking(request: Any, *symbols: str, **settings: Any) -> tuple[Asked, list[Any]]:
    asked = Asked(*symbols, **settings)
    asked.commands()
    asked.queries.put(request, asked.now)
    return asked, asked.commands()


def history(*symbols: str, length: str = "2 D", bar: str = "1 day") -> HistoryRequest:
    return HistoryRequest(symbols, duration(length), duration(bar))


# -- snapshots ------------------------------------------------------------------------------------------------------


def test_snapshots_of_many_go_at_once_and_are_counted_one_by_one():
    names = tuple(f"S{k}" for k in range(50))
    asked, commands = asking(SnapshotRequest(names), *names)
    assert len(commands) == 50
    assert all(isinstance(each, FollowMarket) and each.snapshot and not each.generic_ticks for each in commands)
    for each in reversed(commands[1:]):
        asked.tell(*prices(each.request_id), SnapshotEnd(each.request_id))
    assert answers(asked) == []
    asked.tell(*prices(commands[0].request_id))
    [reply] = answers(asked)
    assert list(reply) == list(names)
    assert reply.missing == ()
    assert reply["S7"] == Snapshot("S7", 10.0, 9.9, 10.1, 1200.0, NOW - 3 * NS_PER_S)


def test_at_the_deadline_what_is_missing_is_named_and_what_came_is_kept():
    asked, commands = asking(SnapshotRequest(("AAA", "BBB", "CCC")))
    first, second, third = (each.request_id for each in commands)
    asked.tell(*prices(first), TickPrice(second, 4, 20.0))
    asked.wait(9.0)
    assert answers(asked) == []
    asked.wait(1.0)
    [reply] = answers(asked)
    assert reply.missing == ("CCC",)
    assert reply["BBB"].last == 20.0
    assert math.isnan(reply["BBB"].bid)
    assert asked.commands() == [StopMarket(second), StopMarket(third)]
    asked.tell(*prices(third), SnapshotEnd(third), ErrorMessage(third, 300, "Can't find EId with tickerId"))
    asked.wait(100.0)
    assert asked.take() == []


def test_a_snapshot_that_ends_with_nothing_is_missing():
    asked, [command] = asking(SnapshotRequest(("AAA",)))
    asked.tell(
        TickPrice(command.request_id, 1, -1.0), TickSize(command.request_id, 0, 0.0), SnapshotEnd(command.request_id)
    )
    [reply] = answers(asked)
    assert reply.missing == ("AAA",)


def test_an_error_fails_the_one_request_that_it_is_for():
    asked, commands = asking(SnapshotRequest(("AAA", "BBB")))
    asked.tell(ErrorMessage(commands[0].request_id, 200, "No security definition has been found for the request"))
    asked.tell(*prices(commands[1].request_id))
    notice, answered = asked.take()
    assert isinstance(notice, Notice)
    assert notice.text == "AAA: TWS 200: No security definition has been found for the request"
    assert not notice.halts
    assert (list(answered.reply), answered.reply.missing) == (["BBB"], ("AAA",))


def test_delayed_prices_answer_where_tws_says_that_it_sends_them():
    asked, [command] = asking(SnapshotRequest(("AAA",)))
    request = command.request_id
    asked.tell(
        ErrorMessage(request, 10167, "Displaying delayed market data."),
        TickPrice(request, 68, 10.0),
        SnapshotEnd(request),
    )
    [reply] = answers(asked)
    assert reply["AAA"].last == 10.0


def test_no_more_snapshots_are_open_than_lines_allow():
    asked, commands = asking(SnapshotRequest(("AAA", "BBB", "CCC")), queries=QuerySettings(snapshots=2))
    assert [each.contract.symbol for each in commands] == ["AAA", "BBB"]
    asked.tell(*prices(commands[0].request_id))
    [third] = asked.commands()
    assert third.contract.symbol == "CCC"
    asked.tell(*prices(third.request_id), *prices(commands[1].request_id))
    [reply] = answers(asked)
    assert list(reply) == ["AAA", "BBB", "CCC"]


def test_a_request_for_nothing_is_answered_at_once():
    asked, commands = asking(SnapshotRequest(()))
    assert commands == []
    assert [len(reply) for reply in answers(asked)] == [0]


def test_requests_that_wait_are_bounded():
    asked = Asked("AAA")
    for _ in range(201):
        asked.queries.put(SnapshotRequest(("AAA",)), asked.now)
    [reply] = answers(asked)
    assert reply.missing == ("AAA",)


# -- history --------------------------------------------------------------------------------------------------------


def day(request: int, date: str, close: float) -> HistoryBar:
    return HistoryBar(request, date, 10.0, 12.0, 9.0, close, 1000.0, 10.0, 5)


def test_two_days_are_the_prior_session_and_today_so_far_however_many_tws_tells():
    asked, [command] = asking(history("AAA"))
    assert isinstance(command, AskHistory)
    assert not command.keep_up_to_date
    request = command.request_id
    asked.tell(*(day(request, date, 10.0) for date in ("20240530", "20240531", "20240603", "20240604")))
    asked.tell(HistoryEnd(request, "", ""))
    [reply] = answers(asked)
    assert reply["AAA"] == [
        Bar("AAA", at(3, "16:00:00"), 10.0, 12.0, 9.0, 10.0, 1000.0, at(3, "9:30:00")),
        Bar("AAA", NOW, 10.0, 12.0, 9.0, 10.0, 1000.0, at(4, "9:30:00")),
    ]


def test_histories_of_several_go_at_once_and_no_data_is_missing_not_an_error():
    asked, commands = asking(history("AAA", "BBB", length="10 m", bar="1 m"))
    first, second = (each.request_id for each in commands)
    starts = [NOW - k * 60 * NS_PER_S for k in range(12, 0, -1)]
    asked.tell(*(HistoryBar(second, str(ts // NS_PER_S), 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1) for ts in starts))
    asked.tell(HistoryEnd(second, "", ""))
    asked.tell(
        ErrorMessage(
            first, 162, "Historical Market Data Service error message:HMDS query returned no data: AAA@SMART Trades"
        )
    )
    [answered] = asked.take()
    assert answered.reply.missing == ("AAA",)
    assert [each.start for each in answered.reply["BBB"]] == starts[2:]


def test_a_pacing_violation_waits_and_asks_again_within_the_deadline():
    asked, [command] = asking(history("AAA"))
    text = "Historical Market Data Service error message:Historical data request pacing violation"
    asked.tell(ErrorMessage(command.request_id, 162, text))
    asked.wait(15.0)
    assert asked.commands() == [command]
    asked.tell(day(command.request_id, "20240604", 10.0), HistoryEnd(command.request_id, "", ""))
    assert [list(reply) for reply in answers(asked)] == [["AAA"]]


def test_the_same_history_within_fifteen_seconds_is_answered_from_memory():
    asked, [command] = asking(history("AAA"))
    asked.tell(day(command.request_id, "20240604", 10.0), HistoryEnd(command.request_id, "", ""))
    asked.wait(14.0)
    asked.queries.put(history("AAA"), asked.now)
    first, second = answers(asked)
    assert asked.commands() == []
    assert first["AAA"][0].close == second["AAA"][0].close
    asked.wait(1.0)
    asked.queries.put(history("AAA"), asked.now)
    assert [type(each) for each in asked.commands()] == [AskHistory]


def test_a_history_that_does_not_come_is_missing_at_its_deadline():
    asked, commands = asking(history("AAA", "BBB"))
    asked.tell(day(commands[0].request_id, "20240604", 10.0))
    asked.wait(60.0)
    [reply] = answers(asked)
    assert reply.missing == ("AAA", "BBB"), "bars without their end are not all of them"
    assert asked.commands() == [StopHistory(each.request_id) for each in commands]


# -- scans ----------------------------------------------------------------------------------------------------------


def row(request: int, rank: int, symbol: str, con_id: int, **fields: Any) -> ScannerRow:
    contract = ContractRecord(con_id, symbol, **{"type": "STK", "exchange": "SMART", "currency": "USD", **fields})
    return ScannerRow(request, rank, contract)


def scanning(rows: int = 5) -> tuple[Asked, int]:
    spec = scanner.MOST_ACTIVE.where(price_above=10)
    asked, [command] = asking(ScanRequest(spec, rows), "AAA", "BRK.B")
    assert isinstance(command, FollowScan)
    assert (command.code, command.rows, dict(command.options)) == ("MOST_ACTIVE", rows, {"priceAbove": "10"})
    return asked, command.request_id


def test_a_scan_is_answered_once_by_rank_and_its_subscription_ends():
    asked, request = scanning()
    asked.tell(row(request, 1, "NEW", 77), row(request, 0, "AAA", 11), ScannerEnd(request))
    [reply] = answers(asked)
    assert reply.value.rows == (ScanRow(0, "AAA", 11, "SMART", "USD"), ScanRow(1, "NEW", 77, "SMART", "USD"))
    assert (reply.value.code, reply.value.ts, reply.value.source) == ("MOST_ACTIVE", asked.now, "broker")
    assert asked.commands() == [StopScan(request)]
    asked.tell(
        ErrorMessage(request, 162, "Historical Market Data Service error message:API scanner subscription cancelled: 1"),
        row(request, 0, "LATE", 78), ScannerEnd(request),
    )  # fmt: skip
    asked.wait(100.0)
    assert asked.take() == []


def test_rows_of_a_scan_become_instruments_of_the_run_with_their_contract_ids():
    asked, request = scanning()
    asked.tell(row(request, 0, "BRK B", 72), row(request, 1, "NEW", 77, currency="CAD"), ScannerEnd(request))
    [reply] = answers(asked)
    assert reply.value.symbols == ["BRK.B", "NEW"], "as the run spells it"
    registry = asked.registry
    assert registry.con_ids == [0, 72, 77]
    assert registry.instruments[2] == Instrument("NEW", currency="CAD", con_id=77)


def test_a_row_that_can_not_be_traded_is_left_out_and_named():
    asked, request = scanning()
    asked.registry.con_ids[0] = 11
    asked.tell(
        row(request, 0, "AAA", 99), row(request, 1, "X", 5, type="OPT"), row(request, 2, "OK", 6), ScannerEnd(request)
    )
    [reply] = answers(asked)
    assert reply.value.rows == (ScanRow(0, "OK", 6, "SMART", "USD"),)
    assert "AAA is left out: the run's AAA is another contract (11, this one is 99)" in reply.value.note
    assert "X is left out: it is of type OPT" in reply.value.note


@pytest.mark.parametrize(
    ("code", "text", "note"),
    [
        (165, "Historical Market Data Service query message:no items retrieved", "no items retrieved"),
        (162, "Historical Market Data Service error message:Scanner type with code X is disabled", "is disabled"),
    ],
)
def test_an_empty_scan_is_an_answer_with_no_rows_and_why(code: int, text: str, note: str):
    asked, request = scanning()
    asked.tell(ErrorMessage(request, code, text))
    [reply] = answers(asked)
    assert reply.value.rows == ()
    assert note in reply.value.note


def test_a_warning_about_a_scan_does_not_end_it():
    asked, request = scanning()
    asked.tell(ErrorMessage(request, 492, "Requested market data is not subscribed; scanner results may be delayed"))
    assert answers(asked) == []
    asked.tell(row(request, 0, "AAA", 11), ScannerEnd(request))
    [reply] = answers(asked)
    assert reply.value.symbols == ["AAA"]
    assert "492" in reply.value.note


def test_a_scan_that_never_ends_is_answered_with_what_came():
    asked, request = scanning()
    asked.tell(row(request, 0, "AAA", 11))
    asked.wait(30.0)
    [reply] = answers(asked)
    assert reply.value.symbols == ["AAA"]
    assert reply.value.note == "TWS did not answer in time"
    assert asked.commands() == [StopScan(request)]


# -- connections ----------------------------------------------------------------------------------------------------


def test_when_the_connection_ends_what_waits_is_answered_with_what_is_missing():
    asked, commands = asking(SnapshotRequest(("AAA", "BBB")))
    asked.tell(*prices(commands[0].request_id), Disconnected("gone"))
    asked.queries.drop(asked.now)
    [reply] = answers(asked)
    assert (list(reply), reply.missing) == (["AAA"], ("BBB",))
    assert asked.commands() == []


def test_what_is_asked_without_a_connection_waits_for_one_until_its_deadline():
    asked = Asked(version=0)
    asked.queries.put(SnapshotRequest(("AAA",)), asked.now)
    asked.queries.put(ScanRequest(scanner.scan_spec("MOST_ACTIVE"), 5), asked.now)
    asked.settle()
    assert asked.commands() == []
    asked.wait(10.0)
    assert [reply.missing for reply in answers(asked)] == [("AAA",)]
    asked.tell(Connected(200, ""), NextValidId(1))
    assert asked.commands() == []
    asked.settle()
    assert [type(each) for each in asked.commands()] == [FollowScan]


# -- definitions ----------------------------------------------------------------------------------------------------


def details(request: int, con_id: int, primary: str = "NYSE", currency: str = "USD", **fields: Any) -> ContractDetails:
    contract = ContractRecord(
        con_id, "AAA", "STK", exchange="SMART", primary_exchange=primary, currency=currency, local_symbol="AAA"
    )
    given = {"price_magnifier": 1, "min_tick": 0.01, **fields}
    return ContractDetails(
        request, contract, "AAA", order_types="", valid_exchanges="", long_name="", time_zone="", trading_hours="",
        liquid_hours="", **given,
    )  # fmt: skip


def defining(wanted: Instrument | None = None) -> tuple[Asked, int]:
    asked = Asked("AAA")
    asked.commands()
    asked.queries.know(0, wanted or Instrument("AAA"), 0, asked.now)
    [command] = asked.commands()
    assert isinstance(command, AskContract)
    return asked, command.request_id


def test_an_instrument_is_known_when_one_contract_fits_it():
    asked, request = defining()
    asked.tell(details(request, 7), details(request, 8, currency="CAD"), ContractDetailsEnd(request))
    assert asked.take() == [InstrumentKnown(0, 7, 0.01, 1.0, "USD", "SMART", "NYSE")]
    assert asked.registry.con_ids == [7]


def test_a_multiplier_that_is_not_the_runs_halts_since_every_value_would_be_wrong():
    asked, request = defining()
    future = details(request, 7)
    future = replace(future, contract=replace(future.contract, multiplier="50"))
    asked.tell(future, ContractDetailsEnd(request))
    notice, known = asked.take()
    assert notice.halts
    assert notice.text.startswith("AAA has the multiplier 50 at TWS, and 1 in this run")
    assert known.con_id == 7


def test_a_price_step_that_tws_defines_is_kept():
    asked, request = defining()
    asked.tell(details(request, 7, min_tick=0.05), ContractDetailsEnd(request))
    assert asked.registry.price_step(0) == 0.05


def test_the_primary_exchange_settles_between_several():
    asked, request = defining(Instrument("AAA", exchange="NASDAQ"))
    asked.tell(details(request, 7), details(request, 8, primary="NASDAQ"), ContractDetailsEnd(request))
    assert [event.con_id for event in asked.take()] == [8]


def test_several_contracts_that_fit_are_named():
    asked, request = defining()
    asked.tell(details(request, 7), details(request, 8, primary="ARCA"), ContractDetailsEnd(request))
    [known] = asked.take()
    assert (
        known.failure == "AAA may be any of AAA STK USD at NYSE (7), AAA STK USD at ARCA (8): "
        "its symbol alone does not say which, so it is not followed; a scan that finds it does say"
    )
    assert asked.registry.con_ids == [0]


def test_what_tws_does_not_know_in_this_currency_is_named_with_what_it_knows():
    asked, request = defining()
    asked.tell(details(request, 8, currency="CAD"), ContractDetailsEnd(request))
    [known] = asked.take()
    assert known.failure == "TWS knows no AAA as STK in USD at SMART; it knows AAA STK CAD at NYSE (8)"


def test_what_tws_does_not_know_at_all_fails_and_nothing_else_does():
    asked, request = defining()
    asked.queries.know(0, Instrument("AAA"), 0, asked.now)
    asked.tell(ErrorMessage(request, 200, "No security definition has been found for the request"))
    [known] = asked.take()
    assert known.failure.startswith("AAA is not known at Interactive Brokers (TWS 200:")
    assert asked.commands()[0].request_id != request


def test_a_definition_has_a_deadline_and_survives_a_break():
    asked, request = defining()
    asked.queries.drop(asked.now)
    asked.tell(Connected(200, ""), NextValidId(1))
    asked.settle()
    [again] = asked.commands()
    assert again.request_id != request
    asked.wait(10.0)
    [known] = asked.take()
    assert known.failure == "AAA is not known at Interactive Brokers (no answer within 10 s)"


def test_bars_that_were_told_before_a_break_are_asked_for_again_after_it():
    asked = Asked("AAA")
    question = history("AAA")
    asked.queries.put(question, asked.now)
    asked.settle()
    first = asked.commands()[-1]
    asked.tell(HistoryEnd(first.request_id, "", ""))
    asked.queries.drop(asked.now)
    asked.tell(Connected(200, ""), NextValidId(1))
    asked.settle()
    asked.take()
    asked.queries.put(question, asked.now)
    asked.wait(16.0)
    assert [type(each) for each in asked.commands()] == [type(first)]
