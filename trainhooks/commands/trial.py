"""Attach what plugins offer to a run that never begins: what cannot be attached is found before a training does."""

from __future__ import annotations

from .. import attach, offers
from ..callback import Callback
from ..driver import Driver
from ..errors import CapabilityError
from ..guests import Guest
from ..numpy_model import MLP


def attached(selection: str | None = None) -> dict[str, list[str]]:
    """Declare the events and attach the callbacks of all plugins, to a run of a numpy model, of which nothing fires.

    What goes wrong is reported as in any run, and kept in ``plugins.failures``. What a callback needs and a numpy model
    has not is no fault of its plugin.

    Returns:
        By the label of a plugin, what refuses its callbacks such a model, as sentences.

    Raises:
        ValueError: ``selection`` or the environment cannot be read.
    """
    lacking: dict[str, list[str]] = {}
    driver = Driver(MLP((1, 1)), plugins=selection)

    def add(callback: Callback) -> None:
        try:
            driver.add(callback)
        except CapabilityError as error:
            if not isinstance(callback, Guest):
                raise
            lacking.setdefault(callback.label, []).append(str(error))

    attach.let_in(offers.given.callbacks(driver.run, selection), add)
    return lacking
