"""Instruments as TWS describes them, and contracts as clients name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts import Contracts, Refused
from gateway.protocol.contract import Contract
from papertape.core.model import Instrument, InstrumentType

INSTRUMENTS = (
    Instrument("AAPL", con_id=265598, exchange="NASDAQ"),
    Instrument("BRK.B"),
    Instrument("EUR.USD", InstrumentType.CASH),
    Instrument("ESZ25", InstrumentType.FUTURE, exchange="CME", multiplier=50.0),
    Instrument("ESH26", InstrumentType.FUTURE, exchange="CME", multiplier=50.0),
    Instrument("AAPL240621C00190000", InstrumentType.OPTION, multiplier=100.0),
    Instrument("SPX", InstrumentType.INDEX, exchange="CBOE"),
    Instrument("BTC.USD", InstrumentType.CRYPTO),
    Instrument("VOD.L", currency="GBP", exchange="LSE"),
)
CONTRACTS = Contracts(INSTRUMENTS)


def stock(symbol: str, **fields: object) -> Contract:
    given = {"type": "STK", "exchange": "SMART", "currency": "USD", **fields}
    return Contract(symbol=symbol, **given)  # type: ignore[arg-type]


def test_a_stock_is_described_with_its_own_id_and_its_primary_exchange():
    found = CONTRACTS.wire(0)
    assert (found.con_id, found.symbol, found.type, found.exchange) == (265598, "AAPL", "STK", "SMART")
    assert (found.primary_exchange, found.local_symbol, found.trading_class) == ("NASDAQ", "AAPL", "NMS")


def test_a_class_share_is_spelled_with_a_space_and_found_in_either_spelling():
    assert CONTRACTS.wire(1).symbol == "BRK B"
    assert CONTRACTS.find(stock("BRK B")) == CONTRACTS.find(stock("BRK.B")) == [1]


def test_a_suffix_that_is_an_exchange_abroad_is_left_alone():
    assert CONTRACTS.wire(8).symbol == "VOD.L"


def test_a_currency_pair_is_split_into_symbol_and_currency():
    found = CONTRACTS.wire(2)
    assert (found.symbol, found.currency, found.local_symbol, found.exchange) == ("EUR", "USD", "EUR.USD", "IDEALPRO")
    assert CONTRACTS.one(Contract(symbol="EUR", type="CASH", exchange="IDEALPRO", currency="USD")) == 2


def test_a_currency_pair_is_not_traded_smart():
    refused = CONTRACTS.one(Contract(symbol="EUR", type="CASH", exchange="SMART", currency="USD"))
    assert isinstance(refused, Refused)
    assert refused.code == 200


def test_a_future_is_found_by_month_by_day_and_by_local_symbol():
    for named in (
        Contract(symbol="ES", type="FUT", expiry="202512", exchange="CME"),
        Contract(symbol="ES", type="FUT", expiry="20251219", exchange="CME"),
        Contract(local_symbol="ESZ25", type="FUT", exchange="CME"),
    ):
        assert CONTRACTS.one(named) == 3


def test_several_futures_of_one_symbol_are_ambiguous_and_all_of_them_are_found():
    named = Contract(symbol="ES", type="FUT", exchange="CME")
    refused = CONTRACTS.one(named)
    assert CONTRACTS.find(named) == [3, 4]
    assert isinstance(refused, Refused)
    assert refused.code == 200
    assert refused.text.startswith("The contract description specified for ES is ambiguous")


def test_an_option_has_the_terms_of_its_symbol():
    found = CONTRACTS.wire(5)
    assert (found.symbol, found.expiry, found.strike, found.right) == ("AAPL", "20240621", 190.0, "C")
    assert (found.multiplier, found.local_symbol) == ("100", "AAPL  240621C00190000")
    named = Contract(symbol="AAPL", type="OPT", expiry="20240621", strike=190.0, right="CALL", exchange="SMART")
    assert CONTRACTS.one(named) == 5


@pytest.mark.parametrize(
    ("named", "code"),
    [
        (stock("MSFT"), 200),
        (stock("AAPL", currency="EUR"), 200),
        (stock("AAPL", exchange="NOWHERE"), 200),
        (stock("AAPL", primary_exchange="NYSE"), 200),
        (stock("AAPL", type="CFD"), 200),
        (stock("AAPL", id_type="ISIN", id="US0378331005"), 200),
        (stock("", con_id=4711), 200),
        (stock("AAPL", type=""), 321),
        (stock("AAPL", exchange=""), 321),
        (stock(""), 321),
    ],
)
def test_a_contract_that_names_nothing_is_refused(named: Contract, code: int):
    refused = CONTRACTS.one(named)
    assert isinstance(refused, Refused)
    assert refused.code == code


@pytest.mark.parametrize(
    "named",
    [
        stock("AAPL"),
        stock("aapl"),
        stock("AAPL", exchange="ARCA"),
        stock("AAPL", exchange="NYSE", primary_exchange="ISLAND"),
        stock("AAPL", trading_class="NMS"),
        Contract(con_id=265598, exchange="SMART"),
        Contract(local_symbol="AAPL", type="STK", exchange="SMART"),
    ],
)
def test_a_stock_is_found_by_whatever_is_given(named: Contract):
    assert CONTRACTS.one(named) == 0


@given(st.lists(st.text("ABCDEFGHIJ", min_size=1, max_size=6), unique=True, min_size=1, max_size=60))
def test_every_description_leads_back_to_its_instrument(symbols: list[str]):
    contracts = Contracts([Instrument(symbol) for symbol in symbols])
    for j in range(len(symbols)):
        found = contracts.wire(j)
        assert 0 < found.con_id < 2**31
        assert contracts.one(found) == j
        assert contracts.one(Contract(con_id=found.con_id, exchange="SMART")) == j


def test_an_id_made_from_a_symbol_does_not_depend_on_the_others():
    alone = Contracts([Instrument("XYZ")]).wire(0).con_id
    assert Contracts([Instrument("ABC"), Instrument("XYZ")]).wire(1).con_id == alone


def test_two_instruments_never_share_an_id_that_was_made():
    made = Contracts([Instrument("XYZ")]).wire(0).con_id
    contracts = Contracts([Instrument("OWNER", con_id=made), Instrument("XYZ")])
    assert contracts.wire(0).con_id == made
    assert contracts.wire(1).con_id != made
