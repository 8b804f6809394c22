"""Checkpoints that a disk or somebody has tampered with: a load is right, or a named error and the one before it.

    python tests/test_checkpoint_damage.py 20000

does that many mutations and prints how they ended; the suite does fewer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pytest
from tampering import NEW, OLD, Tampering, loaded

from trainhooks.store import checkpoints
from trainhooks.store.table import table

MUTATIONS = int(os.environ.get("TRAINHOOKS_MUTATIONS", "5000"))


def tampered(folder: Path, mutations: int, seed: int = 0) -> Counter[tuple[str, str]]:
    tampering = Tampering(folder, seed)
    return Counter(tampering.one() for _ in range(mutations))


def test_each_mutation_ends_in_the_exact_state_or_in_a_warning_and_the_older_one(tmp_path: Path) -> None:
    ended = tampered(tmp_path, MUTATIONS)
    assert sum(ended.values()) == MUTATIONS
    ways = {name for name, _ in ended}
    assert len(ways) == 13
    assert {way for way, end in ended if end == "an error, and the older one"} == ways
    # what is in no file of ours does no harm, and what fits its digests again is somebody's own
    assert ended["foreign", "exact"]
    assert {way for way, end in ended if end.startswith("other")} >= {"bytes_resealed", "tree_resealed"}


def test_listing_and_verifying_never_fail_and_agree_with_loading(tmp_path: Path) -> None:
    tampering = Tampering(tmp_path, 1)
    tampering.ways += [tampering.manifest_resealed] * 20
    for _ in range(1000):
        tampering.random.choice(tampering.ways)()
        found = checkpoints(tampering.folder, verify=True)
        assert table(found, verified=True, now=datetime.now(timezone.utc)).count("\n") == 3
        listed = {one.path.name: one.problem for one in found}
        alone = loaded(tampering.newest)
        problem = f"The checkpoint {str(tampering.newest)!r} is damaged. {listed[NEW]}."
        assert (listed[OLD], problem if listed[NEW] else None) == (None, alone if isinstance(alone, str) else None)
        tampering.restore()


BOUNDED = """
import json, os, resource, sys
from pathlib import Path
from trainhooks.store import load_arrays, load_checkpoint, save_checkpoint, load_latest
folder = Path(sys.argv[1])
begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
huge = [
    (1 << 63).to_bytes(8, "little") + b"{}",
    (90_000_000).to_bytes(8, "little") + b"{}",
    b'......' + b'[' * 1000,
]
shape = json.dumps({"w": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 1 << 43]}}).encode()
huge.append(len(shape).to_bytes(8, "little") + shape)
shape = json.dumps({"w": {"dtype": "F64", "shape": [1 << 62, 0], "data_offsets": [0, 0]}}).encode()
huge.append(len(shape).to_bytes(8, "little") + shape)
for data in huge:
    (folder / "w.safetensors").write_bytes(data)
    try:
        load_arrays(folder / "w.safetensors")
    except ValueError as error:
        assert "is damaged" in str(error), error
for name in ("manifest.json", "state.json", "arrays.safetensors"):
    save_checkpoint(folder / "c", {"a": 1})
    with open(folder / "c" / name, "r+b") as file:  # of holes: it takes no room on the disk
        file.truncate(1 << 33)
    try:
        load_checkpoint(folder / "c")
    except ValueError as error:
        assert name + ": it is 8589934592 bytes long" in str(error), error
    else:
        raise SystemExit(1)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) // 1024)
"""


def test_what_a_file_says_of_its_size_makes_nobody_take_that_much_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", BOUNDED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) < 40  # MiB; the least of them claims 90 MB


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATIONS
        for (way, end), times in sorted(tampered(Path(place), count, seed=count).items()):
            print(f"{way:20} {end:35} {times:6}")
