"""RemoteMonitor: what a real server on this machine gets, and what training does where there is none."""

from __future__ import annotations

import json
import math
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from runs import put

from trainhooks import Callback, LoopRun, World, evaluate, fit
from trainhooks.callbacks.remote_monitor import RemoteMonitor
from trainhooks.testing import Constant, StopAt, batches, play


class Server(ThreadingHTTPServer):
    """Keeps what it gets, and answers each request with the next of ``answers``; 200 after them."""

    def __init__(self, answers: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.got: list[tuple[str, str, Mapping[str, str], bytes]] = []

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def forms(self, field: str = "data") -> list[Any]:
        """The JSON in the field of each form."""
        return [json.loads(parse_qs(body.decode(), strict_parsing=True)[field][0]) for *_, body in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.command, self.path, self.headers, body))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(answer)
        if 300 <= answer < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.got.append((self.command, self.path, self.headers, b""))
        self.send_error(404)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(*answers: int) -> Iterator[Server]:
    with Server(list(answers)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


PATIENT: dict[str, Any] = {"timeout": 60, "on_error": "raise"}
"""For a server that answers: a slow machine must not fail the test."""


def test_each_epoch_is_sent_as_json_in_a_form_s_field() -> None:
    with serving() as server:
        fit(Constant(0.5), batches(2), batches(1), epochs=2, callbacks=[RemoteMonitor(server.root, **PATIENT)])
    ((method, path, headers, body), _) = server.got
    assert (method, path, headers["Content-Type"]) == (
        "POST",
        "/publish/epoch/end/",
        "application/x-www-form-urlencoded",
    )
    assert body == b"data=%7B%22epoch%22%3A+0%2C+%22loss%22%3A+0.5%2C+%22val_loss%22%3A+0.5%7D"
    assert server.forms() == [{"epoch": epoch, "loss": 0.5, "val_loss": 0.5} for epoch in (0, 1)]


def test_json_can_be_the_body_itself() -> None:
    with serving() as server:
        put([{"a": 0.5}], RemoteMonitor(server.root, send_as_json=True, **PATIENT))
    ((_, _, headers, body),) = server.got
    assert (headers["Content-Type"], body) == ("application/json", b'{"epoch": 0, "a": 0.5}')


def test_path_field_and_headers_are_as_given() -> None:
    with serving() as server:
        headers = {"Authorization": "Bearer x", "content-type": "text/x-mine"}
        put([{"a": 0.5}], RemoteMonitor(server.root, "/a b/\u00e9?q=%20#part", "field", headers, **PATIENT))
    ((_, path, got, _),) = server.got
    assert (path, got["Authorization"], got["Content-Type"]) == ("/a%20b/%C3%A9?q=%20", "Bearer x", "text/x-mine")
    assert server.forms("field") == [{"epoch": 0, "a": 0.5}]


def test_what_is_sent_is_valid_json_whatever_a_metric_is() -> None:
    values = {"nan": math.nan, "one": np.array([0.5]), "two": np.array([1, math.inf]), "f": np.float32(0.5), "s": "x&y"}
    with serving() as server:
        put([values | {"epoch": 9.0, "o": 1j}], RemoteMonitor(server.root, **PATIENT))
    assert server.forms() == [
        {
            "epoch": 0,
            "nan": "NaN",
            "one": 0.5,
            "two": [1, "Infinity"],
            "f": 0.5,
            "s": "x&y",
            "o": "1j",
        }
    ]


def test_it_sends_what_the_real_keras_class_hands_to_requests() -> None:
    """Keras needs ``requests``, whose ``post(url, {field: text})`` and ``post(url, json=...)`` are these two forms."""
    keras = pytest.importorskip("keras")
    theirs = keras.callbacks.RemoteMonitor()
    ours = RemoteMonitor()
    for name in ("root", "path", "field", "send_as_json"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.headers, theirs.headers) == ({}, None)
    pytest.importorskip("requests")
    logs = {"loss": np.float32(0.5), "m": np.array([2.0]), "n": 3}
    for as_json in (False, True):
        with serving() as server:
            keras.callbacks.RemoteMonitor(server.root, send_as_json=as_json).on_epoch_end(0, logs)
            put([logs], RemoteMonitor(server.root, send_as_json=as_json, **PATIENT))
        their, our = [(path, headers["Content-Type"], body) for _, path, headers, body in server.got]
        if as_json:  # requests sets no spaces
            their, our = [(*rest, json.loads(body)) for *rest, body in (their, our)]
        assert our == their


def test_an_evaluation_alone_sends_nothing_and_so_does_another_rank() -> None:
    class Second(World):
        rank, size = 1, 2

    with serving() as server:
        evaluate(Constant(), batches(1), callbacks=[RemoteMonitor(server.root, **PATIENT)])
        with LoopRun(callbacks=[RemoteMonitor(server.root, **PATIENT)], world=Second()) as run:
            for _ in run.epochs(1):
                pass
    assert server.got == []


# A server that does not take it


def warned(*monitors: RemoteMonitor, epochs: int = 2) -> list[str]:
    """What a run says in which they fail, and which goes on to its end."""
    with pytest.warns(RuntimeWarning) as caught:
        run = play([{"loss": 1.0}] * epochs, monitors)
    assert (run.outcome, run.epochs_done) == ("completed", epochs)
    return [str(one.message) for one in caught]


def story(url: str, reason: str, end: str = "training goes on") -> list[str]:
    return [f"RemoteMonitor.on_epoch_end raised ConnectionError: {url} did not take epoch 0: {reason} ({end})"]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        return int(one.getsockname()[1])


def test_where_there_is_no_server_one_warning_says_so() -> None:
    root = f"http://127.0.0.1:{free_port()}"
    (text,) = warned(RemoteMonitor(root, timeout=60))
    assert text.startswith(
        f"RemoteMonitor.on_epoch_end raised ConnectionError: {root}/publish/epoch/end/ did not take "
    )
    assert "refused" in text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (500, "the server answered 500 Internal Server Error"),
        (404, "the server answered 404 Not Found"),
        (301, "the server answered 301 Moved Permanently, which is not followed: give the URL that it leads to"),
        (307, "the server answered 307 Temporary Redirect, which is not followed: give the URL that it leads to"),
    ],
)
def test_an_answer_that_is_no_success_is_told_once_and_the_next_epoch_is_sent(answer: int, reason: str) -> None:
    with serving(answer, answer, 201) as server:
        assert warned(RemoteMonitor(server.root, "/x", timeout=60), epochs=3) == story(f"{server.root}/x", reason)
    assert [(method, path) for method, path, *_ in server.got] == [("POST", "/x")] * 3
    assert [form["epoch"] for form in server.forms()] == [0, 1, 2]


def test_disable_gives_up_after_the_first_failure() -> None:
    with serving(500) as server:
        (text,) = warned(RemoteMonitor(server.root, "/x", timeout=60, on_error="disable"), epochs=3)
    assert "the server answered 500 Internal Server Error" in text
    assert len(server.got) == 1


def test_raise_ends_training() -> None:
    with serving(503) as server, pytest.raises(ConnectionError) as caught:
        play([{"loss": 1.0}] * 2, [RemoteMonitor(server.root, **PATIENT)])
    assert str(caught.value) == (
        f"{server.root}/publish/epoch/end/ did not take epoch 0: the server answered 503 Service Unavailable"
    )


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does what it likes with each connection, one after the other; it must come to an end by itself."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def trickle(connection: socket.socket) -> None:
    """An answer that never ends, a byte at a time, until the other side is gone."""
    connection.settimeout(0.01)
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            connection.sendall(b"x")
            try:
                if not connection.recv(65536):
                    return
            except TimeoutError:
                continue
    except OSError:
        return


def silence(connection: socket.socket) -> None:
    """No answer at all, until the other side is gone."""
    try:
        while connection.recv(65536):
            pass
    except OSError:
        return


def reset(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() sends a reset


def nonsense(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"what?\r\n\r\n")


@pytest.mark.parametrize("talk", [trickle, silence])
def test_a_server_that_never_ends_its_answer_is_cut_off(talk: Callable[[socket.socket], None]) -> None:
    with talking(talk) as root:  # left only once the server sees that the other side is gone
        told = warned(RemoteMonitor(root, "/x", timeout=0.1), epochs=3)
    assert told == story(f"{root}/x", "no answer within 0.1 s")
    for thread in threading.enumerate():
        if thread.name == "trainhooks-post":
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize(("talk", "reason"), [(reset, "reset by peer"), (nonsense, "what?")])
def test_a_connection_that_breaks_is_told_once(talk: Callable[[socket.socket], None], reason: str) -> None:
    with talking(talk) as root:
        (text,) = warned(RemoteMonitor(root, timeout=60))
    assert reason in text


def test_the_proxies_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("http_proxy", proxy.root)
        put([{"a": 0.5}], RemoteMonitor("http://nowhere.invalid", "/x", **PATIENT))
    ((_, path, *_),) = proxy.got
    assert path == "http://nowhere.invalid/x"


def test_nothing_is_said_where_all_goes_well() -> None:
    with serving() as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        play([{"loss": 1.0}] * 2, [RemoteMonitor(server.root, timeout=60)])
    assert len(server.got) == 2


@pytest.mark.parametrize("event", ["train_batch_end", "test_batch_end", "test_end", "epoch_end"])
def test_each_epoch_of_a_run_that_was_paused_inside_one_is_sent_once(event: str) -> None:
    def train(url: str, *callbacks: Callback, resume: Any = None) -> LoopRun:
        made = [RemoteMonitor(url, **PATIENT), *callbacks]
        return fit(Constant(0.5), batches(2), batches(1), epochs=3, callbacks=made, resume=resume)

    with serving() as server:
        train(server.root, resume=train(server.root, StopAt(event, 1, kind="pause")).state_dict())
    assert [form["epoch"] for form in server.forms()] == [0, 1, 2]
