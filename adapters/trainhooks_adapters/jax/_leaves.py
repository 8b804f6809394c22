"""The leaves of pytrees: their names, their values on the host, and other values in their place."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainhooks import errors

Array = np.ndarray[Any, Any]


def import_jax() -> Any:
    """``jax``, or the error that names the extra to install."""
    with errors.importing("jax", "jax"):
        import jax
    return jax


def names_of(tree: Any) -> list[str]:
    """For each leaf where it is, as ``params/dense/kernel``; the ``value`` of a variable or of a box is left out."""
    paths = [path for path, _ in import_jax().tree_util.tree_flatten_with_path(tree)[0]]
    cut = [path[:-1] if path and getattr(path[-1], "name", None) == "value" else path for path in paths]
    words = [[getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))) for key in path] for path in cut]
    plain = ["/".join(map(str, path)) for path in words]
    count = Counter(plain)  # {"a": {"b": 1}, "a/b": 1} has one name twice
    exact = ["/".join([str(path[0]), *map(repr, path[1:])]) if path else "" for path in words]
    return [name if count[name] == 1 else other for name, other in zip(plain, exact, strict=True)]


def is_array(leaf: Any) -> bool:
    """Whether it is an array or a number; a function, as an activation in a model, is none, and stays as it is."""
    return isinstance(leaf, (bool, int, float, complex)) or (hasattr(leaf, "dtype") and hasattr(leaf, "shape"))


def kept(leaf: Any, *, copies: bool) -> Any:
    """What no later step changes: an immutable array itself, or, where a step may donate it, a copy on its device."""
    if isinstance(leaf, import_jax().Array):
        return import_jax().numpy.copy(leaf) if copies else leaf
    return np.array(leaf) if isinstance(leaf, np.ndarray) else leaf


def living(leaves: dict[str, Any], who: str, remedy: str) -> dict[str, Any]:
    """The leaves, all of which are still there.

    Raises:
        WeightsError: a step that donates its arguments has taken some away.
    """
    kind = import_jax().Array
    if gone := [name for name, leaf in leaves.items() if isinstance(leaf, kind) and leaf.is_deleted()]:
        raise errors.WeightsError(
            f"{who}: {errors.listing(gone[:3])} was deleted, since the step donates its arguments. {remedy}"
        )
    return leaves


def is_key(leaf: Any) -> bool:
    dtypes = import_jax().dtypes
    return hasattr(leaf, "dtype") and bool(dtypes.issubdtype(leaf.dtype, dtypes.prng_key))


def bits(leaf: Any) -> Any:
    """The leaf, or the numbers in a typed random key, which numpy does not take."""
    return import_jax().random.key_data(leaf) if is_key(leaf) else leaf


def to_host(leaf: Any) -> Array:
    """A copy on the host; bfloat16 and float8 are of ``ml_dtypes``, which comes with JAX."""
    return np.array(bits(leaf))


def like(own: Any, value: Array) -> Any:
    """``value`` in the place of ``own``: of its kind, dtype, device and sharding, so that nothing is compiled anew."""
    jax = import_jax()
    if isinstance(own, (bool, int, float, complex)):
        return type(own)(value.item())
    if is_key(own):
        return jax.random.wrap_key_data(like(bits(own), value), impl=jax.random.key_impl(own))
    value = np.array(value, own.dtype)  # a copy: on a CPU, JAX takes the memory itself
    if not isinstance(own, jax.Array):
        return value[()] if isinstance(own, np.generic) else value
    if own.weak_type and not own.shape:
        return jax.numpy.full_like(own, value.item())  # no other way leads to an array whose type is weak
    return jax.device_put(value, own.sharding) if own.committed else jax.numpy.asarray(value)


def check(who: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise where ``given`` does not fit: its names, its shapes, or values that a dtype would not hold."""
    missing, unexpected = [name for name in own if name not in given], [name for name in given if name not in own]
    both = [(name, bits(own[name]), given[name]) for name in own if name in given]
    shapes = [f"{name!r} is {np.shape(a)}, given {np.shape(b)}" for name, a, b in both if np.shape(a) != np.shape(b)]
    if missing or unexpected or shapes:
        raise errors.weights_mismatch(who, missing, unexpected, shapes)
    if kinds := [f"{name!r} is {_dtype(a)}, given {_dtype(b)}" for name, a, b in both if not _holds(_dtype(a), b)]:
        raise errors.WeightsError(f"{who}: values that would change ({'; '.join(kinds)}). Nothing was written.")


def _dtype(leaf: Any) -> np.dtype[Any]:
    return np.dtype(leaf.dtype) if hasattr(leaf, "dtype") else np.asarray(leaf).dtype


def _holds(to: np.dtype[Any], given: Any) -> bool:
    """Whether that dtype can take the values: 3.0 becomes an integer, and 2.5 does not."""
    of = _dtype(given)
    if to == of:
        return True
    is_number = (of.kind in "biufV" and of.names is None) or of.kind == to.kind  # bfloat16 is of kind V
    return is_number and (to.kind not in "biu" or np.array_equal(np.asarray(given).astype(to), given))


def moved(average: Mapping[str, Any], weights: Mapping[str, Any], decay: float) -> dict[str, Any]:
    """``decay * average + (1 - decay) * weights``, of those that are floats; half precision becomes float32."""
    jnp = import_jax().numpy
    floats = {name: now for name, now in weights.items() if jnp.issubdtype(_dtype(now), jnp.inexact)}
    alike = [name for name, now in floats.items() if name in average and np.shape(average[name]) == np.shape(now)]
    made: dict[str, Any] = _mover()({name: (average[name], floats[name]) for name in alike}, float(decay))
    return made


@functools.cache
def _mover() -> Any:
    jax = import_jax()

    def wide(array: Any) -> Any:
        return array.astype(jax.numpy.promote_types(array.dtype, jax.numpy.float32))

    return jax.jit(
        lambda pairs, decay: {name: wide(old) * decay + wide(now) * (1 - decay) for name, (old, now) in pairs.items()}
    )
