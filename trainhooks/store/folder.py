"""One checkpoint: a folder of a state, its arrays, and a manifest with the size and SHA-256 of both, written last.

``state.json`` is the tree of ``state_tree``, ``arrays.safetensors`` a file of ``tensor_file``, and ``manifest.json``
holds besides what is told about the checkpoint, and a SHA-256 of its own content. Nothing is unpickled, and no name
that a file holds is ever opened: these three are.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import StateFileError, listing
from . import temporaries, tensor_file
from .disk import NewFile, current, make_folders
from .dtype_text import MissingDtypeError
from .json_text import parsed
from .plain_file import DamageError, PlainFile, size_of
from .state_tree import Packed, references, unpacked

STATE: Final = "state.json"
ARRAYS: Final = "arrays.safetensors"
MANIFEST: Final = "manifest.json"
FILES: Final = (STATE, ARRAYS, MANIFEST)

_VERSION: Final = 1
_VERSION_KEY: Final = "trainhooks_checkpoint"
_LARGEST_MANIFEST: Final = 16 << 20


class Told(NamedTuple):
    """What a manifest says."""

    about: dict[str, Any]
    sizes: dict[str, int]
    digests: dict[str, str]


def save_checkpoint(
    path: str | os.PathLike[str], state: Mapping[str, Any], about: Mapping[str, Any] | None = None
) -> None:
    """Write a state as a folder, which is there whole, and on the disk itself, or not at all.

    It is written as a hidden folder beside ``path``, and renamed. A checkpoint that is there is replaced; where a
    process is killed in that very moment, it is found where it was put aside.

    Args:
        path: of the folder; those above it are made where they lack.
        state: JSON-able values and numpy arrays, nested; also what makes an array of itself by ``__array__``, which it
            does one at a time. Tuples come back as lists, numpy's scalars as Python's numbers.
        about: JSON-able, to be told by lists of checkpoints: epoch, step, metrics and so on.

    Raises:
        TypeError: something cannot be kept; the message says where in the state it is.
        ValueError: ``about`` is too long.
        FileExistsError: something is there that is no checkpoint.
        OSError: the disk refuses. Whatever is raised, what was there is there, and no temporary is left.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"save_checkpoint({str(path)!r}): a state is a dict, not a {type(state).__name__}")
    who = f"save_checkpoint({str(path)!r})"
    packed, told = Packed(state, "state", who), Packed(dict(about or {}), "about", who)
    if told.arrays:
        raise TypeError(f"{who}: {next(iter(told.places.values()))} is an array, and what is told about it holds none")
    target = Path(os.path.realpath(path))
    _refuse_what_is_no_checkpoint(path, target)
    make_folders(target.parent)
    temporary = temporaries.new(target)
    try:
        current().make_folder(temporary)
        _fill(temporary, packed, told.tree, who)
        _put_in_place(temporary, target)
    except BaseException:  # raised on; Ctrl-C too must leave no temporary behind
        delete(temporary, suppress=True)
        raise
    finally:
        temporaries.done(temporary)


def _fill(folder: Path, packed: Packed, about: Any, who: str) -> None:
    files = {}
    with NewFile(folder / ARRAYS) as file:
        try:
            packed.note(tensor_file.write(file, packed.arrays))
        except tensor_file.UnwritableError as error:
            raise TypeError(f"{who}: {packed.places[error.name]} {error}") from None
        file.sync()
        files[ARRAYS] = {"size": file.size, "sha256": file.sha256}
    with NewFile(folder / STATE) as file:
        file.write(json.dumps(packed.tree, allow_nan=False, separators=(",", ":")).encode())
        file.sync()
        files[STATE] = {"size": file.size, "sha256": file.sha256}
    content = {_VERSION_KEY: _VERSION, "files": files, "about": about}
    text = json.dumps({**content, "sha256": digest_of(content)}, indent=1).encode()
    if len(text) > _LARGEST_MANIFEST:
        raise ValueError(f"{who}: what is told about it takes {len(text)} bytes; at most {_LARGEST_MANIFEST} are kept")
    with NewFile(folder / MANIFEST) as file:
        file.write(text)
        file.sync()
    current().sync_folder(folder)


def digest_of(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of what a manifest says, but for that digest itself."""
    from hashlib import sha256  # here, so that `import trainhooks` stays cheap

    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _refuse_what_is_no_checkpoint(path: str | os.PathLike[str], target: Path) -> None:
    if not os.path.lexists(target):
        return
    foreign = sorted(set(os.listdir(target)) - set(FILES)) if target.is_dir() else [target.name]
    if foreign:
        raise FileExistsError(
            f"{str(path)!r} is there, and is more than a checkpoint or none: it would be replaced with all that it "
            f"holds, as {foreign[0]!r}. Give another name."
        )


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename, with what is there put aside until that has lasted."""
    disk = current()
    aside = temporaries.new(target, "old") if os.path.lexists(target) else None
    try:
        try:
            if aside is not None:
                disk.rename(target, aside)
            disk.rename(temporary, target)
            disk.sync_folder(target.parent)
        except BaseException:  # raised on; the facts are looked up, since Ctrl-C may come between any two lines
            with contextlib.suppress(OSError):
                if not os.path.lexists(temporary):
                    disk.rename(target, temporary)
            with contextlib.suppress(OSError):
                if aside is not None and os.path.lexists(aside):
                    disk.rename(aside, target)
            raise
        if aside is not None:
            delete(aside, suppress=True)  # the new one is there; what stays of the old one is tidied up later
    finally:
        if aside is not None:
            temporaries.done(aside)


def delete(folder: Path, *, suppress: bool = False) -> None:
    """Delete the three files of a checkpoint, and its folder if nothing else is in it."""
    disk = current()
    errors = (OSError,) if suppress else ()
    for name in FILES:
        if os.path.lexists(folder / name):
            with contextlib.suppress(*errors):
                disk.remove(folder / name)
    with contextlib.suppress(FileNotFoundError, *errors):
        if not os.listdir(folder):
            disk.remove_folder(folder)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state that ``save_checkpoint`` wrote; sizes, digests and structure are checked.

    Raises:
        StateFileError: it is damaged, or is no checkpoint.
        FileNotFoundError: there is nothing at ``path``.
        ImportError: it holds a dtype of ml_dtypes, which is not installed.
        OSError: it cannot be read.
    """
    folder = temporaries.standing(Path(os.path.realpath(path)))
    try:
        return read(folder)
    except DamageError as damage:
        raise StateFileError(f"The checkpoint {str(path)!r} is damaged. {damage}.") from damage


def read(folder: Path, *, keep: bool = True) -> dict[str, Any]:
    """The state in a folder; without ``keep`` everything is checked, and arrays are let go, so that ``{}`` is given.

    Raises:
        DamageError: in a sentence without its full stop, naming the file.
        ImportError: as for ``load_checkpoint``.
    """
    try:
        return _read(folder, keep)
    except MissingDtypeError as error:
        raise ImportError(f"The checkpoint {str(folder)!r} cannot be read: {error}") from error


def _read(folder: Path, keep: bool) -> dict[str, Any]:
    told = read_manifest(folder)
    check_sizes(folder, told)
    with _of(STATE), PlainFile(folder / STATE) as file:
        _check_size(file.size, told.sizes[STATE])
        data = file.read_all(file.size)
        _check_digest(file, told.digests[STATE])
        tree = parsed(data)
        odd = references(tree)
    with _of(ARRAYS), PlainFile(folder / ARRAYS) as file:
        _check_size(file.size, told.sizes[ARRAYS])
        header = tensor_file.read_header(file)
        if header.entries.keys() != odd.keys():
            raise DamageError(f"it does not hold the arrays that {STATE} names")
        wanted = {
            name: tensor_file.oddly(name, entry, odd[name]) if odd[name] else tensor_file.plainly(name, entry)
            for name, entry in header.entries.items()
        }
        arrays: Mapping[str, Any] = tensor_file.read(file, header, wanted, keep=keep)
        _check_digest(file, told.digests[ARRAYS])
    with _of(STATE):
        state = unpacked(tree, arrays if keep else dict.fromkeys(odd))
        if not isinstance(state, dict):
            raise DamageError("it holds no state")
    return state if keep else {}


def read_manifest(folder: Path) -> Told:
    """What a checkpoint's manifest says, which is as it was written.

    Raises:
        DamageError: as for ``read``.
    """
    if not folder.is_dir():
        os.stat(folder)
        raise DamageError(f"{folder.name!r} is no folder")
    with _of(MANIFEST):
        with PlainFile(folder / MANIFEST) as file:
            content = parsed(file.read_all(_LARGEST_MANIFEST))
        if not isinstance(content, dict) or _VERSION_KEY not in content:
            raise DamageError("it is no manifest of a checkpoint")
        if content[_VERSION_KEY] != _VERSION:
            raise DamageError(f"it is of version {content[_VERSION_KEY]!r:.40}, and this trainhooks reads {_VERSION}")
        if content.get("sha256") != digest_of(content):
            raise DamageError("it is not what was written (its SHA-256 is another)")
        return _told(content)


def _told(content: Mapping[str, Any]) -> Told:
    files, about = content.get("files"), content.get("about")
    if not isinstance(files, dict) or files.keys() != {STATE, ARRAYS}:
        raise DamageError(f"it does not tell of {listing([STATE, ARRAYS])} alone")
    about = unpacked(about, {}) if not references(about) else None
    if not isinstance(about, dict):
        raise DamageError("it does not tell what the checkpoint is about")
    for told in files.values():
        if not isinstance(told, dict) or type(told.get("size")) is not int or not isinstance(told.get("sha256"), str):
            raise DamageError("it tells a file's size or SHA-256 that is none")
    sizes = {name: told["size"] for name, told in files.items()}
    return Told(about, sizes, {name: told["sha256"] for name, told in files.items()})


def check_sizes(folder: Path, told: Told) -> None:
    """Look whether the files are there, and as long as they should be.

    Raises:
        DamageError: as for ``read``.
    """
    for name in (STATE, ARRAYS):
        with _of(name):
            _check_size(size_of(folder / name), told.sizes[name])


@contextlib.contextmanager
def _of(name: str) -> Iterator[None]:
    try:
        yield
    except DamageError as damage:
        raise DamageError(f"{name}: {damage}") from damage
    except (RecursionError, MemoryError):
        raise DamageError(f"{name}: it takes more stack or memory than there is") from None


def _check_size(size: int, told: int) -> None:
    if size != told:
        raise DamageError(f"it is {size} bytes long, and was written with {told}")


def _check_digest(file: PlainFile, told: str) -> None:
    if file.sha256 != told:
        raise DamageError("it is not what was written (its SHA-256 is another)")
