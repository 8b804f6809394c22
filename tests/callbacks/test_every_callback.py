"""Every built-in, under the reference loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conformance import MADE, Conformance, Trainer, check_class

from trainhooks import MLP, Callback, LoopRun, callbacks, fit

X, Y = np.arange(12.0, dtype=np.float32).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])


class Numpy(Trainer):
    def train(self, *made: Callback, epochs: int = 3, resume: Any = None) -> Any:
        self.model = MLP((2, 2), lr=1.0)
        return fit(self.model, (X, Y), (X, Y), epochs=epochs, batch_size=3, seed=0, callbacks=made, resume=resume)

    def evaluate(self, *made: Callback) -> Any:
        with LoopRun(self.model, made) as run:
            for x, y in run.test([(X, Y)]):
                run.log(self.model.test_step((x, y)), n=len(x))
        return run

    def left(self) -> list[Any]:
        return [*self.model.optimizer._watchers, *self.model.optimizer._changes]


class TestUnderTheReferenceLoop(Conformance):
    trainer = Numpy()


@pytest.mark.parametrize("name", MADE)
def test_the_class_has_the_name_that_it_is_exported_by_and_says_what_it_does(name: str) -> None:
    check_class(name)


@pytest.mark.parametrize("name", MADE)
def test_a_misspelt_argument_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match="patiense"):
        getattr(callbacks, name)(patiense=3)
