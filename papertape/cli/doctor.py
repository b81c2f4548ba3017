"""``papertape doctor``: what is right and wrong with TWS, each with the setting to change."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from papertape.cli.gateway_option import ClientId
from papertape.core.errors import ConfigError

if TYPE_CHECKING:
    from papertape.live.doctor import Finding
    from papertape.live.settings import Address

HOST = "127.0.0.1"
PORTS = (7497, 7496, 4002, 4001)
"""What TWS (paper, live) and IB Gateway (paper, live) listen on."""
_TOUCH_S = 1.0
FAILED = 2


def doctor(
    gateway: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT|sim", help="Default: what listens on this computer at the usual ports."),
    ] = None,
    symbol: Annotated[str, typer.Option(metavar="A", help="Whose data are looked at.")] = "AAPL",
    client_id: ClientId = 102,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Look whether TWS or IB Gateway is set up to trade with, and say which settings to change.

    No order is given: whether TWS takes any is asked with a what-if. Exit status 2 where something hinders all.
    """
    from papertape.cli.gateway_option import chosen_gateway
    from papertape.cli.text import emit
    from papertape.live.doctor import Level, examine

    if not 0 <= client_id < 2**31:
        raise ConfigError(f"--client-id {client_id}: a whole number from 0 is needed")
    found: dict[str, list[Finding]] = {}
    if gateway is not None:
        with chosen_gateway(gateway) as peer:
            symbol = peer.symbol if peer.is_simulated and symbol == "AAPL" else symbol
            found[str(peer)] = examine(peer.address, client_id=client_id, symbol=symbol)
    else:
        for address in _listening():
            found[str(address)] = examine(address, client_id=client_id, symbol=symbol)
    if as_json:
        emit(json.dumps([_as_plain(where, findings) for where, findings in found.items()], indent=2))
    else:
        emit("\n".join(line for where, findings in found.items() for line in _lines(where, findings)))
    is_bad = any(each.level is Level.BAD for findings in found.values() for each in findings)
    return FAILED if is_bad else 0


def _listening() -> list[Address]:
    """Where something listens among the usual ports. Raises ConfigError where nothing does."""
    from papertape.live.doctor import API_SETTINGS
    from papertape.live.settings import Address

    found = []
    for port in PORTS:
        try:
            socket.create_connection((HOST, port), timeout=_TOUCH_S).close()
        except OSError:
            continue
        found.append(Address(HOST, port))
    if not found:
        ports = ", ".join(map(str, PORTS))
        raise ConfigError(
            f"nobody listens on this computer at {ports}; start TWS or IB Gateway and switch on "
            f'"Enable ActiveX and Socket Clients" ({API_SETTINGS}), or name another place with --gateway'
        )
    return found


def _lines(where: str, findings: Sequence[Finding]) -> list[str]:
    """The findings of a TWS; what is to be done below each."""
    from papertape.cli.text import clean, heading, warn, wrapped

    width = max(len(each.level) for each in findings)
    lines = [heading(clean(where))]
    for each in findings:
        word = f"{each.level.value:<{width}}"
        shown = warn(word) if each.level in ("warning", "bad") else word
        first, *rest = wrapped(f"{clean(each.what)}: {clean(each.text)}", first="", rest=" " * (width + 4))
        lines += [f"  {shown}  {first}", *rest]
        if each.setting:
            indent = " " * (width + 4)
            lines += wrapped(f"-> {clean(each.setting)}", first=indent, rest=f"{indent}   ")
    return lines


def _as_plain(where: str, findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "gateway": where,
        "findings": [
            {"level": each.level.value, "what": each.what, "text": each.text, "setting": each.setting or None}
            for each in findings
        ],
    }
