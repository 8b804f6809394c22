"""What an Ignite engine reports: metrics out of its process function's output, and those attached to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trainhooks


def metrics_of(output: Any) -> Mapping[str, Any] | None:
    """The metrics in an output: one number is ``loss``, a mapping holds numbers by name; None for anything else.

    What is no single number in a mapping, as the predictions of a batch, is left out.
    """
    if isinstance(output, Mapping):
        if all(map(_is_number, output.values())):
            return output
        return {name: value for name, value in output.items() if _is_number(value)}
    if output is None:
        return {}
    return {"loss": output} if _is_number(output) else None


def no_metrics(output: Any) -> TypeError:
    """The error for an output of training whose metrics nobody can tell."""
    return TypeError(
        f"the engine's process function gave a {type(output).__name__}, in which no metric has a name. Return a number "
        "(it is called 'loss') or a dictionary, or pick them, as output_transform=lambda output: {'loss': output[0]}; "
        "with output_transform=None its output is not looked at."
    )


def add_attached(logs: trainhooks.Logs, metrics: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Add the metrics that Ignite has attached to an engine's state.

    Args:
        logs: where they go, under the names that are still free: an output's own means keep theirs.
        metrics: ``engine.state.metrics`` now.
        before: what it held when the epoch began. A value that is the very same object was not made in this epoch; of
            integers, which Python shares, that says nothing.
    """
    for name, value in metrics.items():
        is_new = isinstance(value, int) or value is not before.get(name, before)
        if name not in logs and is_new and _is_number(value):
            logs.add(name, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (float, int)) or getattr(value, "ndim", None) == 0
