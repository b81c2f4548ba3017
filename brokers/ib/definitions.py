"""Definitions of contracts: asks TWS, and says which of the contracts that it knows is the one that is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from brokers.ib.commands import AskContract, Command
from brokers.ib.events import Event, InstrumentKnown, Notice
from brokers.ib.records import NAN, ContractDetails, ContractDetailsEnd
from brokers.ib.registry import Registry
from brokers.ib.translate import SMART, contract_of, instrument_of
from papertape.core.errors import UserError
from papertape.core.model import NS_PER_S, Instrument
from papertape.core.timers import NEVER

CHOICES_SHOWN = 5


@dataclass(slots=True)
class _Asked:
    instrument: int
    wanted: Instrument
    con_id: int
    deadline: int = NEVER
    found: list[ContractDetails] = field(default_factory=list)


class Definitions:
    """Each instrument that is put gets one :class:`InstrumentKnown`, in time or at the deadline.

    What was asked when the connection ended is asked again on the next one.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        send: Callable[[Command], None],
        emit: Callable[[Event], None],
        next_id: Callable[[], int],
        deadline_s: float,
    ) -> None:
        self.registry = registry
        self._deadline_s = deadline_s
        self._send = send
        self._emit = emit
        self._next_id = next_id
        self._open: dict[int, _Asked] = {}
        self._unsent: list[_Asked] = []
        self._is_up = False

    def put(self, j: int, wanted: Instrument, con_id: int, now: int) -> None:
        """Have TWS define an instrument, at once or when there is a connection."""
        asked = _Asked(j, wanted, con_id)
        if self._is_up:
            self._ask(asked, now)
        else:
            self._unsent.append(asked)

    def _ask(self, asked: _Asked, now: int) -> None:
        asked.deadline = now + round(self._deadline_s * NS_PER_S)
        asked.found.clear()
        request_id = self._next_id()
        self._open[request_id] = asked
        self._send(AskContract(request_id, contract_of(asked.wanted, asked.con_id)))

    def begin(self, now: int) -> None:
        """There is a connection."""
        self._is_up = True
        waiting, self._unsent = self._unsent, []
        for asked in waiting:
            self._ask(asked, now)

    def drop(self) -> None:
        """It has ended."""
        self._is_up = False
        self._unsent += self._open.values()
        self._open.clear()

    def owns(self, request_id: int) -> bool:
        """Whether a request id is one of these."""
        return request_id in self._open

    def receive(self, record: ContractDetails | ContractDetailsEnd) -> bool:
        """Take in a definition; False where nobody asked for it here."""
        asked = self._open.get(record.request_id)
        if asked is None:
            return False
        if isinstance(record, ContractDetails):
            asked.found.append(record)
            return True
        del self._open[record.request_id]
        known = choose(asked.instrument, asked.wanted, asked.found)
        if not known.failure:
            self.registry.define(asked.instrument, known.con_id, known.min_tick)
            ours = self.registry.instruments[asked.instrument]
            if known.multiplier != ours.multiplier:
                text = (
                    f"{ours.symbol} has the multiplier {known.multiplier:g} at TWS, and {ours.multiplier:g} in this run"
                )
                self._emit(Notice(0, f"{text}, whose values and limits would all be wrong by that", halts=True))
        self._emit(known)
        return True

    def fail(self, request_id: int, text: str) -> None:
        """TWS does not know the contract, or does not say."""
        asked = self._open.pop(request_id)
        self._emit(_failed(asked.instrument, f"{asked.wanted.symbol} is not known at Interactive Brokers ({text})"))

    def pass_time(self, now: int) -> None:
        """What was not answered in time is not known."""
        for request_id in [each for each, asked in self._open.items() if now >= asked.deadline]:
            self.fail(request_id, f"no answer within {self._deadline_s:g} s")

    def next_due(self) -> int:
        """The next deadline (UTC ns); NEVER where there is none."""
        return min((asked.deadline for asked in self._open.values()), default=NEVER)


def choose(j: int, wanted: Instrument, found: Sequence[ContractDetails]) -> InstrumentKnown:
    """The one contract that fits type, currency and, where one is named, primary exchange; else a failure that says why.

    Several rows of one contract id are one contract.
    """
    by_id = {each.contract.con_id: each for each in found if _fits(wanted, each)}
    if len(by_id) != 1:
        return _failed(j, _why_not(wanted, list(by_id.values()) or found, is_none=not by_id))
    [details] = by_id.values()
    try:
        instrument = instrument_of(details)
    except UserError as error:
        return _failed(j, str(error))
    contract = details.contract
    return InstrumentKnown(
        j, contract.con_id, details.min_tick, instrument.multiplier, contract.currency, contract.exchange,
        contract.primary_exchange,
    )  # fmt: skip


def _failed(j: int, failure: str) -> InstrumentKnown:
    return InstrumentKnown(j, 0, NAN, NAN, "", "", "", failure)


def _fits(wanted: Instrument, details: ContractDetails) -> bool:
    contract = details.contract
    if contract.type != wanted.type or contract.currency != wanted.currency:
        return False
    named = wanted.exchange
    return named == SMART or not contract.primary_exchange or named in (contract.primary_exchange, contract.exchange)


def _why_not(wanted: Instrument, found: Sequence[ContractDetails], *, is_none: bool) -> str:
    shown = ", ".join(_described(each) for each in found[:CHOICES_SHOWN])
    more = f" and {len(found) - CHOICES_SHOWN} more" if len(found) > CHOICES_SHOWN else ""
    if is_none:
        what = f"{wanted.symbol} as {wanted.type} in {wanted.currency} at {wanted.exchange}"
        return f"TWS knows no {what}" + (f"; it knows {shown}{more}" if found else "")
    which = "its symbol alone does not say which, so it is not followed; a scan that finds it does say"
    return f"{wanted.symbol} may be any of {shown}{more}: {which}"


def _described(details: ContractDetails) -> str:
    contract = details.contract
    where = contract.primary_exchange or contract.exchange
    return (
        f"{contract.local_symbol or contract.symbol} {contract.type} {contract.currency} at {where} ({contract.con_id})"
    )
