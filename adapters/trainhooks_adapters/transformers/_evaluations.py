"""Evaluations: the validations and predictions of a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import trainhooks
from trainhooks_adapters.torch import rows_of

from ._runs import Runs

_SPEED: Final = ("runtime", "per_second", "preparation_time", "compilation_time")
"""How the names of what the Trainer measures of itself end, which are no metrics of the model."""


class Evaluations(Runs):
    """Scopes of validations and predictions, from the Trainer's signals and from its methods where these are seen."""

    def prepare(self, options: trainhooks.WrapOptions) -> None:
        super().prepare(options)
        self._test: Any = None
        """The scope that is open; None between them."""
        self._found: tuple[Any, Any, int] = (None, None, 1)
        """Of the running batch: its loss, its outputs and its rows."""
        self._kind: Literal["test", "predict"] = "test"
        self._prefix, self._depth = "eval", 0
        self._awaits = False
        """An epoch's batches are over, and its end waits for what the Trainer evaluates or logs first."""

    def new_driver(self, args: Any, native: Mapping[str, Any]) -> trainhooks.Driver:
        self._test, self._awaits = None, False
        return super().new_driver(args, native)

    # What is seen of the Trainer's methods

    def prediction_begins(self) -> None:
        """A batch of an evaluation or a prediction begins."""
        self._do(None, None, self._begin_batch)

    def saw_prediction(self, given: Any, inputs: Any) -> None:
        """What ``prediction_step`` gave: loss, logits, labels."""
        if not self._acting and self._test is not None:
            self._found = given[0], given[1], rows_of(inputs)

    @contextlib.contextmanager
    def evaluating(self, kind: Literal["test", "predict"], prefix: str) -> Iterator[None]:
        """For as long the Trainer evaluates, or predicts; an evaluation of several data sets has one in it for each."""
        if self._acting:
            yield
            return
        before = self._kind, self._prefix, self._depth
        self._kind, self._prefix, self._depth = kind, prefix, self._depth + 1
        try:
            yield
        finally:
            self._kind, self._prefix, self._depth = before

    def evaluated(self, prefix: str, control: Any) -> None:
        """An evaluation is over; the outermost of an epoch's end has the epoch end."""
        if self._depth == 0 and prefix == "eval":
            self._do(None, control, self._finish_epoch)

    # What the signals do

    def _begin_batch(self, driver: trainhooks.Driver) -> None:
        self._open(driver)
        if self._test is not None:
            driver.batch_begin(self._test.batch + 1)

    def _end_batch(self, driver: trainhooks.Driver) -> None:
        if self._test is None or not self._test.in_batch:  # its begin was not seen
            self._begin_batch(driver)
        if self._test is None:
            return
        (loss, outputs, rows), self._found = self._found, (None, None, 1)
        if self._kind == "test" and loss is not None:
            driver.log({"loss": loss}, n=rows)
        driver.batch_end(outputs=outputs)

    def _end_evaluation(self, driver: trainhooks.Driver, metrics: Mapping[str, Any]) -> None:
        self._open(driver)
        if self._test is not None:
            kind, logs, self._test = self._test.kind, self._test.logs, None
            if kind == "test":
                self._take(logs, metrics)
            driver.close(kind)
        if "eval_runtime" in metrics:  # else it is one of several data sets
            self._finish_epoch(driver)

    def _open(self, driver: trainhooks.Driver) -> None:
        """A validation has its place in an epoch, or alone; of one before the first epoch nothing is told."""
        if self._test is None and driver.stack[-1].kind in ("run", "epoch", "pass"):
            prefix = self._prefix
            name = f"val{prefix[4:]}" if prefix == "eval" or prefix.startswith("eval_") else prefix
            self._test = driver.open(self._kind, name=name or "val")

    def _take(self, logs: trainhooks.Logs, metrics: Mapping[str, Any]) -> None:
        hides = not math.isfinite(logs.get("loss", 0.0))  # the Trainer leaves such batches out of its mean
        for key, value in metrics.items():
            name = key.removeprefix(f"{self._prefix}_")
            if name != key and is_number(value) and not name.endswith(_SPEED) and not (name == "loss" and hides):
                logs[name] = value

    def _finish_epoch(self, driver: trainhooks.Driver) -> None:
        if self._awaits:
            self._awaits = False
            driver.close("epoch")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
