"""RemoteMonitor: send each epoch's metrics to an HTTP server."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callback import Callback
from ..checks import is_number
from ..dispatch import ErrorPolicy

if TYPE_CHECKING:
    from ..run import Run
    from ._posting import Post


class RemoteMonitor(Callback):
    """Send each epoch's metrics to an HTTP server, as Keras's does, by the standard library alone.

    It sends ``{"epoch": epoch, **logs}`` with a POST to ``root + path``: as JSON text in the field ``field`` of a form,
    or with ``send_as_json`` as the body itself. ``epoch`` counts from 0; a metric that is itself called so is not sent.
    The JSON is always valid: NaN and the infinities are the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``,
    which ``float`` reads, arrays are lists, and what JSON cannot hold is its ``str``.

    Training waits for the server's answer at each epoch's end, and never longer than ``timeout`` in all, however slowly
    the server answers; then the connection is cut and the epoch given up. Nothing is left to wait for when training
    ends. What the server answers is looked at only for its status: anything but 2xx is a failure, a redirection too,
    since what follows one is a GET without the metrics.

    Args:
        root: the server, as ``"http://localhost:9000"``; ``http`` or ``https``.
        path: what is appended to ``root``.
        field: the form's field.
        headers: HTTP headers to send, by name, as ``{"Authorization": "Bearer ..."}``.
        send_as_json: send JSON (``application/json``) rather than a form.
        timeout: seconds that training waits at most, at each epoch's end.
        on_error: what a failure does: ``"warn"`` says it once, and goes on trying at each epoch; ``"disable"`` also
            gives up after the first; ``"raise"`` ends training.

    The proxies of the environment (``http_proxy``, ``no_proxy``) are used, as ``urllib`` does.

    Raises:
        TypeError: ``headers`` is no mapping.
        ValueError: ``root + path`` is no such URL, ``headers`` cannot be sent, or ``timeout`` is no number above 0.
        ConnectionError: (at an epoch's end, with ``on_error="raise"``) the server did not take it.
    """

    phase = "report"
    ranks = "main"

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
        *,
        timeout: float = 1.0,
        on_error: ErrorPolicy = "warn",
    ) -> None:
        self._url = _checked_url(root, path)
        if not (is_number(timeout) and 0 < timeout < math.inf):
            raise ValueError(f"RemoteMonitor(timeout={timeout!r}): a number of seconds above 0")
        if on_error not in ("warn", "disable", "raise"):
            raise ValueError(f"RemoteMonitor(on_error={on_error!r}): 'warn', 'disable' or 'raise'")
        self.headers: dict[str, str] = _checked_headers({} if headers is None else headers)
        self.root: str = root
        self.path: str = path
        self.field: str = field
        self.send_as_json: bool = send_as_json
        self.timeout: float = float(timeout)
        self.on_error = on_error
        self._last: Post | None = None

    def on_epoch_end(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> None:
        from urllib.parse import urlencode  # here, so that `import trainhooks` stays cheap

        from ._json import dumps
        from ._posting import Post

        if self._last is not None:
            self._last.cut()  # one that was still looking up the server's name
            if self._last.is_alive():
                raise self._failed(epoch, "what was sent at an earlier epoch still hangs")
        text = dumps({"epoch": epoch} | {name: _unwrapped(logs[name]) for name in logs if name != "epoch"})
        if self.send_as_json:
            kind, body = "application/json", text
        else:
            kind, body = "application/x-www-form-urlencoded", urlencode({self.field: text})
        post = Post(self._url, body.encode(), {"Content-Type": kind} | self.headers, self.timeout)
        try:
            post.send()
        except ConnectionError as error:
            self._last = post
            raise self._failed(epoch, str(error)) from error
        self._last = None

    def _failed(self, epoch: int, reason: str) -> ConnectionError:
        return ConnectionError(f"{self.root}{self.path} did not take epoch {epoch}: {reason}")


def _unwrapped(value: Any) -> Any:
    """As Keras sends it: an array of one number as that number."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _checked_url(root: str, path: str) -> str:
    """The URL, with what HTTP cannot carry as it is in percents."""
    from urllib.parse import quote, urlsplit

    try:
        url = urlsplit(root + path)
        _ = url.port  # raises where it is no number
        fits = url.scheme in ("http", "https") and bool(url.hostname) and not any(map(str.isspace, url.netloc))
    except (AttributeError, TypeError, ValueError):  # the first where they are numbers
        fits = False
    if not fits:
        raise ValueError(
            f"RemoteMonitor(root={root!r}, path={path!r}): together they are a URL, as 'http://localhost:9000' and "
            "'/publish/epoch/end/'"
        )
    if url.username is not None:
        raise ValueError(
            f"RemoteMonitor(root=...): a name and a password for {url.hostname} go into "
            "headers={'Authorization': ...}, and not into the URL, which is shown in warnings"
        )
    safe = "%/:=&?~+!$,;'@()*[]"
    return url._replace(path=quote(url.path, safe), query=quote(url.query, safe), fragment="").geturl()


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise TypeError(f"RemoteMonitor(headers={headers!r}): a mapping of texts, or None")
    for name, value in headers.items():
        texts = (name, value)
        fits = all(isinstance(text, str) and text.isprintable() and max(text, default="") <= "\xff" for text in texts)
        if not fits or not name or ":" in name or " " in name:
            raise ValueError(f"RemoteMonitor(headers=...): {name!r} is no header of one line of Latin text")
    return dict(headers)
