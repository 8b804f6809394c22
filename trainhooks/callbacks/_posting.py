"""Post: send one HTTP request, and never wait longer for it than was said."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any


class Post(threading.Thread):
    """One POST in a thread of its own, so that whoever waits for it can stop waiting.

    A timeout of the socket alone is one of each read: a server that sends a byte now and then prolongs it for ever. And
    none holds while a name is looked up.

    Args:
        url: where to.
        body: what to send.
        headers: to send with it.
        timeout: seconds that ``send`` may take in all.
    """

    def __init__(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> None:
        super().__init__(name="trainhooks-post", daemon=True)  # the end of the program does not wait for it either
        self._request = urllib.request.Request(url, body, dict(headers), method="POST")
        self._timeout = timeout
        self._connections: list[http.client.HTTPConnection] = []
        self._error: Exception | None = None

    def send(self) -> None:
        """Send it, and wait until the server has said that it took it.

        Raises:
            ConnectionError: it did not, or not in time; the message says why.
        """
        self.start()
        try:
            self.join(self._timeout)
            in_time = not self.is_alive()
        finally:  # after Ctrl-C too
            self.cut()
        error = self._error
        if not in_time or isinstance(getattr(error, "reason", error), TimeoutError):  # the socket's own came first
            raise ConnectionError(f"no answer within {self._timeout:g} s") from error
        if error is not None:
            raise ConnectionError(_reason(error)) from error

    def cut(self) -> None:
        """Close what is open, so that the thread ends whatever it waits for, a name's address excepted."""
        for connection in self._connections:
            open_socket: Any = connection.sock
            if open_socket is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(open_socket, socket.SHUT_RDWR)  # not TLS's own, which would wait

    def run(self) -> None:
        try:
            # proxies as urllib has them: of the environment
            opener = urllib.request.build_opener(_NoRedirect, _http(self._connections), _https(self._connections))
            opener.open(self._request, timeout=self._timeout).close()  # what it answers beside its status is not read
        except Exception as error:  # whatever it is: the thread that waits raises it
            self._error = error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Take a redirection as the error that it is here: what follows it is a GET, without what was to be sent."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _http(connections: list[http.client.HTTPConnection]) -> urllib.request.HTTPHandler:
    class Handler(urllib.request.HTTPHandler):
        def do_open(self, http_class: Any, req: urllib.request.Request, **options: Any) -> http.client.HTTPResponse:
            return super().do_open(_kept(http_class, connections), req, **options)

    return Handler()


def _https(connections: list[http.client.HTTPConnection]) -> urllib.request.HTTPSHandler:
    class Handler(urllib.request.HTTPSHandler):
        def do_open(self, http_class: Any, req: urllib.request.Request, **options: Any) -> http.client.HTTPResponse:
            return super().do_open(_kept(http_class, connections), req, **options)

    return Handler()


def _kept(http_class: Any, connections: list[http.client.HTTPConnection]) -> Any:
    """``http_class``, whose connections are kept in the list too."""

    def connect(*args: Any, **options: Any) -> Any:
        connections.append(http_class(*args, **options))
        return connections[-1]

    return connect


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        with error:
            hint = ", which is not followed: give the URL that it leads to" if 300 <= error.code < 400 else ""
            return f"the server answered {error.code} {error.reason}{hint}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
