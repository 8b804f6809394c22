"""Files of a PyTorch module: its ``state_dict()``, which ``torch.load(weights_only=True)`` reads."""

from __future__ import annotations

import io
import pickle
from collections import Counter, OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainhooks import errors

from ._weights import import_torch, unwrapped

if TYPE_CHECKING:
    import torch

FORMATS: Final = {".pt": "its state_dict(), for torch.load(weights_only=True)"}


def save(model: torch.nn.Module, path: Path) -> None:
    """Write the module in the format of the path's suffix.

    What is written is the ``state_dict()`` of the module inside all wrappers (DistributedDataParallel, DataParallel,
    AveragedModel, torch.compile), so that a plain one takes it; its tensors are on the CPU, so that any machine does.
    Weights that are tied still are.

    Raises:
        ValueError: the suffix is none of ``FORMATS``.
        WeightsError: an entry, as an extra state, is of a kind that ``weights_only=True`` does not read.
        OSError: the disk refuses.
    """
    if not path.name.endswith(".pt"):
        raise ValueError(f"saving {str(path)!r}: PyTorch writes {errors.listing(FORMATS)}")
    state = _on_cpu(_plain(unwrapped(model).state_dict()))
    _check_readable(state)
    try:
        with open(path, "wb") as file:  # given the path, PyTorch would write the temporary's name into the archive
            import_torch().save(state, file)
    except RuntimeError as error:  # what it makes of an OSError
        raise OSError(f"saving '.pt': PyTorch could not write the file. Is the disk full? ({error})") from error


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """The entries under the names that they have where no part of the module is compiled."""
    names = {key: _without_compile(key) for key in state}
    counted = Counter(names.values())
    plain = OrderedDict((names[key] if counted[names[key]] == 1 else key, value) for key, value in state.items())
    # the versions of the modules, which load_state_dict looks at
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        plain._metadata = OrderedDict((_without_compile(key), value) for key, value in versions.items())  # type: ignore[attr-defined]
    return plain


def _without_compile(key: str) -> str:
    return ".".join(part for part in key.split(".") if part != "_orig_mod")


def _on_cpu(state: dict[str, Any]) -> dict[str, Any]:
    """Tensors of other devices as copies on the CPU: of the same memory one copy."""
    copies: dict[Any, Any] = {}
    for key, value in state.items():
        if isinstance(value, import_torch().Tensor) and value.device.type != "cpu":
            same = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
            if same not in copies:
                copies[same] = value.cpu()
            state[key] = copies[same]
    return state


def _check_readable(state: dict[str, Any]) -> None:
    torch = import_torch()
    for key, value in state.items():
        if type(value) is torch.Tensor or type(value) is torch.nn.Parameter:
            continue
        try:
            torch.save(value, held := io.BytesIO())
            held.seek(0)
            torch.load(held, weights_only=True)
        except (pickle.PickleError, AttributeError, TypeError, RuntimeError) as error:
            raise errors.WeightsError(
                f"saving '.pt': {key!r} is a {type(value).__qualname__}, which torch.load(weights_only=True) does not "
                "read. Have get_extra_state() give tensors and plain values, or save '.safetensors', which has none."
            ) from error
