"""Monitor: the one rule for which metric is watched, and for "is this better?"."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from ..checks import is_number, metric_name
from ..errors import MetricValueError, did_you_mean, listing, unmet_monitor

if TYPE_CHECKING:
    from ..run import Run

Mode = Literal["auto", "min", "max"]

_UP: Final = re.compile(
    "acc|accuracy|auc|ap|map|precision|recall|sensitivity|specificity|f1|fbeta|r2|iou|dice|bleu|rouge|psnr|ssim"
    "|similarity|correlation"
)
_DOWN: Final = re.compile(
    "loss|error|err|mse|mae|mape|msle|rmse|nll|crossentropy|entropy|divergence|hinge|poisson|logcosh|perplexity|ppl"
    "|wer|cer"
)


def direction(name: str) -> Literal["min", "max"] | None:
    """Which way a metric of this name is better, as Keras has it for its own metrics; None when it does not say.

    The last telling word counts: ``val_accuracy`` goes up, ``accuracy_loss`` down.
    """
    for word in reversed(re.split(r"[^a-z0-9]+", name.lower().replace("io_u", "iou"))):
        if _UP.fullmatch(word):
            return "max"
        if _DOWN.fullmatch(word):
            return "min"
    return None


class Monitor:
    """One watched metric and its best value so far.

    The rule is Keras's: strictly better than the best by more than ``|min_delta|``. A NaN is a miss and never a best
    (in Keras a NaN that comes first becomes the best, and nothing ever beats it).

    Args:
        who: the callback, as messages call it.
        name: key of the metric.
        mode: ``"min"``, ``"max"``, or ``"auto"``: as the trainer says, or else as the name tells.
        min_delta: an improvement must be larger than this; its sign is ignored, as in Keras.
        strict: a metric that is missing when it is due is an error; otherwise a warning.

    Attributes:
        best: the best value so far; None before the first.

    Raises:
        TypeError: ``name`` is no string.
        ValueError: it is empty, the mode does not exist, or ``min_delta`` is NaN.
    """

    def __init__(
        self, who: str, name: str, mode: Mode = "auto", min_delta: float = 0.0, *, strict: bool = True
    ) -> None:
        name = metric_name(name, who)
        if mode not in ("auto", "min", "max"):
            near = did_you_mean(str(mode), ("auto", "min", "max"))
            raise ValueError(f"{who}(mode={mode!r}): a mode is 'auto', 'min' or 'max'.{near}")
        if not is_number(min_delta) or math.isnan(min_delta):
            raise ValueError(f"{who}(min_delta={min_delta!r}): a number")
        # where the name does not tell, read() says so: only there is it seen whether the name is merely misspelt
        self.mode = direction(name) if mode == "auto" else mode
        self._is_auto = mode == "auto"
        self._is_told = False
        """Whether the trainer told the mode."""
        self.who, self.name, self.strict = f"{who}(monitor={name!r})", name, strict
        self.min_delta = abs(min_delta)
        self.reset()

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether ``value`` improves on ``than``; on None everything does but a NaN."""
        if math.isnan(value):
            return False
        if than is None:
            return True
        return value + self.min_delta < than if self.mode == "min" else value - self.min_delta > than

    def reset(self, best: float | None = None) -> None:
        """Forget what was seen, and begin with ``best``."""
        if self._is_told:
            self.mode, self._is_told = direction(self.name), False
        self.best = best
        self._seen = self._missed = False

    def read(self, run: Run, logs: Mapping[str, Any], now: str = "epoch") -> float | None:
        """The metric's value now; None where it is not due.

        A metric of a validation (``val_loss``) is due when that validation ran in this epoch, another at an epoch
        that trained; none is due at the end of an epoch that a stop or a break cut short, and one that
        ``run.announce`` told of only by the end of training.

        Args:
            run: where it is.
            logs: what there is.
            now: what has ended, the ``"epoch"`` or a ``"step"``.

        Raises:
            MissingMetricError: it is due and not there, and ``strict`` is on.
            ValueError: the mode is ``"auto"``, and the name does not tell it.
        """
        if self.name in logs:
            self._settle_mode(run)
            self._seen = True
            return self._number(logs[self.name])
        if run.cut_short:
            return None
        if self.name in run.announced:
            self._missed = not self._seen
            return None
        # the longest name: beside a validation "val", "val_new_loss" may be of one that is called "val_new"
        validation = max((one for one in run.validations if self.name.startswith(f"{one}_")), key=len, default=None)
        if (validation or "train") in run.passes:
            self._seen = True  # said here: on_train_end need not say it again
            number = run.epoch if now == "epoch" else run.step
            self._say(f"{self.who}: {now} {number} ended without that metric.", logs)
        elif validation and not (self._missed or self._seen):
            others = run.passes - {"train"}  # it may be misspelt, and one of theirs be meant
            there = f" There are {listing(logs)}.{did_you_mean(self.name, logs)}" if others else ""
            self._settle_mode(run, there)  # rather now than at the first validation
            self._missed = True
            which = f"no validation {validation!r}" if others else "no validation"
            warnings.warn(f"{self.who}: {which} has run yet, so there is nothing to check.{there}", stacklevel=2)
        return None

    def _number(self, value: Any) -> float:
        try:
            return float(value.item() if hasattr(value, "item") else value)
        except (TypeError, ValueError) as error:
            raise MetricValueError(f"{self.who}: {value!r} in the logs is not one number") from error

    def finish(self, run: Run, logs: Mapping[str, Any], why: str = "no validation ever ran") -> None:
        """At the end of training: a metric that was waited for and never came, and ``why``.

        Raises:
            MissingMetricError: it never came, and ``strict`` is on.
        """
        if self._missed and not self._seen and not run.cut_short:
            what = "it was never computed" if self.name in run.announced else why
            self._say(f"{self.who}: training ended and {what}.", logs)

    def state_dict(self, **settings: Any) -> dict[str, Any]:
        """What it keeps, beside the settings that ``load_state_dict`` is to hold against the constructor's."""
        settings = {"monitor": self.name, "mode": self.mode, "min_delta": self.min_delta, **settings}
        settings = {name: one.item() if hasattr(one, "item") else one for name, one in settings.items()}  # for JSON
        told = {"mode_told": True} if self._is_told else {}
        return {"best": self.best, "seen": self._seen, "missed": self._missed, "settings": settings} | told

    def load_state_dict(self, state: Mapping[str, Any], **settings: Any) -> bool:
        """Take back what ``state_dict`` gave, and warn of settings that differ: the constructor's hold.

        Returns:
            Whether the state is of this metric; of another, nothing is taken.
        """
        if self._is_auto and state.get("mode_told"):
            self.mode, self._is_told = state["settings"]["mode"], True
        own = self.state_dict(**settings)["settings"]
        changed = {name: value for name, value in state["settings"].items() if name in own and value != own[name]}
        fits = not changed.keys() & {"monitor", "mode"}
        if changed:
            then = ", ".join(f"{name}={value!r}" for name, value in changed.items())
            now = ", ".join(f"{name}={own[name]!r}" for name in changed)
            what = "hold" if fits else "hold, and it begins anew"
            warnings.warn(f"{self.who}: saved with {then}; the constructor's {now} {what}.", stacklevel=3)
        if fits:
            self.best, self._seen, self._missed = state["best"], state["seen"], state["missed"]
        return fits

    def _settle_mode(self, run: Run, there: str = "") -> None:
        if self._is_auto and (told := run.trainable.direction(self.name)) is not None:
            self.mode, self._is_told = told, True
        if self.mode is None:
            raise ValueError(
                f"{self.who}: mode='auto' cannot tell which way it is better. Give mode='min' or mode='max'.{there}"
            )

    def _say(self, what: str, logs: Mapping[str, Any]) -> None:
        error = unmet_monitor(what, self.name, list(logs), self.strict)
        if self.strict:
            raise error
        warnings.warn(str(error), stacklevel=4)
