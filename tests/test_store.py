"""store: a path holds the old file or the new one, whole."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainhooks.store import write_atomically


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", lambda temporary: temporary.write_text("new"))
    assert (tmp_path / "a.txt").read_text() == "new"


def told(folder: Path) -> dict[str, str]:
    """The files of a folder and what they hold."""
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def fill(text: str) -> Callable[[Path], object]:
    return lambda temporary: temporary.write_text(text)


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write_atomically(tmp_path / "a.txt", fill(text))
    assert told(tmp_path) == {"a.txt": "new"}


def test_the_old_file_is_there_while_the_new_one_is_written_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", fill("old"))
    seen: list[Any] = []

    def look(temporary: Path) -> None:
        temporary.write_text("new")
        hidden = temporary.name.startswith(".a.txt.") and temporary.name.endswith(".tmp")
        seen.append((temporary.parent == tmp_path, hidden, (tmp_path / "a.txt").read_text()))

    write_atomically(tmp_path / "a.txt", look)
    assert (seen, told(tmp_path)) == ([(True, True, "old")], {"a.txt": "new"})


def test_folders_that_lack_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x" / "y" / "a.txt", fill("new"))
    assert told(tmp_path / "x" / "y") == {"a.txt": "new"}


def test_a_path_may_be_a_string_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically("a.txt", fill("new"))
    assert told(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize("name", ["n" * 255, "\u20ac" * 85])
def test_the_longest_name_that_a_file_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, fill("new"))
    assert told(tmp_path) == {name: "new"}


@pytest.mark.parametrize(
    "error",
    [RuntimeError("half way"), OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(1)],
    ids=lambda error: type(error).__name__,
)
def test_what_write_raises_is_raised_on_and_leaves_the_old_file_alone(tmp_path: Path, error: BaseException) -> None:
    write_atomically(tmp_path / "a.txt", fill("old"))

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        raise error

    with pytest.raises(type(error)) as caught:
        write_atomically(tmp_path / "a.txt", fail)
    assert caught.value is error
    assert told(tmp_path) == {"a.txt": "old"}


def test_a_write_that_makes_no_file_leaves_the_old_one_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", fill("old"))
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "a.txt", lambda temporary: None)
    assert told(tmp_path) == {"a.txt": "old"}


def test_a_process_that_dies_while_it_writes_leaves_the_old_file_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", fill("old"))
    dies = (
        "import os, sys; from trainhooks.store import write_atomically\n"
        "write_atomically(sys.argv[1], lambda temporary: (temporary.write_text('ne'), os._exit(9)))"
    )
    died = subprocess.run([sys.executable, "-c", dies, str(tmp_path / "a.txt")])
    left = [(name.startswith(".a.txt."), text) for name, text in told(tmp_path).items() if name != "a.txt"]
    assert (died.returncode, (tmp_path / "a.txt").read_text(), left) == (9, "old", [(True, "ne")])
    write_atomically(tmp_path / "a.txt", fill("new"))  # and what it left does not stand in the way
    assert (tmp_path / "a.txt").read_text() == "new"


def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        write_atomically(tmp_path / "folder", fill("new"))
    assert str(caught.value) == (
        f"'{tmp_path}/folder' is there and is no plain file, so it cannot be replaced. Give another name."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is no plain file"):
        write_atomically(tmp_path / "pipe", fill("new"))
    assert [(path.name, path.is_fifo()) for path in tmp_path.iterdir()] == [("pipe", True)]


def test_a_folder_in_whose_place_a_file_stands_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        write_atomically(tmp_path / "a.txt" / "b.txt", fill("new"))
    assert told(tmp_path) == {"a.txt": "old"}


AS_SOMEBODY = """
import os, pathlib, sys
from trainhooks.store import write_atomically
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    write_atomically(pathlib.Path(sys.argv[1], "a.txt"), lambda temporary: temporary.write_text("new"))
except PermissionError:
    print("PermissionError")
else:
    print("nothing")
"""


def replaced_by_somebody(mode: int) -> tuple[str, dict[str, str]]:
    """What comes of writing over a read-only file in a folder of this mode."""
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, which others than root may not enter
        folder = Path(name)
        (folder / "a.txt").write_text("old")
        (folder / "a.txt").chmod(0o444)
        folder.chmod(mode)
        done = subprocess.run([sys.executable, "-c", AS_SOMEBODY, name], capture_output=True, text=True, check=False)
        folder.chmod(0o755)
        return done.stdout.strip() or done.stderr, told(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="the users and modes of files are POSIX's")
def test_a_folder_that_may_not_be_written_keeps_what_it_has() -> None:
    assert replaced_by_somebody(0o555) == ("PermissionError", {"a.txt": "old"})


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="the users and modes of files are POSIX's")
def test_in_a_folder_that_may_be_written_a_read_only_file_is_replaced() -> None:
    assert replaced_by_somebody(0o777) == ("nothing", {"a.txt": "new"})


@pytest.mark.skipif(os.name == "nt", reason="symbolic links and modes are POSIX's")
def test_a_link_is_followed_and_the_mode_kept(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real = tmp_path / "far" / "a.txt"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.txt").symlink_to(real)
    write_atomically(tmp_path / "link.txt", fill("new"))
    assert ((tmp_path / "link.txt").is_symlink(), told(tmp_path / "far"), real.stat().st_mode & 0o777) == (
        True,
        {"a.txt": "new"},
        0o640,
    )
