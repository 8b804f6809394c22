"""A metric's name and a path that are none are refused by the constructor, which says whose they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainhooks import callbacks
from trainhooks.callbacks import (
    BackupAndRestore,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    ModelCheckpoint,
    NaNGuard,
    ReduceLROnPlateau,
    StopFile,
    TensorBoard,
)


class OfBytes:
    def __fspath__(self) -> bytes:
        return b"log"

    def __repr__(self) -> str:
        return "OfBytes()"


MONITORS: dict[str, Callable[[Any], Any]] = {
    "EarlyStopping": lambda name: EarlyStopping(monitor=name),
    "ModelCheckpoint": lambda name: ModelCheckpoint("w.pt", monitor=name),
    "NaNGuard": lambda name: NaNGuard(monitor=name),
    "ReduceLROnPlateau": lambda name: ReduceLROnPlateau(monitor=name),
}
PATHS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "BackupAndRestore": ("backup_dir", "folder", BackupAndRestore),
    "CSVLogger": ("filename", "file", CSVLogger),
    "JSONLogger": ("filename", "file", JSONLogger),
    "ModelCheckpoint": ("filepath", "file", ModelCheckpoint),
    "StopFile": ("path", "file", StopFile),
    "TensorBoard": ("log_dir", "folder", TensorBoard),
}


@pytest.mark.parametrize("who", MONITORS)
@pytest.mark.parametrize("name, kind", [(3, TypeError), (None, TypeError), (["loss"], TypeError), ("", ValueError)])
def test_what_is_no_name_of_a_metric_is_refused(who: str, name: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        MONITORS[who](name)
    assert str(caught.value) == f"{who}(monitor={name!r}): the name of a metric, as 'val_loss'"


@pytest.mark.parametrize("who", PATHS)
@pytest.mark.parametrize(
    "path, kind", [(3, TypeError), (None, TypeError), (b"log", TypeError), (OfBytes(), TypeError), ("", ValueError)]
)
def test_what_is_no_path_is_refused(who: str, path: Any, kind: type[Exception]) -> None:
    argument, what, make = PATHS[who]
    with pytest.raises(kind) as caught:
        make(path)
    assert str(caught.value) == f"{who}({argument}={path!r}): the name of a {what}"


@pytest.mark.parametrize("who", PATHS)
def test_a_path_of_pathlib_is_one(who: str) -> None:
    argument, _, make = PATHS[who]
    assert Path(getattr(make(Path("logs") / "w.pt"), argument)) == Path("logs/w.pt")


@pytest.mark.parametrize(
    "make, kind, text",
    [
        (
            lambda: TensorBoard(embeddings_metadata={"words": 3}),  # type: ignore[dict-item]
            TypeError,
            "TensorBoard(embeddings_metadata=3): the name of a file",
        ),
        (
            lambda: callbacks.RemoteMonitor(headers=["a"]),  # type: ignore[arg-type]
            TypeError,
            "RemoteMonitor(headers=['a']): a mapping of texts, or None",
        ),
        (
            lambda: callbacks.RemoteMonitor(1.5, 1.5),  # type: ignore[arg-type]
            ValueError,
            "RemoteMonitor(root=1.5, path=1.5): together they are a URL, as 'http://localhost:9000' and "
            "'/publish/epoch/end/'",
        ),
        (
            lambda: callbacks.GracefulStop(None),  # type: ignore[arg-type]
            TypeError,
            "GracefulStop(signals=None): names of signals, as 'SIGTERM', 'SIGINT', 'SIGUSR1'",
        ),
        (
            lambda: callbacks.LambdaCallback(requires=["lr", 3]),  # type: ignore[list-item]
            TypeError,
            "LambdaCallback(requires=['lr', 3]): the name of a capability, or several",
        ),
        (
            lambda: EarlyStopping(start_from_epoch="3"),  # type: ignore[arg-type]
            ValueError,
            "EarlyStopping(start_from_epoch='3'): the number of an epoch, from 0",
        ),
        (
            lambda: ModelCheckpoint("w.pt", initial_value_threshold="3"),  # type: ignore[arg-type]
            ValueError,
            "ModelCheckpoint(initial_value_threshold='3'): a number, or None",
        ),
    ],
)
def test_other_values_of_a_wrong_type_are_refused_as_well(
    make: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == text


def test_a_number_that_no_float_can_be_is_refused_as_one() -> None:
    with pytest.raises(ValueError, match=r"^EarlyStopping\(baseline=10+\): a number, or None$"):
        EarlyStopping(baseline=10**400)
