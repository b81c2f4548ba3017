"""``--notify COMMAND|URL``: tell a person, or a program, what must not wait.

A thread of its own delivers one notification after the other, each with a bounded number of attempts. Whoever trades
only puts them into a bounded queue and never waits; what could not be told is counted and said at the end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPException
from typing import Any, Protocol

from papertape.core.errors import ConfigError
from papertape.moments import iso_utc

QUEUE_MOST = 64
ATTEMPTS = 4
TIMEOUT_S = 10.0
BACK_OFF_S = (1.0, 4.0, 15.0)
"""Wait before the second, third ... attempt."""
CLOSE_TIMEOUT_S = 20.0
FAILURES_KEPT = 5
_RETRIED_STATUS = frozenset({408, 425, 429})
"""Refusals of an HTTP server that may pass; other 4xx do not."""


class Notable(StrEnum):
    """What is told."""

    GUARD_TRIP = "guard-trip"
    LINK_LOST = "link-lost"
    LINK_BACK = "link-back"
    MISMATCH = "mismatch"
    HALT = "halt"
    END = "end"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing that happened in a run. ``ts`` is UTC ns."""

    event: Notable
    ts: int
    text: str
    run: str = ""
    strategy: str = ""
    mode: str = ""
    account: str = ""

    def as_json(self) -> bytes:
        """As one JSON object; ``time`` is ISO-8601 in UTC, ``ts`` nanoseconds."""
        return json.dumps({**dataclasses.asdict(self), "time": iso_utc(self.ts)}).encode()

    def as_environment(self) -> dict[str, str]:
        """As environment variables; a NUL byte, which none can hold, is left out."""
        values = {**dataclasses.asdict(self), "time": iso_utc(self.ts)}
        return {f"PAPERTAPE_{name.upper()}": str(value).replace("\0", "") for name, value in values.items()}


class DeliveryError(Exception):
    """A notification did not arrive. ``is_final``: another attempt would end in the same way."""

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


class Target(Protocol):
    """Where notifications go."""

    def deliver(self, notification: Notification, timeout_s: float) -> None:
        """Deliver it within the time, or raise DeliveryError."""


class CommandTarget:
    """A program, given the notification as JSON on its standard input and in its environment. No shell reads it."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)

    def deliver(self, notification: Notification, timeout_s: float) -> None:
        """Run the program; it succeeded where it ends with status 0 in time."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the user named it for this
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **notification.as_environment()},
                start_new_session=True,  # Ctrl-C on the terminal ends the run, not its last notification
            )
        except (OSError, ValueError) as error:
            raise DeliveryError(f"{self.words[0]} cannot be run ({error})") from None
        try:
            process.communicate(notification.as_json() + b"\n", timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise DeliveryError(f"{self.words[0]} did not end within {timeout_s:g} s") from None
        except OSError as error:  # it ended without reading
            _kill(process)
            raise DeliveryError(f"{self.words[0]} did not take it ({error})") from None
        if process.returncode:
            raise DeliveryError(f"{self.words[0]} ended with status {process.returncode}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program, and where that is possible what it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:  # it has ended, or its group is not ours any more
            process.kill()
    else:
        process.kill()
    if process.stdin is not None:
        process.stdin = None  # communicate would write the rest to it
    process.wait()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its content."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: the answer is then an error."""


class UrlTarget:
    """A web server that gets the notification as JSON in a POST."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opener = urllib.request.build_opener(_NoRedirects)

    def deliver(self, notification: Notification, timeout_s: float) -> None:
        """POST it; any status of 200 to 299 is a success. The time holds for each step of the exchange."""
        headers = {"Content-Type": "application/json", "User-Agent": "papertape"}
        request = urllib.request.Request(self.url, notification.as_json(), headers, method="POST")  # noqa: S310 - parse_target allows http and https only
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                status = int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            is_final = error.code < 500 and error.code not in _RETRIED_STATUS
            raise DeliveryError(f"the server answered {error.code} {error.reason}", is_final=is_final) from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise DeliveryError(str(reason) or type(error).__name__) from None
        if not 200 <= status < 300:
            raise DeliveryError(f"the server answered {status}")


def parse_target(text: str) -> Target:
    """The target that ``--notify`` names. Raises ConfigError where it can not be one."""
    if "://" in text.split(" ", 1)[0]:
        try:
            parts = urllib.parse.urlsplit(text)
            is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_sound = False
        if not is_sound or not text.isprintable() or " " in text:
            raise ConfigError(f'--notify "{text}": a URL as https://example.com/hook, or a command, is needed')
        return UrlTarget(text)
    try:
        words = shlex.split(text, posix=os.name != "nt")
    except ValueError as error:
        raise ConfigError(f'--notify "{text}": {str(error).lower()}; close the quote') from None
    if not words:
        raise ConfigError("--notify: a command or a URL is needed")
    program = shutil.which(words[0])
    if program is None:
        raise ConfigError(f'--notify "{text}": there is no program "{words[0]}"; give its path')
    return CommandTarget([program, *words[1:]])


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of all notifications. ``failures`` are the first few reasons."""

    sent: int
    failed: int
    dropped: int
    """The queue was full."""
    pending: int
    """Not delivered when the time for the end was over."""
    failures: tuple[str, ...] = ()

    def text(self) -> str:
        """What is to be said at the end; empty where all arrived."""
        counts: Mapping[str, int] = {
            "could not be delivered": self.failed,
            "did not fit into the queue": self.dropped,
            "were still on their way": self.pending,
        }
        parts = [f"{count} {what}" for what, count in counts.items() if count]
        if not parts:
            return ""
        of = self.sent + self.failed + self.dropped + self.pending
        return f"notifications: of {of}, {', '.join(parts)}" + (f" ({self.failures[0]})" if self.failures else "")


class Notifier:
    """Delivers notifications to one target, in order, from a thread of its own."""

    def __init__(
        self,
        target: Target,
        *,
        most: int = QUEUE_MOST,
        attempts: int = ATTEMPTS,
        timeout_s: float = TIMEOUT_S,
        back_off_s: Sequence[float] = BACK_OFF_S,
    ) -> None:
        self._target = target
        self._attempts = attempts
        self._timeout_s = timeout_s
        self._back_off_s = back_off_s
        self._queue: queue.Queue[Notification | None] = queue.Queue(most)
        self._is_closing = threading.Event()
        self._count = threading.Lock()
        self._sent = self._failed = self._taken = self._dropped = 0
        self._failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self._thread.start()

    def send(self, notification: Notification) -> bool:
        """Have it delivered; returns at once, False where the queue is full (which is counted)."""
        with self._count:
            if self._is_closing.is_set():
                self._dropped += 1
                return False
            try:
                self._queue.put_nowait(notification)
            except queue.Full:
                self._dropped += 1
                return False
            self._taken += 1
            return True

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> Delivered:
        """Deliver what is waiting, at most for so long and with no more pauses between attempts; what became of all."""
        with self._count:
            self._is_closing.set()
        deadline = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=max(timeout_s, 0.001))
            self._thread.join(max(deadline - time.monotonic(), 0.0))
        except queue.Full:
            self._is_closing.set()  # the thread hangs in one delivery; it is left to the end of the process
        with self._count:
            pending = self._taken - self._sent - self._failed
            return Delivered(self._sent, self._failed, self._dropped, pending, tuple(self._failures))

    def _run(self) -> None:
        while (notification := self._queue.get()) is not None:
            failure = self._deliver(notification)
            with self._count:
                if failure:
                    self._failed += 1
                    if len(self._failures) < FAILURES_KEPT:
                        self._failures.append(f"{notification.event}: {failure}")
                else:
                    self._sent += 1

    def _deliver(self, notification: Notification) -> str:
        """Why a notification could not be delivered; empty where it was."""
        failure = ""
        for attempt in range(self._attempts):
            if attempt:
                self._is_closing.wait(self._back_off_s[min(attempt, len(self._back_off_s)) - 1])
            try:
                self._target.deliver(notification, self._timeout_s)
            except DeliveryError as error:
                failure = str(error)
                if error.is_final:
                    break
            except Exception as error:  # noqa: BLE001 - a bug here must not end the thread that tells of trips
                failure = f"{type(error).__name__}: {error}"
                break
            else:
                return ""
        return failure
