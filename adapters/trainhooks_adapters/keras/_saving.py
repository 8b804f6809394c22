"""Files of a Keras model, written by Keras itself."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

from trainhooks import errors

FORMATS: Final = {
    ".keras": "the whole model, for keras.models.load_model",
    ".weights.h5": "weights and optimizer, for model.load_weights",
}


def save(model: Any, path: Path) -> None:
    """Write the model in the format of the path's suffix.

    Raises:
        ValueError: it is none of ``FORMATS``.
        OSError: the disk refuses.
    """
    if path.name.endswith(".weights.h5"):
        _reserve(path, _size(model))
        model.save_weights(path)
    elif path.name.endswith(".keras"):
        model.save(path)
    else:
        raise ValueError(f"saving {str(path)!r}: Keras writes {errors.listing(FORMATS)}")


def _size(model: Any) -> int:
    """About how many bytes the weights and the optimizer's state take in an HDF5 file, and rather more than less."""
    held = {id(one): one for of in (model, getattr(model, "optimizer", None)) for one in getattr(of, "variables", ())}
    total = 0
    for variable in held.values():
        bits = re.search("[0-9]+", str(variable.dtype))  # of "bfloat16", "float8_e4m3fn", "bool"
        total += math.prod(variable.shape) * (int(bits[0]) if bits else 8) // 8 + 4096
    return total


def _reserve(path: Path, size: int) -> None:
    """Raise where a file of this size would not fit; Keras begins it anew, in the room that is found here.

    On a full disk HDF5 (1.14.6, with h5py 3.14.0) ends the whole process in a segmentation fault.
    """
    short = OSError(errno.ENOSPC, f"there is no room for {size} bytes", str(path.parent))
    if not hasattr(os, "posix_fallocate"):  # Windows, macOS
        if shutil.disk_usage(path.parent).free < size:
            raise short
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:  # a file system that cannot tell is no reason not to write
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise short from error
    finally:
        os.close(file)
