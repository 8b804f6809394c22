"""A small data set that is in the package, for examples, tests and a first try without a download.

``digits()`` holds the "Optical Recognition of Handwritten Digits" data set, E. Alpaydin and C. Kaynak, UCI Machine
Learning Repository, 1998, DOI 10.24432/C50P49, used under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
The 1,797 images are its test part: 8x8 pixels in 16 levels of grey. Changes: stored as a compressed numpy file; values
are scaled when loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # numpy.typing takes longer to import than all of trainhooks
    from numpy.typing import NDArray

    Part = tuple[NDArray[np.float32], NDArray[np.int64]]

__all__ = ["digits"]


def digits(validation: float = 0.2, seed: int = 0) -> tuple[Part, Part]:
    """Handwritten digits, shuffled and split: ``(x_train, y_train), (x_val, y_val)``.

    Args:
        validation: the fraction of the 1,797 images to hold back, inside (0, 1); 0.2 is 359 of them. Each side gets at
            least one image.
        seed: of the shuffle; the same seed gives the same split.

    Images are float32 in [0, 1] of shape (n, 64), a row an image; labels are int64, 0 to 9, of shape (n,). The arrays
    are the caller's own.

    Raises:
        ValueError: ``validation`` is not inside (0, 1).
    """
    if not 0 < validation < 1:  # put this way round, NaN is refused too
        raise ValueError(f"digits(validation={validation!r}): validation is a fraction inside (0, 1)")
    from importlib.resources import files  # here, so that `import trainhooks` stays cheap

    with (files("trainhooks") / "data" / "digits.npz").open("rb") as file, np.load(file) as stored:
        images, labels = stored["images"], stored["labels"]
    order = np.random.default_rng(seed).permutation(len(labels))
    x = images[order].astype(np.float32) / np.float32(16)
    y = labels[order].astype(np.int64)
    held = min(max(round(validation * len(y)), 1), len(y) - 1)
    # copies, so that neither part keeps the other one's memory alive
    return (x[held:].copy(), y[held:].copy()), (x[:held].copy(), y[:held].copy())
