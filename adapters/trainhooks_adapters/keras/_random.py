"""The random generators that a Keras run draws from, beside the seed generators in its layers, which are its variables.

What ``fit`` draws the order of its data from (keras 3.15, seen on each backend):

| data                          | backend    | its order comes from                                                    |
|-------------------------------|------------|-------------------------------------------------------------------------|
| arrays, ``shuffle=True``      | torch      | torch's global generator                                                |
| (the default) or ``"batch"``  | jax        | numpy's                                                                 |
|                               | tensorflow | ``tf.random.shuffle`` inside a ``tf.data`` pipeline that is made before |
|                               |            | any callback is called: nobody can read or set where it is              |
| ``PyDataset``, ``shuffle=True`` | each     | Python's, for the order of its batches                                  |
| a torch ``DataLoader``        | each       | torch's global generator, or the loader's own                           |

All are drawn from as the epoch begins, after ``on_epoch_begin``: a run that puts them back there goes on in the same
order. On TensorFlow, arrays come in the same order again where the script sets the same seed, as with
``keras.utils.set_random_seed``: every epoch and every process then has one and the same order. Without a seed, and for
``tf.data.Dataset.shuffle``, it is another one. Nor does it go on where one iteration lasts over epochs, as it may with
``steps_per_epoch``, or where a ``PyDataset`` has more than one worker: what was fetched ahead is carried into the next
epoch. There, give ``fit`` a ``PyDataset`` of one worker that draws its order from a generator seeded by the number of
the epoch, which a callback of ours tells it in ``on_epoch_begin``; and ``shuffle=False``.

JAX has no global generator. TensorFlow's stateful operations (``tf.random.normal`` in a ``train_step``) keep theirs
inside the compiled step: ``keras.random`` with a ``SeedGenerator`` of the model's goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_SEEDS = "global_seed_generator"


def random_state(loader: Any) -> dict[str, Any]:
    """Keras's generator for what is given no seed; torch's and TensorFlow's, where they are loaded; the loader's own.

    Args:
        loader: what ``fit`` was given; of a torch ``DataLoader`` the generators that it and its samplers were given.
    """
    import keras

    state: dict[str, Any] = {}
    seeds = _global_seeds()
    if seeds is not None:
        state["keras"] = np.array(keras.ops.convert_to_numpy(seeds.state.value))
    torch = sys.modules.get("torch")
    if torch is not None:
        state["torch"] = torch.get_rng_state().numpy().copy()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["torch_cuda"] = [one.numpy().copy() for one in torch.cuda.get_rng_state_all()]
        state["loader"] = [one.get_state().numpy().copy() for one in _generators(loader)]
    generator = _of_tensorflow()
    if generator is not None:
        state["tensorflow"] = [int(generator.algorithm), generator.state.numpy().copy()]
    return state


def load_random_state(state: Mapping[str, Any], loader: Any) -> None:
    """Take back what ``random_state`` gave; what is not loaded or not there any more is left out."""
    _load_global_seeds(state.get("keras"))
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in state:
        torch.set_rng_state(_bytes(state["torch"]))
        if torch.cuda.is_available():
            for device, one in zip(range(torch.cuda.device_count()), state.get("torch_cuda", ()), strict=False):
                torch.cuda.set_rng_state(_bytes(one), device)
        for generator, one in zip(_generators(loader), state.get("loader", ()), strict=False):
            generator.set_state(_bytes(one))
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and "tensorflow" in state:
        algorithm, words = state["tensorflow"]
        generator = _of_tensorflow()
        if generator is None or int(generator.algorithm) != algorithm:
            made = tensorflow.random.Generator.from_state(np.asarray(words), algorithm)
            tensorflow.random.set_global_generator(made)
        else:
            generator.state.assign(np.asarray(words))


def _attributes() -> Any:
    """Keras's global attributes: private, in keras 3.15 as since 3.0; None where they have gone elsewhere."""
    return sys.modules.get("keras.src.backend.common.global_state")


def _global_seeds() -> Any:
    """The ``SeedGenerator`` of what is given no seed, if anything was drawn from it."""
    attributes = _attributes()
    return None if attributes is None else attributes.get_global_attribute(_SEEDS)


def _load_global_seeds(words: Any) -> None:
    import keras

    attributes, seeds = _attributes(), _global_seeds()
    if attributes is None:
        return
    if words is None:  # it will be made from Python's generator, as it would have been
        attributes.set_global_attribute(_SEEDS, None)
        return
    if seeds is None:
        seeds = keras.random.SeedGenerator(seed=0)  # with a seed: without one it draws from Python's generator
        attributes.set_global_attribute(_SEEDS, seeds)
    seeds.state.assign(np.asarray(words))


def _of_tensorflow() -> Any:
    """TensorFlow's global generator, if it was made: to ask ``tf.random.get_global_generator`` would make it."""
    module = sys.modules.get("tensorflow.python.ops.stateful_random_ops")  # private, in tensorflow 2.21
    return getattr(module, "global_generator", None)


def _generators(loader: Any) -> Iterator[Any]:
    """Those that were given to the parts of a torch ``DataLoader``, each once and always in the same order."""
    torch: Any = sys.modules["torch"]
    seen = set()
    batches = getattr(loader, "batch_sampler", None)
    for part in (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)):
        generator = getattr(part, "generator", None)
        if isinstance(generator, torch.Generator) and id(generator) not in seen:
            seen.add(id(generator))
            yield generator


def _bytes(state: Any) -> Any:
    torch: Any = sys.modules["torch"]
    return torch.from_numpy(np.array(state, np.uint8))
