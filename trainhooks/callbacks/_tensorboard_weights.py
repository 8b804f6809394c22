"""Weights as TensorBoard shows them: the tag of each, and a weight as images."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._tensorboard_files import EventFile

Array = np.ndarray[Any, Any]

_COLOURS = {1: 0, 3: 2, 4: 6}
"""The kind of PNG by the number of channels: grey, red-green-blue, and that with opacity."""
_MOST = 3
"""So many images of a weight are shown, as by Keras."""
_OUTPUTS_FIRST = ("torch",)
"""Frameworks whose kernels have their outputs first, where an image of a weight needs its height and width."""


def write_weights(
    file: EventFile, weights: Mapping[str, Array], step: int, *, with_images: bool, framework: str
) -> None:
    """A histogram for each weight, of its finite values, and images where it can be shown so."""
    for name, tag in tags_of(weights).items():
        values = weights[name].astype(np.float64)  # bfloat16 has no histogram
        finite = values[np.isfinite(values)]
        if finite.size:
            file.histogram(f"{tag}/histogram", finite, step)
        images = images_of(values, outputs_first=framework in _OUTPUTS_FIRST) if with_images else None
        if images is not None:
            file.images(f"{tag}/image", pngs_of(images), (images.shape[2], images.shape[1]), step)


def tags_of(names: Iterable[str]) -> dict[str, str]:
    """A tag for each weight by its name, so that TensorBoard groups them by layers.

    Dots become slashes. A name that has slashes is a path already: a number with a dot before it, which tells equal
    paths apart, is taken off where they are not equal.
    """
    names = list(names)
    plain = {name: _plain(name) for name in names}
    count = Counter(plain.values())
    return {name: plain[name] if count[plain[name]] == 1 else name for name in names}


def _plain(name: str) -> str:
    if "/" not in name:
        return name.replace(".", "/")
    number, dot, path = name.partition(".")
    return path if dot and number.isdigit() else name


def images_of(weight: Array, *, outputs_first: bool) -> Array | None:
    """A weight as images by Keras's rules, of shape (number, height, width, 1, 3 or 4); None where there is no way.

    Axes of length 1 are dropped. What has one axis becomes a column, two an image that is wider than high, three as
    many images as its last axis is long, and four are images already where the last axis can be colours.

    Args:
        weight: real numbers.
        outputs_first: a kernel's axes are (outputs, inputs, height, width), as PyTorch's; else Keras's, (height, width,
            inputs, outputs).
    """
    if outputs_first and weight.ndim > 2:
        weight = np.moveaxis(weight, (0, 1), (-1, -2))
    weight = np.squeeze(weight)
    if weight.ndim == 1:
        weight = weight[None, :, None, None]
    elif weight.ndim == 2:
        weight = (weight.T if weight.shape[0] > weight.shape[1] else weight)[None, :, :, None]
    elif weight.ndim == 3:
        weight = np.moveaxis(weight, 2, 0)[..., None]
    return weight if weight.ndim == 4 and weight.shape[-1] in _COLOURS and weight.size else None


def pngs_of(images: Array) -> list[bytes]:
    """The first of the images as PNG files; the lowest of all values is black, the highest white, NaN black."""
    finite = images[np.isfinite(images)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (images - low) / ((high - low) or 1.0)
    grey = np.nan_to_num(np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    return [_png(image) for image in grey[:_MOST]]


def _png(image: Array) -> bytes:
    height, width, channels = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)  # each begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
