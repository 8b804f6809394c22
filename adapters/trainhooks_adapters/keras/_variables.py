"""What a Keras model and its optimizers hold: each variable, under a name that is the same in the next process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Optimizer(NamedTuple):
    """An optimizer of a model: where it hangs, and itself."""

    where: str
    itself: Any


def of_model(model: Any) -> list[Any]:
    """Weights, and the states of seed generators; not those of metrics, which each epoch begins anew."""
    return list(model.variables)


def layers_of(model: Any) -> list[Any]:
    """The model, and its layers at any depth, those in lists and cells as well."""
    return list(model._flatten_layers())  # private, since keras 3.0: `layers` shows those of one level


def optimizers_of(model: Any) -> list[Optimizer]:
    """That of ``compile`` first, then those that the model and its layers hold, as a GAN's, also in lists and dicts.

    One inside another, as in one that scales the loss, is a part of it: see ``parts_of``.
    """
    found: dict[int, Optimizer] = {}
    for layer in layers_of(model):
        of = "" if layer is model else f"{numberless(layer.name)}."
        held = {"optimizer": getattr(layer, "optimizer", None), **vars(layer)}
        for name, value in held.items():
            if not name.startswith("_self_"):  # TensorFlow's own lists of what hangs on the model
                for one in _inside(f"{of}{name}", value, set()):
                    found.setdefault(id(one.itself), one)
    within = {id(part.itself) for one in found.values() for part in parts_of(one)[1:]}
    return [one for key, one in found.items() if key not in within]


def _inside(where: str, value: Any, seen: set[int]) -> Iterator[Optimizer]:
    import keras

    if isinstance(value, keras.optimizers.Optimizer):
        yield Optimizer(where, value)
    elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
        seen.add(id(value))
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _inside(f"{where}[{key!r}]", one, seen)


def parts_of(optimizer: Optimizer) -> list[Optimizer]:
    """The optimizer, and those inside it: of one that scales the loss, or one that holds several."""
    where, itself = optimizer
    inner = getattr(itself, "inner_optimizer", None)
    within = [Optimizer(f"{where}.inner_optimizer", inner)] if inner is not None else []
    several = getattr(itself, "optimizers", ())
    within += [Optimizer(f"{where}.optimizers[{place}]", one) for place, one in enumerate(several)]
    return [optimizer, *(part for one in within for part in parts_of(one))]


def own_variables(optimizer: Optimizer) -> list[Any]:
    """The variables of an optimizer itself, without those of the ones inside it."""
    theirs = {id(variable) for part in parts_of(optimizer)[1:] for variable in part.itself.variables}
    return [variable for variable in optimizer.itself.variables if id(variable) not in theirs]


def trained_by(optimizer: Any, variables: Sequence[Any]) -> list[int] | None:
    """Which of ``variables`` the optimizer was built for, by place; None where it is not built, or for others too."""
    places = {id(variable): place for place, variable in enumerate(variables)}
    # private, in keras 3.15 as since 3.0: there is no public way to them
    trained = [places.get(id(variable)) for variable in optimizer._trainable_variables] if optimizer.built else [None]
    return None if None in trained else trained  # type: ignore[return-value]  # none of them is None


def names_of(variables: Sequence[Any]) -> list[str]:
    """Each variable's own name and its layer's: Keras numbers names as it goes on, so the numbers are left out."""
    return [numberless("/".join(variable.path.split("/")[-2:])) for variable in variables]


def names_in_optimizer(variables: Sequence[Any], of: Mapping[str, int]) -> list[str]:
    """As ``names_of``; what stands for a variable of the model is called by that one's place, as ``2.momentum``.

    Args:
        of: for the path of each of the model's variables, as an optimizer writes it, its place.
    """
    named = []
    for variable in variables:
        parts = variable.name.split("_")
        cuts = (cut for cut in range(len(parts) - 1, 0, -1) if "_".join(parts[:cut]) in of)
        cut = next(cuts, None)  # the longest that is the path of one
        named.append(
            numberless(variable.name)
            if cut is None
            else f"{of['_'.join(parts[:cut])]}.{numberless('_'.join(parts[cut:]))}"
        )
    return named


def places_of(variables: Sequence[Any]) -> dict[str, int]:
    """For ``names_in_optimizer``: paths as an optimizer writes them; of two that are alike the first counts."""
    return {variable.path.replace("/", "_"): place for place, variable in reversed(list(enumerate(variables)))}


def numberless(name: str) -> str:
    """``dense_3/kernel`` is ``dense/kernel``."""
    return re.sub(r"_\d+(?=_|/|$)", "", name)
