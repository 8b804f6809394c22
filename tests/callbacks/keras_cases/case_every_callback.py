"""Every built-in, under Keras on one backend. Run by test_every_callback_keras.py."""

from __future__ import annotations

from bench_keras import KerasBench
from every_callback import SAME_EVERYWHERE, every_one

ONE = KerasBench()  # once, since building a model takes long
WEIGHTS = ONE.model.get_weights()
ONE.model.optimizer.build(ONE.model.trainable_variables)
OPTIMIZER = [variable.numpy() for variable in ONE.model.optimizer.variables]


def one() -> KerasBench:
    """The bench, as if it were new."""
    ONE.model.set_weights(WEIGHTS)
    for variable, value in zip(ONE.model.optimizer.variables, OPTIMIZER, strict=True):
        variable.assign(value)
    return ONE


TestUnderKeras = every_one(
    one,
    refused={
        "GradientClipping": "GradientClipping needs 'gradients', which this trainer lacks: Keras clips inside its "
        "optimizers: compile(optimizer=Adam(global_clipnorm=1.0)), or clipvalue=..."
    },
    **SAME_EVERYWHERE,
)
