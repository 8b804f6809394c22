"""Watching: what a Trainer tells no callback of, seen on the instance for the length of a call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from ._translation import Translation


@contextlib.contextmanager
def watching(trainer: Any, bridge: Translation) -> Iterator[None]:
    """For as long, ``bridge`` is the last of the Trainer's callbacks, and sees what its methods are given and return.

    These are methods that the Trainer's subclasses override. Afterwards they are what they were.
    """
    watched = {
        "training_step": _training_step,
        "prediction_step": _prediction_step,
        "evaluate": _evaluate,
        "predict": _predict,
    }
    own = {name: vars(trainer)[name] for name in watched if name in vars(trainer)}
    for name, watch in watched.items():
        native = getattr(trainer, name)
        setattr(trainer, name, functools.wraps(native)(watch(native, trainer, bridge)))
    trainer.add_callback(bridge)
    try:
        yield
    finally:
        trainer.pop_callback(bridge)
        for name in watched:
            if name in own:
                setattr(trainer, name, own[name])
            else:
                delattr(trainer, name)


def _training_step(native: Callable[..., Any], trainer: Any, bridge: Translation) -> Callable[..., Any]:
    def training_step(*args: Any, **kwargs: Any) -> Any:
        loss = native(*args, **kwargs)
        bridge.saw_loss(loss, kwargs["inputs"] if "inputs" in kwargs else args[1])
        return loss

    return training_step


def _prediction_step(native: Callable[..., Any], trainer: Any, bridge: Translation) -> Callable[..., Any]:
    def prediction_step(*args: Any, **kwargs: Any) -> Any:
        bridge.prediction_begins()
        given = native(*args, **kwargs)
        bridge.saw_prediction(given, kwargs["inputs"] if "inputs" in kwargs else args[1])
        return given

    return prediction_step


def _evaluate(native: Callable[..., Any], trainer: Any, bridge: Translation) -> Callable[..., Any]:
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        prefix = kwargs.get("metric_key_prefix", args[2] if len(args) > 2 else "eval")
        with bridge.evaluating("test", prefix):
            metrics = native(*args, **kwargs)
        bridge.evaluated(prefix, trainer.control)
        return metrics

    return evaluate


def _predict(native: Callable[..., Any], trainer: Any, bridge: Translation) -> Callable[..., Any]:
    def predict(*args: Any, **kwargs: Any) -> Any:
        with bridge.evaluating("predict", ""):
            return native(*args, **kwargs)

    return predict
