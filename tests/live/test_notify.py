"""Notifications: to a real program and a real web server, with what goes wrong on the way."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from papertape.core.errors import ConfigError
from papertape.live.notify import (
    CommandTarget,
    DeliveryError,
    Notable,
    Notification,
    Notifier,
    UrlTarget,
    parse_target,
)

WITHIN_S = 20.0
TRIP = Notification(
    Notable.GUARD_TRIP, 1_717_421_400_000_000_000, "max_drawdown: 94,900.00 is below 95,000.00",
    "20240603T133000Z-TickMomentum-paper-0a1b2c", "TickMomentum", "paper", "DU1234567",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Web:
    """A web server on loopback that answers as it is told, and keeps what it got."""

    def __init__(self, *answers: int) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        waiting = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                content = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.got.append((handler.path, dict(handler.headers), content))
                status = waiting.pop(0) if waiting else 204
                handler.send_response(status)
                if status // 100 == 3:
                    handler.send_header("Location", "/other")
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *_: Any) -> None:  # noqa: N805
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?x=1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Callable[..., Web]]:
    made: list[Web] = []

    def make(*answers: int) -> Web:
        made.append(Web(*answers))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def python(code: str, *arguments: str) -> CommandTarget:
    return CommandTarget([sys.executable, "-c", code, *arguments])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_a_web_server_gets_the_event_as_json(web: Callable[..., Web]) -> None:
    server = web(200)
    notifier = Notifier(parse_target(server.url))
    assert notifier.send(TRIP)
    done = notifier.close()
    assert (done.sent, done.failed, done.dropped, done.pending, done.text()) == (1, 0, 0, 0, "")
    ((path, headers, content),) = server.got
    assert path == "/hook?x=1"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(content) == {
        "event": "guard-trip", "ts": TRIP.ts, "time": "2024-06-03T13:30:00.000000000Z", "text": TRIP.text,
        "run": TRIP.run, "strategy": "TickMomentum", "mode": "paper", "account": "DU1234567",
    }  # fmt: skip


def test_a_command_gets_the_event_on_its_input_and_in_its_environment(tmp_path: Path) -> None:
    out = tmp_path / "told me.json"
    code = (
        "import json, os, sys; json.dump([json.load(sys.stdin), os.environ['PAPERTAPE_EVENT'],"
        " os.environ['PAPERTAPE_TEXT'], sys.argv[1:]], open(sys.argv[1], 'w'))"
    )
    text = shlex.join([sys.executable, "-c", code, str(out), "$(echo no shell) ; ls"])
    notifier = Notifier(parse_target(text))
    notifier.send(TRIP)
    assert notifier.close().sent == 1
    heard, event, said, arguments = json.loads(out.read_text())
    assert heard["account"] == "DU1234567"
    assert (event, said) == ("guard-trip", TRIP.text)
    assert arguments == [str(out), "$(echo no shell) ; ls"]


def test_what_fails_is_tried_again(web: Callable[..., Web]) -> None:
    server = web(503, 429, 200)
    notifier = Notifier(UrlTarget(server.url), back_off_s=(0.01, 0.01))
    notifier.send(TRIP)
    assert notifier.close().sent == 1
    assert len(server.got) == 3


def test_attempts_are_bounded_and_the_failure_is_said(web: Callable[..., Web]) -> None:
    server = web(500, 500, 500, 500)
    notifier = Notifier(UrlTarget(server.url), attempts=3, back_off_s=(0.01,))
    notifier.send(TRIP)
    done = notifier.close()
    assert len(server.got) == 3
    assert done.text() == (
        "notifications: of 1, 1 could not be delivered (guard-trip: the server answered 500 Internal Server Error)"
    )


@pytest.mark.parametrize("status", [302, 307, 404, 401])
def test_a_refusal_for_good_is_not_tried_again(web: Callable[..., Web], status: int) -> None:
    server = web(status)
    notifier = Notifier(UrlTarget(server.url), back_off_s=(0.01,))
    notifier.send(TRIP)
    done = notifier.close()
    assert (done.failed, len(server.got)) == (1, 1)
    assert str(status) in done.text()


def test_pauses_between_attempts_end_with_the_run(web: Callable[..., Web]) -> None:
    server = web(500, 204)
    notifier = Notifier(UrlTarget(server.url), back_off_s=(3_600.0,))
    notifier.send(TRIP)
    until(lambda: len(server.got) == 1)
    assert notifier.close(WITHIN_S).sent == 1


def test_a_server_that_hangs_delays_nobody_and_is_given_up(silent: str) -> None:
    notifier = Notifier(UrlTarget(silent), attempts=2, timeout_s=0.05, back_off_s=(0.01,))
    notifier.send(TRIP)
    done = notifier.close()
    assert done.failed == 1
    assert "timed out" in done.text()


def test_the_end_does_not_wait_for_a_server_that_hangs(silent: str) -> None:
    notifier = Notifier(UrlTarget(silent), most=2, timeout_s=WITHIN_S)
    taken = [notifier.send(TRIP) for _ in range(50)]
    assert taken.count(False) >= 47, "a full queue refuses at once"
    done = notifier.close(0.1)
    assert done.pending == taken.count(True)
    assert done.dropped == taken.count(False)
    assert done.text() == (
        f"notifications: of 50, {done.dropped} did not fit into the queue, {done.pending} were still on their way"
    )
    assert not notifier.send(TRIP), "nothing more is taken"


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    out = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "open(sys.argv[1] + '.part', 'w').write(f'{os.getpid()} {child.pid}');"
        "os.rename(sys.argv[1] + '.part', sys.argv[1]); time.sleep(600)"
    )
    notifier = Notifier(python(code, str(out)), attempts=1, timeout_s=1.5)
    notifier.send(TRIP)
    done = notifier.close()
    assert done.failed == 1
    assert "did not end within 1.5 s" in done.text()
    if sys.platform != "win32":
        for pid in map(int, out.read_text().split()):
            until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet collected by its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z" not in stat.read_text()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("import sys; sys.stdin.close(); sys.exit(1)", "ended with status 1"),
    ],
)
def test_a_command_that_fails_has_not_delivered(code: str, text: str) -> None:
    with pytest.raises(DeliveryError, match=text):
        python(code).deliver(TRIP, WITHIN_S)


def test_a_command_that_is_gone_has_not_delivered(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="cannot be run"):
        CommandTarget([str(tmp_path / "gone")]).deliver(TRIP, WITHIN_S)


def test_a_server_that_is_gone_or_speaks_nonsense_has_not_delivered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.sendall(b"\x00\x01nonsense\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeliveryError):
            UrlTarget(f"http://127.0.0.1:{port}/").deliver(TRIP, WITHIN_S)
        thread.join()
    with pytest.raises(DeliveryError, match="refused"):
        UrlTarget(f"http://127.0.0.1:{port}/").deliver(TRIP, WITHIN_S)


def test_a_bug_in_a_target_ends_neither_the_thread_nor_the_run() -> None:
    class Broken:
        def deliver(self, notification: Notification, timeout_s: float) -> None:
            raise ZeroDivisionError("oops")

    notifier = Notifier(Broken())
    notifier.send(TRIP)
    notifier.send(TRIP)
    assert notifier.close().failures == ("guard-trip: ZeroDivisionError: oops",) * 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a command or a URL is needed"),
        ("  ", "a command or a URL is needed"),
        ("ftp://example.com/x", "a URL as https://example.com/hook, or a command, is needed"),
        ("file:///etc/passwd", "a URL as https"),
        ("http://", "a URL as https"),
        ("http://[::1/", "a URL as https"),
        ("http://host:99999/", "a URL as https"),
        ("https://example.com/a b", "a URL as https"),
        ("say 'hello", "no closing quotation; close the quote"),
        ("no-such-program-anywhere --x", 'there is no program "no-such-program-anywhere"; give its path'),
    ],
)
def test_a_target_that_can_not_be_meant_is_one_line(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_target(text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_word_like_a_url_in_a_commands_argument_is_the_commands(tmp_path: Path) -> None:
    target = parse_target(f"{shlex.quote(sys.executable)} -V https://example.com/x")
    assert isinstance(target, CommandTarget)
    assert target.words[1:] == ["-V", "https://example.com/x"]
