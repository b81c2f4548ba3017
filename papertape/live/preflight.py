"""A look at TWS before a run is made: whether somebody answers, what time it is there, and which account would be traded.

Nothing is asked that could change anything. What is wrong is said in one line, before a folder or a lock was made.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from brokers.ib.codes import CodeClass, classify
from brokers.ib.commands import AskTime
from brokers.ib.events import LinkState
from brokers.ib.gateway import IbGateway
from brokers.ib.market import MarketSettings
from brokers.ib.records import CurrentTime, Disconnected, ErrorMessage, Record
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession, LinkSettings
from papertape.core.errors import PeerError, UserError
from papertape.core.model import NS_PER_S, Mode, SessionTimes
from papertape.live.settings import Address, LiveSettings

CONNECT_S = 15.0
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What TWS said of itself. ``ts`` is its time (UTC ns), ``account`` the one that a run with these settings trades."""

    ts: int
    account: str
    managed: tuple[str, ...]
    server_version: int


def look_at(address: Address, settings: LiveSettings, timeout_s: float = CONNECT_S) -> Found:
    """Connect, hear who it is and what time it has, and leave.

    Which account may be traded is decided by the session that trades, so that nothing is allowed here and refused
    there. Raises UserError with one clear line.
    """
    link = LinkSettings(
        client_id=settings.client_id,
        account=settings.account,
        allows_live=settings.mode is Mode.LIVE,
        port_kind=address.kind,
    )
    ib = IbSession("", Registry(), link, MarketSettings(_NO_SESSIONS), zone=settings.zone)
    gateway = IbGateway()
    try:
        ib.connecting(0)
        gateway.connect(address.host, address.port, settings.client_id, timeout_s)
        return _heard(gateway, ib, address, time.monotonic() + timeout_s)
    except PeerError as error:
        raise UserError(str(error)) from None
    finally:
        gateway.close()


def _heard(gateway: IbGateway, ib: IbSession, address: Address, deadline_s: float) -> Found:
    is_asked = False
    while time.monotonic() < deadline_s:
        for record in gateway.poll(POLL_S):
            _refuse_unless_it_goes_on(record, ib, address)
            ib.receive(record, 0)
            if ib.state is LinkState.FAILED:
                raise UserError(f"{address}: {ib.text}")
            if isinstance(record, CurrentTime) and ib.account.id:
                return Found(record.ts_s * NS_PER_S, ib.account.id, ib.managed, ib.server_version)
        if ib.account.id and not is_asked:
            is_asked = gateway.send(AskTime())
    raise UserError(f"{address} took the connection and says nothing; in TWS, look whether it asks to accept it")


def _refuse_unless_it_goes_on(record: Record, ib: IbSession, address: Address) -> None:
    if isinstance(record, Disconnected):
        raise UserError(f"{address}: {record.reason}")
    if isinstance(record, ErrorMessage) and classify(record.code, record.text) is CodeClass.ID_IN_USE:
        raise UserError(
            f"client id {ib.settings.client_id} is in use at {address}; close the other program, or name another one "
            f"with --client-id"
        )


_NO_SESSIONS = SessionTimes((), (), (), "UTC")
