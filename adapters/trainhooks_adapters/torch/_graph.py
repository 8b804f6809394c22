"""A PyTorch module as a graph, and its embedding tables: what a tracker shows of a model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._weights import Array, import_torch, to_numpy, unwrapped

if TYPE_CHECKING:
    import torch

Node = tuple[str, str, Sequence[str]]


def graph_of(model: torch.nn.Module) -> list[Node]:
    """As ``Trainable.graph``: what ``torch.fx`` traces without any data, or where it cannot (the forward looks at
    values, or takes arguments that are no tensors) the modules alone, without edges."""
    model = unwrapped(model)
    try:
        return _traced(model)
    except Exception:  # whatever the forward raises when it is given no real tensors
        return _modules(model)


def embeddings_of(model: torch.nn.Module) -> dict[str, Array]:
    """As ``Trainable.embeddings``."""
    nn = import_torch().nn
    kinds = (nn.Embedding, nn.EmbeddingBag)
    modules = unwrapped(model).named_modules()
    return {name: to_numpy(one.weight.detach()) for name, one in modules if isinstance(one, kinds)}


def _traced(model: Any) -> list[Node]:
    torch = import_torch()
    # A forward runs for real where it touches no input. So it runs on a copy, whose buffers are its own and whose
    # weights are the model's, without gradients, and what it draws at random on the CPU is put back.
    twin = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
    for module in twin.modules():  # a hook may keep what it is shown (both names from torch 1.0 to 2.13)
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        traced = torch.fx.Tracer().trace(twin)
    modules = dict(twin.named_modules())
    names: dict[Any, str] = {}
    taken: set[str] = set()
    nodes: list[Node] = []
    for node in traced.nodes:
        name = names[node] = _free(_name(node), taken)
        nodes.append((name, _kind(node, modules), [names[one] for one in node.all_input_nodes]))
    return nodes


def _name(node: Any) -> str:
    """Modules by their paths, all else in the group of the module in whose forward it stands."""
    if node.op == "call_module":
        return str(node.target).replace(".", "/")
    if node.op == "get_attr":
        return f"{str(node.target).replace('.', '/')}/value"
    around = [key for key in node.meta.get("nn_module_stack", {}) if key]
    return "/".join([*around[-1:], str(node.name)]).replace(".", "/")


def _kind(node: Any, modules: Mapping[str, Any]) -> str:
    if node.op == "call_module":
        return type(modules[node.target]).__name__
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", node.target))
    return {"placeholder": "Input", "get_attr": "Parameter", "output": "Output"}.get(node.op) or str(node.target)


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it stands for something already: a module may be called twice."""
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _modules(model: Any) -> list[Node]:
    return list(_leaves(model, "")) or [(type(model).__name__, type(model).__name__, [])]


def _leaves(module: Any, path: str) -> Iterator[Node]:
    for name, child in module.named_children():
        inside = list(_leaves(child, f"{path}{name}/"))
        yield from inside or [(f"{path}{name}", type(child).__name__, [])]
