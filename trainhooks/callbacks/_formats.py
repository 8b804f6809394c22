"""What a file of the model holds: its suffix says it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..errors import CapabilityError

if TYPE_CHECKING:
    from ..run import Run

BY_NAME: Final = ".safetensors"
_SUFFIXES: Final = {
    BY_NAME: "weights by name, under every trainer that has weights",
    ".keras": "the whole model, under Keras",
    ".weights.h5": "weights and optimizer, under Keras",
    ".pt": "a state_dict(), under PyTorch",
    ".ubj": "the booster, under XGBoost",
    ".json": "the booster as text, under XGBoost",
    ".txt": "the booster, under LightGBM",
}
WEIGHTS_ALONE: Final = (BY_NAME, ".weights.h5", ".pt")
_FIELD: Final = re.compile(r"{[^{}]*}")


def suffix_of(who: str, filepath: str, save_weights_only: bool) -> str | None:
    """The suffix of a path, one of those that there are; None where it has none: the trainer's own is meant.

    Raises:
        ValueError: it names a folder; there is no such suffix; or ``save_weights_only`` asks for less than it holds.
    """
    if not os.path.basename(filepath):
        raise ValueError(f"{who}: that is a folder. Name the file in it too, as {filepath + 'best'!r}.")
    suffix = next((one for one in _SUFFIXES if filepath.endswith(one)), None)
    if suffix is None and "." not in _FIELD.sub("", os.path.basename(filepath)):
        return None
    if suffix is None:
        raise ValueError(
            f"{who}: its suffix says what to write. There is {_told(_SUFFIXES)}. "
            "A name without a suffix gets the trainer's own."
        )
    if suffix == ".keras" and save_weights_only:
        raise ValueError(
            f"{who}: '.keras' holds the whole model, and save_weights_only=True asks for weights. "
            "Give '.weights.h5' or '.safetensors', or leave save_weights_only out."
        )
    return suffix


def suffix_for(run: Run, who: str, suffix: str | None) -> str:
    """The suffix of what is written in ``run``: where None is asked for, the first that its trainer writes.

    Raises:
        CapabilityError: the trainer does not write it.
    """
    formats = dict(run.trainable.formats) if run.can("save") else {}
    if suffix == BY_NAME or suffix in formats:
        return suffix
    there = ({BY_NAME: "weights by name"} if run.can("weights") else {}) | formats
    if suffix is None and there:
        return next(iter(formats), BY_NAME)
    if suffix is None:
        why = run.trainable.missing("weights")
        raise CapabilityError(f"{who}: {run.framework} writes no file of its own, and gives no weights: {why}")
    raise CapabilityError(f"{who}: {run.framework} does not write {suffix!r}. There is {_told(there)}.")


def _told(formats: Mapping[str, str]) -> str:
    return ", ".join(f"{suffix!r} ({what})" for suffix, what in formats.items()) or "nothing"
