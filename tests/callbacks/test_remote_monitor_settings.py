"""RemoteMonitor: the settings that its constructor refuses, and the text of each refusal."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainhooks.callbacks.remote_monitor import RemoteMonitor

NO_URL = "together they are a URL, as 'http://localhost:9000' and '/publish/epoch/end/'"


@pytest.mark.parametrize("root", ["localhost:9000", "ftp://x", "http://", "http://a b", "http://x:port", "", 7, None])
def test_what_is_no_url_is_refused(root: Any) -> None:
    with pytest.raises(ValueError) as caught:
        RemoteMonitor(root, "/x")
    assert str(caught.value) == f"RemoteMonitor(root={root!r}, path='/x'): {NO_URL}"


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError) as caught:
        RemoteMonitor("http://me:secret@host")
    assert str(caught.value) == (
        "RemoteMonitor(root=...): a name and a password for host go into headers={'Authorization': ...}, and not into "
        "the URL, which is shown in warnings"
    )


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, True, "1", None])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError) as caught:
        RemoteMonitor(timeout=timeout)
    assert str(caught.value) == f"RemoteMonitor(timeout={timeout!r}): a number of seconds above 0"


@pytest.mark.parametrize(
    "name, value", [("a", "b\nc"), ("a b", "c"), ("a:", "c"), ("", "c"), ("a", 1), ("a", "\u20ac")]
)
def test_a_header_that_cannot_be_sent_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        RemoteMonitor(headers={name: value})
    assert str(caught.value) == f"RemoteMonitor(headers=...): {name!r} is no header of one line of Latin text"


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        RemoteMonitor(on_error="wran")  # type: ignore[arg-type]
    assert str(caught.value) == "RemoteMonitor(on_error='wran'): 'warn', 'disable' or 'raise'"
