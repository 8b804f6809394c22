"""Two checkpoints of which the newer is tampered with, in every way that a disk or somebody may think of."""

from __future__ import annotations

import hashlib
import json
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trainhooks.errors import StateFileError
from trainhooks.store import checkpoints, load_checkpoint, load_latest, save_checkpoint
from trainhooks.store.folder import digest_of

FILES = ("state.json", "arrays.safetensors", "manifest.json")
OLD, NEW = "c1", "c2"


def state(n: int) -> dict[str, Any]:
    return {
        "progress": {"step": n, "lr": 0.1 * n, "nan": float("nan"), "seed": 3**50 + n},
        "w": np.arange(6, dtype="f4").reshape(2, 3) * n,
        "mask": np.array([True, False, True]),
        "day": np.array([n], "M8[D]"),
        "names": np.array(["a", f"b{n}"]),
        "by_epoch": {n: [1.5, None, "text"]},
    }


def told(value: Any) -> Any:
    """A value that can be compared; anything that is neither JSON nor an array is a failure."""
    if isinstance(value, dict):
        return {key: told(one) for key, one in value.items()}
    if isinstance(value, list):
        return [told(one) for one in value]
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes(), len(repr(value))
    assert value is None or type(value) in (bool, int, float, str), value
    return hex(value) if type(value) is int else repr(value)  # repr refuses those of many digits


def about(n: int) -> dict[str, Any]:
    return {"epoch": n, "step": n, "metrics": {"loss": 0.1}, "saved_at": f"2026-01-0{n}", "inside": None}


HOSTILE: list[Any] = [
    *(None, True, 0, -1, 1.5, 1 << 62, -(1 << 70), 10**19, 1e308, "", "x", "\ud800", "../../etc/passwd", "/dev/zero"),
    *([], {}, [[]], [0], [1 << 40, 1 << 40], [-1], [0, 1 << 60], [1.0], ["a", "b"], [None], [[[1, 2], 3]]),
    *("U8", "F64", "BOOL", "O", "|O8", "<U1", "<f8", "<M8[Y]", "nan", "0x10", "-0x", "0x"),
    {"__array__": "0:state/w"},
    {"__array__": ["0"]},
    {"__array__": "1:state/mask", "dtype": "<f4", "shape": [2]},
    {"__items__": [[1, 2], [1, 3]]},
    {"__items__": [[[], 2]]},
    {"__items__": [[{"__array__": "x"}, 2]]},
    {"__items__": {}},
    {"__int__": "1" * 3000},
    {"__int__": 5},
    {"__int__": "0x" + "f" * 5000},
    "0001-01-01T00:00:00+23:59",
    {"__float__": "nan"},
    {"__float__": "1e5", "a": 1},
    {"size": 1 << 62, "sha256": ""},
    {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]},
    {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]},
]
HOSTILE_KEYS = [
    "__array__",
    "__items__",
    "__int__",
    "__float__",
    "__metadata__",
    "../x",
    "/etc/passwd",
    "",
    "state.json",
]


def loaded(path: Path) -> Any:
    """The state, or the error's text."""
    try:
        return load_checkpoint(path)
    except StateFileError as error:
        return str(error)


def load_latest_telling(folder: Path) -> tuple[str, Any]:
    """Which was taken and what is in it; it is not the newest only with a warning that names that one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        taken = load_latest(folder)
    assert taken is not None
    texts = [str(one.message) for one in caught]
    if taken[0].name == NEW:
        assert texts == []
    else:
        good = isinstance(loaded(folder / NEW), dict)  # then it only says that it is the older one
        assert [text.startswith(f"The checkpoint '{folder / NEW}' is damaged. ") for text in texts] == [True][good:]
    return taken[0].name, told(taken[1])


class Tampering:
    """Two checkpoints of which the newer is changed, again and again, each time from what it was.

    A mutation that makes the digests fit again (``resealed``) may load with other content, if that is well-formed.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder / "checkpoints", random.Random(seed)
        for n, name in ((1, OLD), (2, NEW)):
            save_checkpoint(self.folder / name, state(n), about(n))
            for path in (self.folder / name).iterdir():
                os.utime(path, (n, n))
        self.newest = self.folder / NEW
        self.whole = {name: (self.newest / name).read_bytes() for name in FILES}
        self.older = {name: (self.folder / OLD / name).read_bytes() for name in FILES}
        self.exact = {name: told(load_checkpoint(self.folder / name)) for name in (OLD, NEW)}
        self.outside = folder / "outside"
        self.outside.write_bytes(self.whole["state.json"])
        self.ways: list[Callable[[], None]] = [
            *(self.flip, self.flip, self.cut, self.extend, self.zero, self.delete, self.swap, self.link, self.foreign),
            *(self.bytes_resealed, self.bytes_resealed, self.header_resealed, self.tree_resealed, self.tree_resealed),
            *(self.manifest_resealed, self.manifest_resealed, self.bomb_resealed),
        ]

    def restore(self) -> None:
        for path in self.newest.iterdir():
            if path.name not in self.whole or not path.is_file() or path.is_symlink():
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, data in self.whole.items():
            self.put(name, data)

    def put(self, name: str, data: bytes) -> None:
        path = self.newest / name
        if not path.exists() or path.read_bytes() != data:
            path.unlink(missing_ok=True)  # ext4 waits for the disk where a file is cut and written anew
            path.write_bytes(data)

    def one(self) -> tuple[str, str]:
        """Mutate, load in both ways, restore; gives the mutation and how it ended."""
        way = self.random.choice(self.ways)
        way()
        name = way.__name__
        try:
            taken = load_latest_telling(self.folder)
            alone = loaded(self.newest)
            if name == "manifest_resealed" and taken[0] == OLD and not isinstance(alone, str):
                assert told(alone) == self.exact[NEW]
                return name, "exact, and told to be older"
            assert isinstance(alone, str) == (taken[0] == OLD), (name, alone, taken[0])
            if taken[0] == OLD:
                assert alone.startswith("The checkpoint '"), alone
                assert taken[1] == self.exact[OLD], name
                return name, "an error, and the older one"
            assert told(alone) == taken[1]
            if taken[1] != self.exact[NEW]:
                assert name.endswith("resealed"), name
                return name, "other content that is well-formed"
            if name != "manifest_resealed":
                assert checkpoints(self.folder)[-1].about == about(2), name
            return name, "exact"
        finally:
            self.restore()

    def changed(self, data: bytes) -> bytes:
        """Some bytes of it are others."""
        content = bytearray(data)
        for _ in range(self.random.choice([1, 1, 2, 20])):
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
        return bytes(content)

    def some(self) -> str:
        return self.random.choice(FILES)

    def flip(self) -> None:
        name = self.some()
        self.put(name, self.changed(self.whole[name]))

    def cut(self) -> None:
        name = self.some()
        self.put(name, self.whole[name][: self.random.randrange(len(self.whole[name]))])

    def extend(self) -> None:
        name = self.some()
        self.put(name, self.whole[name] + self.random.choice([b" ", b"\0" * 100, self.whole[name]]))

    def zero(self) -> None:
        name = self.some()
        begin = self.random.randrange(len(self.whole[name]))
        size = self.random.choice([1, 16, 512])
        data = self.whole[name]
        self.put(name, (data[:begin] + bytes(size) + data[begin + size :])[: len(data)])

    def delete(self) -> None:
        for name in self.random.sample(FILES, self.random.choice([1, 1, 2])):
            (self.newest / name).unlink()

    def swap(self) -> None:
        for name in self.random.sample(FILES, self.random.choice([1, 2])):
            self.put(name, self.older[name])

    def link(self) -> None:
        name = self.some()
        (self.newest / name).unlink()
        kind = self.random.randrange(4)
        if kind == 0:
            os.mkfifo(self.newest / name)
        elif kind == 1:
            (self.newest / name).mkdir()
        else:
            to = [self.outside, Path("..") / OLD / name, Path("/dev/zero"), Path(name)]
            (self.newest / name).symlink_to(self.random.choice(to))

    def foreign(self) -> None:
        name = self.random.choice(["notes.txt", "state.json.bak", ".state.json.swp", "weights.pkl"])
        (self.newest / name).write_bytes(self.random.randbytes(20))
        if self.random.random() < 0.5:
            self.flip()

    def reseal(self, **files: bytes) -> None:
        """Put other files in place, with a manifest that fits them."""
        manifest = json.loads(self.whole["manifest.json"])
        for name, data in (("state.json", files.get("state")), ("arrays.safetensors", files.get("arrays"))):
            if data is None:
                continue
            self.put(name, data)
            manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self.seal(manifest)

    def seal(self, manifest: Any) -> None:
        if isinstance(manifest, dict):
            manifest["sha256"] = digest_of(manifest)
        self.put("manifest.json", json.dumps(manifest).encode())

    def bytes_resealed(self) -> None:
        name = self.random.choice(["state", "arrays"])
        self.reseal(**{name: self.changed(self.whole["state.json" if name == "state" else "arrays.safetensors"])})

    def grafted(self, tree: Any) -> Any:
        """The same tree with one value in it exchanged, or its key."""
        places: list[tuple[Any, Any]] = []
        left = [tree]
        while left:
            at = left.pop()
            for key, value in at.items() if isinstance(at, dict) else enumerate(at):
                places.append((at, key))
                if isinstance(value, (dict, list)):
                    left.append(value)
        at, key = self.random.choice(places)
        if isinstance(at, dict) and self.random.random() < 0.2:
            at[self.random.choice(HOSTILE_KEYS)] = at.pop(key)
        else:
            at[key] = json.loads(json.dumps(self.random.choice(HOSTILE)))
        return tree

    def header_resealed(self) -> None:
        data = self.whole["arrays.safetensors"]
        length = int.from_bytes(data[:8], "little")
        header = json.dumps(self.grafted(json.loads(data[8 : 8 + length]))).encode()
        size = self.random.choice([len(header), len(header), len(header) + 1, 1 << 40, (1 << 64) - 1, 0])
        self.reseal(arrays=size.to_bytes(8, "little") + header + data[8 + length :])

    def tree_resealed(self) -> None:
        self.reseal(state=json.dumps(self.grafted(json.loads(self.whole["state.json"]))).encode())

    def manifest_resealed(self) -> None:
        self.seal(self.grafted(json.loads(self.whole["manifest.json"])))

    def bomb_resealed(self) -> None:
        bomb = self.random.choice(
            [b"[" * 5000, b'{"a":' * 5000, b"9" * 5000, b'"' * 999, b"[" * 390 + b"]" * 390, b"null"]
        )
        if self.random.random() < 0.5:
            self.reseal(state=bomb)
        else:
            self.reseal(arrays=len(bomb).to_bytes(8, "little") + bomb)
