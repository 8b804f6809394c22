"""What a filter cannot be: the full text, where it is written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trainhooks import Callback, between, every, once, when


class Steps(Callback):
    """Stands where a hook should."""


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: every(step=10),  # type: ignore[call-arg]
        TypeError,
        "every(step=...): there is no such unit. Did you mean 'steps'? "
        "There are 'steps', 'optimizer_steps', 'epochs', 'seconds'.",
    ),
    (
        lambda: once(zzz=1),  # type: ignore[call-arg]
        TypeError,
        "once(zzz=...): there is no such unit. There are 'step', 'epoch'.",
    ),
    (
        every,
        TypeError,
        "every() takes one unit of 'steps', 'optimizer_steps', 'epochs', 'seconds', and was given nothing",
    ),
    (
        lambda: every(steps=1, epochs=2),
        TypeError,
        "every() takes one unit of 'steps', 'optimizer_steps', 'epochs', 'seconds', and was given steps and epochs",
    ),
    (
        lambda: once(step=1, epoch=1),
        TypeError,
        "once() takes one unit of 'step', 'epoch', and was given step and epoch",
    ),
    (between, TypeError, "between() takes one unit of 'steps', 'epochs', and was given nothing"),
    (lambda: when(True), TypeError, "when(True): a function of the run"),  # type: ignore[arg-type]
    (lambda: every(steps=1)(7), TypeError, "every(steps=1): it decorates a hook, and 7 is none"),  # type: ignore[type-var]
    (
        lambda: every(steps=1)(Steps),
        TypeError,
        "every(steps=1): it decorates a hook, and <class 'test_filters_refused.Steps'> is none",
    ),
    (
        lambda: every(seconds=0.5)(print),
        TypeError,
        "every(seconds=0.5): <built-in function print> cannot be marked. "
        "Register it with on(event, every(seconds=0.5)).",
    ),
]
REFUSED += [
    (lambda n=n: every(steps=n), ValueError, f"every(steps={n!r}): a whole number, at least 1")
    for n in (0, -1, 1.0, True, "10", float("nan"))
]
REFUSED += [
    (lambda n=n: every(seconds=n), ValueError, f"every(seconds={n!r}): a number of seconds above 0")
    for n in (0, -1.0, True, "10", float("nan"), float("inf"))
]
REFUSED += [
    (lambda n=n: once(epoch=n), ValueError, f"once(epoch={n!r}): a whole number, at least 0") for n in (-1, 0.5, False)
]
REFUSED += [
    (
        lambda n=n: between(steps=n),
        ValueError,
        f"between(steps={n!r}): a pair (first, last) of whole numbers with 0 <= first < last, or last None",
    )
    for n in (5, (5,), (5, 5), (5, 3), (-1, 3), (0.5, 3), (0, 2.5), ("a", "b"), (None, 3), (True, 5), "no", (1, 2, 3))
]


@pytest.mark.parametrize("mistake, kind, text", REFUSED, ids=[text[:40] for _, _, text in REFUSED])
def test_a_filter_that_cannot_be_is_refused_where_it_is_written(
    mistake: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        mistake()
    assert str(caught.value) == text


def test_whole_numbers_of_other_libraries_are_whole_numbers() -> None:
    assert every(steps=np.int64(10)) == every(steps=10)
    assert between(steps=(np.int32(1), np.int64(3))) == between(steps=(1, 3))
    assert once(step=np.uint8(3)) == once(step=3)


def test_a_filter_tells_itself_as_it_was_written() -> None:
    filters = [every(steps=1234567), every(seconds=0.25), once(), once(epoch=3), between(epochs=(2, None)), when(len)]
    assert [str(one) for one in filters] == [
        "every(steps=1234567)",
        "every(seconds=0.25)",
        "once()",
        "once(epoch=3)",
        "between(epochs=(2, None))",
        "when(len)",
    ]
