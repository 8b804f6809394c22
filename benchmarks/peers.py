"""Peers' events beside ours: the begin and the end of a batch, told to ``count`` callbacks by what each peer's own loop
calls for it, with all off that it lets one switch off: bars, loggers, checkpoints, printing, scoring, timing.

Each function here makes a pass: a call that tells of each of ``BATCHES`` batches. What a competent user can do outside
a loop is done outside it, as looking up a method. A hook keeps the first of what it is given, and no hook looks
anything up; each is code of a class of its own (see ``classes``). ``listening=False`` has callbacks that listen to the
end of an epoch instead, as far as the peer can tell the two apart.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from .listening import classes, ones

BATCHES = range(1_000)
LOGS = {"loss": 1.0}

Pass = Callable[[], None]


def pluggy(count: int, listening: bool) -> Pass:
    """Hooks with a specification, called by keyword as pluggy's must be."""
    import pluggy

    marks, spec = pluggy.HookimplMarker("peers"), pluggy.HookspecMarker("peers")
    takes = dict.fromkeys(("on_batch_begin", "on_batch_end", "on_epoch_end"), "batch, logs")
    manager = pluggy.PluginManager("peers")
    (specified,) = classes(1, object, takes)
    for name in takes:
        spec(getattr(specified, name))
    manager.add_hookspecs(specified)
    heard = list(takes)[:2] if listening else list(takes)[2:]
    for one in classes(count, object, {name: takes[name] for name in heard}):
        for name in heard:
            marks(getattr(one, name))
        manager.register(one())
    begin, end = manager.hook.on_batch_begin, manager.hook.on_batch_end

    def batches() -> None:
        for batch in BATCHES:
            begin(batch=batch, logs=LOGS)
            end(batch=batch, logs=LOGS)

    return batches


def pyee(count: int, listening: bool) -> Pass:
    """An ``EventEmitter`` with methods as listeners."""
    from pyee import EventEmitter

    emitter = EventEmitter()
    for one in ones(count, object, dict.fromkeys(("begin", "end"), "batch, logs")):
        for name in ("begin", "end"):
            emitter.on(name if listening else f"epoch_{name}", getattr(one, name))
    emit = emitter.emit

    def batches() -> None:
        for batch in BATCHES:
            emit("begin", batch, LOGS)
            emit("end", batch, LOGS)

    return batches


def mmengine(count: int, listening: bool) -> Pass:
    """``Runner.call_hook`` and ``register_hook``, of a runner that is made without a model, a folder and a log."""
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    class Bare(Runner):  # type: ignore[misc]
        def __init__(self) -> None:
            self._hooks = []

    runner = Bare()
    heard = {"before_train_iter": "runner, batch_idx, data_batch=None"}
    heard["after_train_iter"] = "runner, batch_idx, data_batch=None, outputs=None"
    for one in ones(count, Hook, heard if listening else {"after_train_epoch": "runner"}):
        runner.register_hook(one)
    call = runner.call_hook

    def batches() -> None:
        for batch in BATCHES:
            call("before_train_iter", batch_idx=batch, data_batch=LOGS)
            call("after_train_iter", batch_idx=batch, data_batch=LOGS, outputs=LOGS)

    return batches


def transformers(count: int, listening: bool) -> Pass:
    """The ``CallbackHandler`` of a Trainer, without the callback of its own that a Trainer adds."""
    from transformers import TrainerCallback, TrainerControl, TrainerState, logging
    from transformers.trainer_callback import CallbackHandler

    logging.set_verbosity_error()  # it warns that its own callback is missing
    heard = ("on_step_begin", "on_step_end") if listening else ("on_epoch_end",)
    made = ones(count, TrainerCallback, dict.fromkeys(heard, "args, state, control, **kwargs"))
    handler = CallbackHandler(made, None, None, None, None)
    begin, end, state, control = handler.on_step_begin, handler.on_step_end, TrainerState(), TrainerControl()

    def batches() -> None:
        for _ in BATCHES:
            begin(None, state, control)
            end(None, state, control)

    return batches


def keras(count: int, listening: bool) -> Pass:
    """A ``CallbackList``; on JAX, for on TensorFlow it takes longer. Where no callback listens it asks its threads."""
    if find_spec("jax"):
        os.environ.setdefault("KERAS_BACKEND", "jax")
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import keras

    heard = ("on_train_batch_begin", "on_train_batch_end") if listening else ("on_epoch_end",)
    made = ones(count, keras.callbacks.Callback, dict.fromkeys(heard, "batch, logs=None"))
    told = keras.callbacks.CallbackList(made)
    begin, end = told.on_train_batch_begin, told.on_train_batch_end

    def batches() -> None:
        told.on_train_begin()
        for batch in BATCHES:
            begin(batch, LOGS)
            end(batch, LOGS)
        told.on_train_end()

    return batches


def skorch(count: int, listening: bool) -> Pass:
    """``notify`` of a net with none of its own callbacks."""
    import torch
    from skorch import NeuralNet
    from skorch.callbacks import Callback

    heard = ("on_batch_begin", "on_batch_end") if listening else ("on_epoch_end",)
    made = ones(count, Callback, dict.fromkeys(heard, "net, **kwargs"))
    off = ("epoch_timer", "train_loss", "valid_loss", "print_log")
    given: dict[str, Any] = {f"callbacks__{name}": None for name in off}
    net = NeuralNet(torch.nn.Linear(1, 1), criterion=torch.nn.MSELoss, callbacks=made, **given).initialize()
    tell = net.notify

    def batches() -> None:
        net.history.clear()
        net.history.new_epoch()  # it keeps a dictionary for each batch of an epoch
        for batch in BATCHES:
            tell("on_batch_begin", batch=batch, training=True)
            tell("on_batch_end", batch=batch, training=True, loss=LOGS)

    return batches


def ignite(count: int, listening: bool) -> Pass:
    """``fire_event`` of an engine."""
    from ignite.engine import Engine, Events

    engine = Engine(lambda engine, batch: None)
    for one in ones(count, object, {"begin": "engine", "end": "engine"}):
        engine.add_event_handler(Events.ITERATION_STARTED if listening else Events.EPOCH_STARTED, one.begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED if listening else Events.EPOCH_COMPLETED, one.end)
    fire, begin, end = engine.fire_event, Events.ITERATION_STARTED, Events.ITERATION_COMPLETED

    def batches() -> None:
        for _ in BATCHES:
            fire(begin)
            fire(end)

    return batches


def lightning(count: int, listening: bool) -> Pass:
    """What the loops of a ``Trainer`` call, with a module connected."""
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.trainer.call import _call_callback_hooks as call

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    heard = {"on_train_batch_start": "trainer, pl_module, batch, batch_idx"}
    heard["on_train_batch_end"] = "trainer, pl_module, outputs, batch, batch_idx"
    made = ones(count, Callback, heard if listening else {"on_train_epoch_end": "trainer, pl_module"})
    off: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(accelerator="cpu", devices=1, callbacks=made, **off)
    trainer.strategy.connect(LightningModule())

    def batches() -> None:
        for batch in BATCHES:
            call(trainer, "on_train_batch_start", LOGS, batch)
            call(trainer, "on_train_batch_end", LOGS, LOGS, batch)

    return batches


PEERS: dict[str, Callable[[int, bool], Pass]] = {
    one.__name__: one for one in (mmengine, pyee, transformers, keras, skorch, pluggy, ignite, lightning)
}
"""By the name of the package to import."""
