"""TensorBoard's own server shows what the callback wrote; it runs as a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorboardX")
pytest.importorskip("tensorboard")

from trainhooks import MLP, fit
from trainhooks.callbacks.tensorboard import TensorBoard

DEADLINE = 60.0
"""Seconds until the server must have answered: many, since only one that is broken takes them."""


class Words(MLP):
    """A model with an embedding table."""

    def embeddings(self) -> dict[str, Any]:
        return {"words": np.arange(6, dtype=np.float32).reshape(3, 2)}


def write(log_dir: Path) -> None:
    log_dir.mkdir()
    (log_dir / "rows.tsv").write_text("one\ntwo\nthree\n")
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)
    y = (x.sum(axis=1) > 0).astype(int)
    board = TensorBoard(
        log_dir, histogram_freq=1, write_images=True, update_freq=3, embeddings_freq=1, embeddings_metadata="rows.tsv"
    )
    fit(Words((2, 3, 2), lr=0.5), (x, y), (x, y), epochs=3, batch_size=4, seed=0, callbacks=[board])


Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks the server for a page by its path; what comes back is bytes, or data where it was JSON."""
    folder = tmp_path_factory.mktemp("server")
    write(folder / "logs")
    with open(folder / "stderr", "w") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "logs"), "--port", "0"],
            stderr=stderr,
            stdout=subprocess.DEVNULL,
        )
    try:
        end = time.monotonic() + DEADLINE
        address = until(end, folder / "stderr", lambda: re.search(r"at (http://\S+:\d+/)", said(folder / "stderr")))[1]

        def page(path: str, **query: Any) -> Any:
            with urllib.request.urlopen(f"{address}data/{path}?{urllib.parse.urlencode(query)}") as answer:
                text = answer.read()
            return json.loads(text) if "json" in answer.headers["Content-Type"] else text

        until(end, folder / "stderr", lambda: {"train", "validation"} <= set(page("plugin/scalars/tags")))
        yield page
    finally:
        server.kill()
        server.wait()


def said(path: Path) -> str:
    return path.read_text()


def until(end: float, log: Path, look: Callable[[], Any]) -> Any:
    """What ``look`` finds, once it finds something."""
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def test_the_scalars_page_has_each_tag_in_its_folder(ask: Ask) -> None:
    tags = ask("plugin/scalars/tags")
    assert {run: sorted(found) for run, found in tags.items()} == {
        "train": ["batch_accuracy", "batch_loss", "epoch_accuracy", "epoch_learning_rate", "epoch_loss"],
        "validation": [
            "epoch_accuracy",
            "epoch_loss",
            "evaluation_accuracy_vs_iterations",
            "evaluation_loss_vs_iterations",
        ],
    }
    rates = ask("plugin/scalars/scalars", run="train", tag="epoch_learning_rate")
    assert [(step, value) for _, step, value in rates] == [(0, 0.5), (1, 0.5), (2, 0.5)]
    batches = ask("plugin/scalars/scalars", run="train", tag="batch_loss")
    assert [step for _, step, _ in batches] == [3, 6, 9]


def test_the_histograms_page_has_a_histogram_of_each_weight(ask: Ask) -> None:
    assert sorted(ask("plugin/histograms/tags")["train"]) == [
        f"layer{layer}/{weight}/histogram" for layer in (0, 1) for weight in ("bias", "kernel")
    ]
    found = ask("plugin/histograms/histograms", run="train", tag="layer0/kernel/histogram")
    assert [(step, sum(number for *_, number in buckets)) for _, step, buckets in found] == [(0, 6), (1, 6), (2, 6)]


def test_the_images_page_has_an_image_of_each_weight(ask: Ask) -> None:
    tag = "layer0/kernel/image"
    assert ask("plugin/images/tags")["train"][tag]["samples"] == 1
    found = ask("plugin/images/images", run="train", tag=tag, sample=0)
    assert [one["step"] for one in found] == [0, 1, 2]
    png = ask("plugin/images/individualImage", **dict(urllib.parse.parse_qsl(found[0]["query"])))
    assert (png[:4], png[16:24]) == (b"\x89PNG", bytes([0, 0, 0, 3, 0, 0, 0, 2]))  # its width and height


def test_the_graphs_page_has_the_layers_and_their_edges(ask: Ask) -> None:
    assert ask("plugin/graphs/info")["train"]["run_graph"] is True
    text = ask("plugin/graphs/graph", run="train").decode()
    assert re.findall(r'name: "(.*)"', text) == ["x", "layer0/dense", "layer0/relu", "layer1/dense", "loss"]
    assert re.findall(r'input: "(.*)"', text) == ["x", "layer0/dense", "layer0/relu", "layer1/dense"]


def test_the_projector_has_the_table_and_the_names_of_its_rows(ask: Ask) -> None:
    assert ask("plugin/projector/runs") == ["train"]
    (table,) = ask("plugin/projector/info", run="train")["embeddings"]
    assert (table["tensorName"], table["tensorShape"]) == ("words", [3, 2])
    values = np.frombuffer(ask("plugin/projector/tensor", run="train", name="words"), np.float32)
    assert values.tolist() == [0, 1, 2, 3, 4, 5]
    assert ask("plugin/projector/metadata", run="train", name="words") == b"one\ntwo\nthree\n"
