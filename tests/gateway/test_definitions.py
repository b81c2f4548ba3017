"""Contract details and symbol search as a client of the simulated TWS gets them."""

from __future__ import annotations

import pytest

from gateway.protocol.contract import Contract
from gateway.protocol.replies import ContractDetailsEnd, ContractDetailsRow, SymbolSamples
from gateway.protocol.requests import CancelNewsBulletins, ContractDetails, MatchingSymbols, NewsBulletins
from papertape.core.model import Instrument, InstrumentType
from tests.brokers import tapes
from tests.gateway.desk import Desk, errors, stock
from tests.gateway.june import at, trades

NAMES = ("AAPL", "AAP", "BRK.B", "ESZ25", "ESH26", "ZAAP")
INSTRUMENTS = (
    Instrument("AAPL", con_id=265598, exchange="NASDAQ"),
    Instrument("ESZ25", InstrumentType.FUTURE, exchange="CME", tick_size=0.25, multiplier=50.0),
    Instrument("ESH26", InstrumentType.FUTURE, exchange="CME", tick_size=0.25, multiplier=50.0),
)


def opened() -> Desk:
    series = [trades(name, [(at(6, "9:30:00"), 1.0, 1.0), (at(7, "9:30:00"), 1.0, 1.0)]) for name in NAMES]
    return Desk(*series, instruments=INSTRUMENTS, start=at(7, "9:30:00"))


def test_details_describe_the_contract_its_tick_and_its_hours():
    played = opened()
    client = played.client()
    row, end = played.ask(ContractDetails(3, stock("AAPL")), client)
    assert isinstance(row, ContractDetailsRow)
    assert (row.request, row.contract.con_id, row.contract.primary_exchange) == (3, 265598, "NASDAQ")
    assert (row.min_tick, row.time_zone, "SMART" in row.valid_exchanges) == (0.01, "US/Eastern", True)
    assert row.liquid_hours.split(";")[:3] == ["20240607:0930-20240607:1600", "20240608:CLOSED", "20240609:CLOSED"]
    assert row.trading_hours.split(";")[0] == "20240607:0400-20240607:2000"
    assert end == ContractDetailsEnd(3)


def test_all_contracts_that_fit_are_described():
    played = opened()
    client = played.client()
    *rows, end = played.ask(ContractDetails(3, Contract(symbol="ES", type="FUT")), client)
    assert [(row.contract.local_symbol, row.contract_month) for row in rows if isinstance(row, ContractDetailsRow)] == [
        ("ESZ25", "202512"),
        ("ESH26", "202603"),
    ]
    assert end == ContractDetailsEnd(3)


@pytest.mark.parametrize(
    ("contract", "code"),
    [(stock("ZZZ"), 200), (Contract(con_id=1), 200), (Contract(symbol="AAPL"), 321), (Contract(type="STK"), 321)],
)
def test_what_no_contract_fits_is_an_error(contract: Contract, code: int):
    played = opened()
    assert errors(played.ask(ContractDetails(3, contract), played.client())) == [code]


@pytest.mark.parametrize("version", [157, 163, 164, 182, 200])
def test_details_can_be_written_at_every_age_of_client(version: int):
    from gateway.protocol.codec import decode_reply, encode_reply

    played = opened()
    row = played.ask(ContractDetails(3, stock("AAPL")), played.client(version))[0]
    assert isinstance(row, ContractDetailsRow)
    read = decode_reply(encode_reply(row, version)[4:], version)
    assert isinstance(read, ContractDetailsRow)
    assert (read.contract.con_id, read.liquid_hours, read.min_tick) == (265598, row.liquid_hours, 0.01)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("aap", ["AAP", "AAPL", "ZAAP"]), ("AAPL", ["AAPL"]), ("brk", ["BRK B"]), ("", []), ("Q", [])],
)
def test_a_search_finds_exact_symbols_first_then_beginnings_then_parts(pattern: str, found: list[str]):
    played = opened()
    [reply] = played.ask(MatchingSymbols(4, pattern), played.client())
    assert isinstance(reply, SymbolSamples)
    assert [sample.contract.symbol for sample in reply.samples] == found


def test_news_bulletins_are_accepted_and_there_are_none():
    played = opened()
    client = played.client()
    assert played.ask(NewsBulletins(all_messages=True), client) == []
    assert played.ask(CancelNewsBulletins(), client) == []


@pytest.mark.parametrize(("version", "multiplier"), [(157, 100), (158, 100), (159, 1), (200, 1)])
def test_details_say_how_many_shares_a_size_stands_for(version: int, multiplier: int) -> None:
    desk = Desk(tapes.trades("AAPL", (1, 100.0)))
    client = desk.client(2, version)
    heard = desk.ask(ContractDetails(1, stock("AAPL")), client)
    assert [each.size_multiplier for each in heard if isinstance(each, ContractDetailsRow)] == [multiplier]
