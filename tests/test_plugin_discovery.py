"""What is installed and cannot be read, and plugins whose import starts threads: they end nobody's training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from own_plugins import SERVED

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n"
TRAINING = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import trainhooks
    from trainhooks.testing import Constant
    runs = [trainhooks.fit(Constant(), [0, 1]) for _ in range(2)]
    print([run.outcome for run in runs], len(runs[0].bus.callbacks), sorted(trainhooks.plugins.frameworks()))
for one in told:
    print(one.message)
"""
GUEST = """
import trainhooks
@trainhooks.hookimpl
def trainhooks_attach(run):
    return trainhooks.Callback()
"""


def install(
    folder: Path, name: str, entry_points: bytes, *, metadata: bytes | None = None, source: str | None = None
) -> None:
    """What pip would leave of a distribution; without METADATA where ``metadata`` is empty."""
    about = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    about.mkdir()
    (about / "entry_points.txt").write_bytes(entry_points)
    if metadata != b"":
        (about / "METADATA").write_bytes(metadata or METADATA.format(name=name).encode())
    if source is not None:
        (folder / f"{name.replace('-', '_')}.py").write_text(source, encoding="utf-8")


def lines_of(script: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{script}"],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


UNREADABLE = {
    "latin-1": "[other]\nä = b:c\n".encode("latin-1"),
    "utf-16": "[other]\na = b:c\n".encode("utf-16"),
    "no-sign": b"[trainhooks]\nslack\n",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_entry_points_that_cannot_be_read_are_told_of_and_all_others_are_found(kind: str, tmp_path: Path) -> None:
    install(tmp_path, "odd-one", UNREADABLE[kind])
    install(tmp_path, "a-guest", b"[trainhooks]\na_guest = a_guest\n", source=GUEST)
    first, *told = lines_of(TRAINING, tmp_path)
    assert first == f"['completed', 'completed'] 1 {SERVED}"
    assert len(told) == 1
    assert told[0].startswith(
        "trainhooks plugin 'odd-one' of odd-one 1.2 is skipped: its entry points cannot be read: "
    )


@pytest.mark.parametrize("metadata", [b"", b"nothing\n"])
def test_a_plugin_whose_distribution_tells_nothing_of_itself_is_used_all_the_same(
    metadata: bytes, tmp_path: Path
) -> None:
    install(tmp_path, "a-guest", b"[trainhooks]\na_guest = a_guest\n", metadata=metadata, source=GUEST)
    install(tmp_path, "b-guest", b"[trainhooks]\na_guest = b_guest\n", source=GUEST)
    first, *told = lines_of(TRAINING, tmp_path)
    assert first == f"['completed', 'completed'] 1 {SERVED}"
    assert [line for line in told if " is skipped: the name is taken by the plugin 'a_guest' of " not in line] == []


def test_metadata_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    metadata = "Name: ä\nVersion: 1\n".encode("utf-16")
    install(tmp_path, "a-guest", b"[trainhooks]\na_guest = a_guest\n", metadata=metadata, source=GUEST)
    first, told = lines_of(TRAINING, tmp_path)
    assert first == f"['completed', 'completed'] 0 {SERVED}"
    assert told.partition(" can't")[0] == (
        "trainhooks plugin 'a_guest' of a_guest-1.2.dist-info unknown is skipped: UnicodeDecodeError: 'utf-8' codec"
    )


def test_a_plugin_that_waits_for_a_thread_of_its_own_while_it_is_imported_does_not_hang_training(
    tmp_path: Path,
) -> None:
    waits = """
from concurrent.futures import ThreadPoolExecutor
import trainhooks
from trainhooks import plugin
plugin._PATIENCE = 0.2  # so that the test need not wait
names = ThreadPoolExecutor(1).submit(trainhooks.callbacks.names).result()
"""
    install(tmp_path, "waits", b"[trainhooks]\nwaits = waits\n", source=waits + GUEST)
    assert lines_of(TRAINING, tmp_path) == [f"['completed', 'completed'] 1 {SERVED}"]


def test_a_requirement_is_read_however_its_name_is_written_and_others_are_not(tmp_path: Path) -> None:
    asks = "Metadata-Version: 2.1\nName: asks\nVersion: 1.2\nRequires-Dist: TrainHooks>=9\n"
    odd = "Metadata-Version: 2.1\nName: odd\nVersion: 1.2\nRequires-Dist: trainhooks-foo !!!\n"
    install(tmp_path, "asks", b"[trainhooks]\nasks = asks\n", metadata=asks.encode(), source=GUEST)
    install(tmp_path, "odd", b"[trainhooks]\nodd = odd\n", metadata=odd.encode(), source=GUEST)
    first, *told = lines_of(TRAINING, tmp_path)
    assert first == f"['completed', 'completed'] 1 {SERVED}"
    assert [line.partition(" is skipped: ")[2].partition(",")[0] for line in told] == ["it needs trainhooks>=9"]
