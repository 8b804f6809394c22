"""A disk that refuses, at every operation in turn: what was there stays good, and nothing else is left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from trainhooks.store import (
    checkpoints,
    load_arrays,
    load_checkpoint,
    load_latest,
    prune,
    save_arrays,
    save_checkpoint,
    write_atomically,
)
from trainhooks.store.disk import CHUNK, Disk, current, exchanged
from trainhooks.testing import FaultyDisk

if TYPE_CHECKING:
    from trainhooks.store.disk import Data

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES]
CLEANING = {"remove", "remove_folder"}


def state(n: int) -> dict[str, Any]:
    return {"n": n, "w": np.full(5, n, "f4"), "t": np.full((2, 3), n).T, "day": np.array(n, "M8[D]")}


def told(folder: Path) -> dict[str, int]:
    """The visible checkpoints, and which state each holds whole."""
    found = {}
    for one in checkpoints(folder, verify=True):
        loaded = load_checkpoint(one.path)
        assert all(np.array_equal(loaded[key], value) for key, value in state(loaded["n"]).items())
        found[one.path.name] = loaded["n"]
    return found


def hidden(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def operations(do: Callable[[Path], object], prepare: Callable[[Path], object], folder: Path) -> list[str]:
    """What ``do`` asks of a disk that is well."""
    folder.mkdir()
    with FaultyDisk(None).in_use():  # nothing is synced in it, which would take long
        prepare(folder)
    with FaultyDisk(None).in_use() as disk:
        do(folder)
    return disk.done


def each_failing(
    do: Callable[[Path], object], prepare: Callable[[Path], object], folder: Path, *, lasting: bool = False
) -> Iterator[tuple[str, Path, OSError | None]]:
    """Each operation and error, the folder in which that was made to fail, and what was raised."""
    names = operations(do, prepare, folder / "well")
    for nth, name in enumerate(names):
        for number in ERRORS:
            place = folder / f"{nth}-{number}"
            place.mkdir()
            with FaultyDisk(None).in_use():
                prepare(place)
            raised = None
            with FaultyDisk(nth, number, lasting=lasting).in_use() as disk:
                try:
                    do(place)
                except OSError as error:
                    raised = error
            assert disk.done[nth] == name
            assert raised is None or raised.errno == number
            yield name, place, raised


def again(do: Callable[[Path], object], folder: Path) -> None:
    """Do it on a disk that is well."""
    with FaultyDisk(None).in_use():
        do(folder)


def two(folder: Path) -> None:
    for n in (1, 2):
        save_checkpoint(folder / f"c{n}", state(n), {"step": n})


def save_new(folder: Path) -> None:
    save_checkpoint(folder / "c3", state(3), {"step": 3})


def save_deep(folder: Path) -> None:
    save_checkpoint(folder / "x" / "y" / "c3", state(3), {"step": 3})


def save_again(folder: Path) -> None:
    save_checkpoint(folder / "c2", state(3), {"step": 3})


def test_what_a_save_asks_of_the_disk_ends_with_a_rename_between_syncs(tmp_path: Path) -> None:
    names = operations(save_new, two, tmp_path / "well")
    assert [name for name in names if name != "write"] == [
        "make_folder",
        *["create", "sync"] * 3,
        "sync_folder",
        "rename",
        "sync_folder",
    ]


def test_each_folder_that_is_made_is_synced_into_the_one_above_it(tmp_path: Path) -> None:
    names = operations(save_deep, two, tmp_path / "well")
    assert names[:5] == ["make_folder", "sync_folder"] * 2 + ["make_folder"]


class Slow(Disk):
    """It takes half of what it is given, as a disk may."""

    longest = 0

    def write(self, descriptor: int, data: Data) -> int:
        self.longest = max(self.longest, len(data))
        return super().write(descriptor, data[: max(1, len(data) // 2)])


def test_what_a_disk_takes_in_parts_is_whole_and_no_more_is_offered_than_a_chunk(tmp_path: Path) -> None:
    state = {"w": np.arange(CHUNK // 2, dtype="i4"), "t": np.arange(CHUNK // 2, dtype="i4").reshape(2, -1).T}
    with exchanged(Slow()) as disk:
        save_checkpoint(tmp_path / "c", state)
    loaded = load_checkpoint(tmp_path / "c")
    assert all(np.array_equal(loaded[name], array) for name, array in state.items())
    assert (type(disk), getattr(disk, "longest", None)) == (Slow, CHUNK)


@pytest.mark.parametrize("save", [save_new, save_deep])
def test_a_new_checkpoint_is_not_there_and_the_others_are_good(tmp_path: Path, save: Callable[[Path], object]) -> None:
    for name, folder, raised in each_failing(save, two, tmp_path):
        assert raised is not None, name
        assert told(folder) == {"c1": 1, "c2": 2}
        assert hidden(folder) == []
        assert list(folder.rglob("*c3*")) == []
        again(save, folder)
        [newest] = folder.rglob("c3")
        assert load_checkpoint(newest)["n"] == 3


def test_one_that_is_replaced_stays_unless_only_its_removal_failed(tmp_path: Path) -> None:
    for name, folder, raised in each_failing(save_again, two, tmp_path):
        assert (told(folder), raised is None, len(hidden(folder))) == (
            ({"c1": 1, "c2": 3}, True, 1) if name in CLEANING else ({"c1": 1, "c2": 2}, False, 0)
        ), name
        again(save_again, folder)
        assert told(folder) == {"c1": 1, "c2": 3}
        prune(folder, 2)
        assert hidden(folder) == []


@pytest.mark.parametrize("save", [save_new, save_again])
def test_a_disk_that_refuses_everything_from_then_on_leaves_the_old_ones_to_be_found(
    tmp_path: Path, save: Callable[[Path], object]
) -> None:
    for name, folder, _ in each_failing(save, two, tmp_path, lasting=True):
        found = load_latest(folder)
        assert found is not None
        assert found[1]["n"] in (2, 3), name
        assert 1 in told(folder).values()
        prune(folder, 2)  # well again
        assert hidden(folder) == []
        again(save, folder)
        assert 3 in told(folder).values()


def test_a_prune_that_fails_has_deleted_only_what_it_should(tmp_path: Path) -> None:
    def three(folder: Path) -> None:
        two(folder)
        save_new(folder)

    for name, folder, raised in each_failing(lambda folder: prune(folder, 1), three, tmp_path):
        assert raised is not None, name
        left = told(folder)
        assert left["c3"] == 3
        assert left.items() <= {"c1": 1, "c2": 2, "c3": 3}.items()
        prune(folder, 1)
        assert (told(folder), hidden(folder)) == ({"c3": 3}, [])


@pytest.mark.parametrize("there", [True, False])
def test_a_file_of_arrays_stays_and_no_temporary_is_left(tmp_path: Path, there: bool) -> None:
    def prepare(folder: Path) -> None:
        if there:
            save_arrays(folder / "w.safetensors", {"w": np.zeros(3)})

    for name, folder, raised in each_failing(
        lambda folder: save_arrays(folder / "w.safetensors", {"w": np.ones(3), "v": np.ones(2)}), prepare, tmp_path
    ):
        assert raised is not None, name
        if name != "sync_folder":  # the rename came before it, and is not taken back
            assert [load_arrays(path)["w"].tolist() for path in folder.iterdir()] == [[0, 0, 0]] * there
        again(lambda place: save_arrays(place / "w.safetensors", {"w": np.ones(3)}), folder)
        assert [load_arrays(path)["w"].tolist() for path in folder.iterdir()] == [[1, 1, 1]]


def test_one_kind_of_operation_can_be_made_to_fail(tmp_path: Path) -> None:
    with FaultyDisk(1, errno.EIO, "sync").in_use() as disk, pytest.raises(OSError) as caught:
        save_new(tmp_path)
    assert (caught.value.errno, disk.done.count("sync"), current().__class__) == (errno.EIO, 2, Disk)


def test_a_disk_has_no_other_operations() -> None:
    with pytest.raises(ValueError) as caught:
        FaultyDisk(0, errno.EIO, "fsync")
    assert str(caught.value) == "FaultyDisk(operation='fsync'): a disk has no such operation"


def test_a_thread_writes_through_the_same_disk(tmp_path: Path) -> None:
    raised: list[OSError] = []

    def save() -> None:
        try:
            save_new(tmp_path)
        except OSError as error:
            raised.append(error)

    with FaultyDisk(0, errno.EIO).in_use():
        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
    assert [error.errno for error in raised] == [errno.EIO]


def test_a_file_of_somebodys_own_writing_is_synced_through_the_disk(tmp_path: Path) -> None:
    with FaultyDisk(0, errno.EIO, "sync").in_use(), pytest.raises(OSError):
        write_atomically(tmp_path / "a.txt", lambda temporary: temporary.write_text("new"))
    assert os.listdir(tmp_path) == []


FILLS = """
import errno, os, sys
import numpy as np
from pathlib import Path
from trainhooks.store import load_latest, save_arrays, save_checkpoint
folder = Path(sys.argv[1])
saved, told = 0, set()
for n in range(40):
    try:
        save_checkpoint(folder / f"c{n:02}", {"n": n, "w": np.full(10_000, n)}, {"step": n})
        saved += 1
    except OSError as error:
        told.add(errno.errorcode[error.errno])
last = load_latest(folder)[1]
try:
    save_arrays(folder / "w.safetensors", {"w": np.zeros(1 << 20)})
except OSError as error:
    told.add(errno.errorcode[error.errno])
whole = last["n"] == saved - 1 and (last["w"] == last["n"]).all()
print(1 < saved < 40, whole, sorted(told), len(os.listdir(folder)) == saved)
"""


@pytest.mark.skipif(which("unshare") is None, reason="a file system of its own is mounted with unshare")
def test_a_disk_that_is_full_in_earnest(tmp_path: Path) -> None:
    mounted = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", str(tmp_path), sys.executable, FILLS],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no small file system can be mounted: {done.stderr.strip()}")
    assert (done.stdout, done.stderr) == ("True True ['ENOSPC'] True\n", "")


LIMITED = """
import errno, os, resource, signal, sys
import numpy as np
from pathlib import Path
from trainhooks.store import load_latest, save_arrays, save_checkpoint
folder = Path(sys.argv[1])
save_checkpoint(folder / "c0", {"n": 0}, {"step": 0})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for save, name in ((save_checkpoint, "c1"), (save_arrays, "w.safetensors")):
    try:
        save(folder / name, {"w": np.zeros(20_000)})
    except OSError as error:
        print(errno.errorcode[error.errno])
save_checkpoint(folder / "c2", {"n": 2}, {"step": 2})
print(load_latest(folder)[1], sorted(os.listdir(folder)))
"""


def test_a_file_that_may_not_grow_so_large(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["EFBIG", "EFBIG", "{'n': 2} ['c0', 'c2']"], "")
