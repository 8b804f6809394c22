"""A Keras model as a graph, and its embedding tables: what a tracker shows of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Node = tuple[str, str, Sequence[str]]


def graph_of(model: Any) -> list[Node]:
    """As ``Trainable.graph``: the layers of a Sequential or functional model with their edges, a model inside a model
    as a group; those of any other model alone, for what its ``call`` does is its own.

    Raises:
        ValueError: the model makes its layers when it is built, and has not been built yet.
    """
    if not model.layers:
        raise ValueError(f"the model {model.name!r} has no layers yet: it makes them when it is built")
    return _inside(model, "", [])[0]


def embeddings_of(model: Any) -> dict[str, Any]:
    """As ``Trainable.embeddings``: of layers at any depth; one that has not been built yet has a table of no rows."""
    import keras

    # their own embeddings property has the effect of LoRA in it, as the layer's calls have
    return {
        layer.name: keras.ops.convert_to_numpy(layer.embeddings) if layer.built else np.zeros((0, layer.output_dim))
        for layer in _flat(model)
        if isinstance(layer, keras.layers.Embedding)
    }


def _flat(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _flat(layer)


def _inside(model: Any, group: str, feeds: Sequence[str]) -> tuple[list[Node], list[str]]:
    """The nodes of a model's layers, and those that its output comes from."""
    import keras

    if isinstance(model, keras.Sequential):
        return _chain(model, group, feeds)
    try:
        config = model.get_config()
    except Exception:  # whatever a user's own get_config raises; most models of one's own have none
        config = {}
    if "input_layers" in config and "output_layers" in config:
        return _wired(model, config, group, feeds)
    nodes: list[Node] = []
    for layer in model.layers:
        nodes += _layer(layer, group + layer.name, [])[0]
    return nodes, [name for name, _, _ in nodes[-1:]]


def _layer(layer: Any, name: str, feeds: Sequence[str]) -> tuple[list[Node], list[str]]:
    if getattr(layer, "layers", None):
        return _inside(layer, f"{name}/", feeds)
    return [(name, type(layer).__name__, list(feeds))], [name]


def _chain(model: Any, group: str, feeds: Sequence[str]) -> tuple[list[Node], list[str]]:
    nodes: list[Node] = [] if feeds else [(f"{group}input", "InputLayer", [])]
    before = list(feeds) or [f"{group}input"]
    for layer in model.layers:
        more, before = _layer(layer, group + layer.name, before)
        nodes += more
    return nodes, before


def _wired(model: Any, config: dict[str, Any], group: str, feeds: Sequence[str]) -> tuple[list[Node], list[str]]:
    layers = {layer.name: layer for layer in model.layers}
    fed = dict(zip((name for name, _ in _ends(config["input_layers"])), feeds, strict=False))
    given: dict[tuple[str, int], list[str]] = {}
    nodes: list[Node] = []
    calls = [
        (one, number, list(_sources(call)))
        for one in config["layers"]
        for number, call in enumerate(one["inbound_nodes"] or [None])
    ]
    while calls:  # a layer that is called twice may wait for one that stands after it
        left = []
        for one, number, needed in calls:
            if not all(need in given for need in needed):
                left.append((one, number, needed))
                continue
            name = one["name"]
            inputs = [source for need in needed for source in given[need]] + ([fed[name]] if name in fed else [])
            path = f"{group}{name}_{number}" if number else group + name
            if name in layers:
                more, given[name, number] = _layer(layers[name], path, inputs)
            else:  # an operation, as x + 1
                more, given[name, number] = [(path, one["class_name"], inputs)], [path]
            nodes += more
        if len(left) == len(calls):
            raise ValueError(f"the configuration of the model {model.name!r} has no beginning")
        calls = left
    return nodes, [source for end in _ends(config["output_layers"]) for source in given[end]]


def _sources(arguments: Any) -> Iterator[tuple[str, int]]:
    """Which call of which layer each tensor in a call's arguments comes from: the layer's name, the call's number."""
    if isinstance(arguments, dict):
        if arguments.get("class_name") == "__keras_tensor__":
            name, call, _ = arguments["config"]["keras_history"]
            yield name, call
            return
        arguments = list(arguments.values())
    if isinstance(arguments, (list, tuple)):
        for one in arguments:
            yield from _sources(one)


def _ends(value: Any) -> Iterator[tuple[str, int]]:
    """The same for a model's inputs and outputs, each of which stands there as ``[name, call, output]``."""
    if isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str):
        yield value[0], value[1]
    else:
        for one in value.values() if isinstance(value, dict) else value:
            yield from _ends(one)
