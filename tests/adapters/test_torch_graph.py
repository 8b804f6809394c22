"""A PyTorch module as TensorBoard shows it: its graph, its tables, its weights, its profile; and nothing is changed."""

from __future__ import annotations

import json
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
pytest.importorskip("tensorboardX")
sys.path.append(str(Path(__file__).parents[1] / "callbacks"))
from event_files import images, nodes, read, steps  # noqa: E402
from trainhooks_adapters.torch._graph import embeddings_of, graph_of  # noqa: E402

import trainhooks  # noqa: E402
from trainhooks.callbacks.tensorboard import TensorBoard  # noqa: E402

nn = torch.nn


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Any) -> Any:
        return x + torch.relu(self.dense(x)) * self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), nn.Dropout(0.5))
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.head(self.blocks(x)).expand(-1, 4)).flatten()


NET = [
    ("x", "Input", []),
    ("blocks/0/dense", "Linear", ["x"]),
    ("blocks/0/relu", "relu", ["blocks/0/dense"]),
    ("blocks/0/scale/value", "Parameter", []),
    ("blocks/0/mul", "mul", ["blocks/0/relu", "blocks/0/scale/value"]),
    ("blocks/0/add", "add", ["x", "blocks/0/mul"]),
    ("blocks/1", "Dropout", ["blocks/0/add"]),
    ("head", "Linear", ["blocks/1"]),
    ("expand", "expand", ["head"]),
    ("head_1", "Linear", ["expand"]),
    ("flatten", "flatten", ["head_1"]),
    ("output", "Output", ["flatten"]),
]


def test_the_graph_is_that_of_the_forward_with_modules_as_groups() -> None:
    assert graph_of(Net()) == NET


@pytest.mark.parametrize(
    "wrapped",
    [
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        lambda net: torch.compile(net, backend="eager"),
        lambda net: nn.DataParallel(torch.compile(net, backend="eager")),
    ],
)
def test_what_compilation_and_parallelism_have_around_it_is_taken_off(wrapped: Any) -> None:
    assert graph_of(wrapped(Net())) == NET


class Looks(nn.Module):
    """A module whose forward looks at values, so that it cannot be traced without any."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(x) if x.sum() > 0 else x)


def test_of_what_cannot_be_traced_the_modules_alone_are_shown() -> None:
    assert graph_of(Looks()) == [
        ("encoder/0", "Linear", []),
        ("encoder/1", "ReLU", []),
        ("head", "Linear", []),
    ]


class Alone(nn.Module):
    def forward(self, *, n: int) -> Any:
        return torch.zeros(int(n))


def test_a_module_without_parts_that_cannot_be_traced_is_one_node() -> None:
    assert graph_of(Alone()) == [("Alone", "Alone", [])]


class Meddler(nn.Module):
    """A forward that counts its calls, keeps what it saw, and draws at random."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.dense = nn.Linear(2, 2)
        self.inner = nn.Sequential(nn.Linear(2, 2))
        self.seen: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.last = x
        self.seen.append(x)
        return self.inner(self.dense(x)) + torch.rand(2)


def test_to_look_changes_nothing_in_the_model_nor_in_what_is_drawn_at_random() -> None:
    model, hooked = Meddler(), []
    model.inner.register_forward_hook(lambda *seen: hooked.append(seen))
    model.inner.register_forward_pre_hook(lambda *seen: hooked.append(seen))
    before, state, own = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state(), random.getstate()
    assert ("inner/0", "Linear", ["dense"]) in graph_of(model)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert (model.seen, hasattr(model, "last"), hooked, model.training) == ([], False, [], True)
    assert torch.equal(state, torch.get_rng_state()) and own == random.getstate()
    assert [one.grad for one in model.parameters()] == [None] * 4
    model(torch.zeros(1, 2))
    assert (model.calls.item(), len(model.seen), len(hooked)) == (1, 1, 2)


def test_to_trace_copies_no_weight() -> None:
    class Big(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = NoCopy(torch.ones(3))

        def forward(self, x: Any) -> Any:
            return x * self.weight

    class NoCopy(nn.Parameter):
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("copied")

    assert [name for name, _, _ in graph_of(Big())] == ["x", "weight/value", "mul", "output"]


def test_the_tables_are_those_of_embedding_layers_at_any_depth() -> None:
    model = nn.Sequential(nn.Embedding(3, 2), nn.ModuleDict({"bag": nn.EmbeddingBag(4, 5), "dense": nn.Linear(2, 2)}))
    tables = embeddings_of(nn.DataParallel(model))
    assert {name: table.shape for name, table in tables.items()} == {"0": (3, 2), "1.bag": (4, 5)}
    assert tables["0"].tolist() == model[0].weight.tolist()
    tables["0"] += 1
    assert tables["0"].tolist() != model[0].weight.tolist()


# Through the callback


class Texts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.filters = nn.Conv1d(4, 3, 2)
        self.head = nn.Linear(3, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.filters(self.words(x).transpose(1, 2)).mean(2))


def train(model: Any, *callbacks: trainhooks.Callback, epochs: int = 2) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
        for _ in run.epochs(epochs):
            for x in run.train([torch.tensor([[0, 1, 2]]), torch.tensor([[2, 3, 4]])]):
                loss = model(x).square().mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                run.log(loss=loss)
            for x in run.test([torch.tensor([[0, 1, 2]])]):
                run.log(loss=model(x).square().mean())
    return run


def test_a_torch_loop_is_written_like_any_other(tmp_path: Path) -> None:
    model = Texts()
    board = TensorBoard(tmp_path, update_freq=2, histogram_freq=1, write_images=True, embeddings_freq=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, board)
    found = read(tmp_path / "train")
    assert steps(tmp_path) == {
        "train/batch_loss": [2, 4],
        "train/epoch_loss": [0, 1],
        "train/epoch_learning_rate": [0, 1],
        "validation/evaluation_loss_vs_iterations": [2, 4],
        "validation/epoch_loss": [0, 1],
    }
    assert sorted(found.Tags()["histograms"]) == [
        f"{layer}/histogram" for layer in ("filters/bias", "filters/weight", "head/bias", "head/weight", "words/weight")
    ]
    assert images(tmp_path / "train", "filters/weight/image")[:2] == [b"4", b"2"]
    assert [kind for _, kind, _ in nodes(tmp_path / "train")] == [
        "Input",
        "Embedding",
        "transpose",
        "Conv1d",
        "mean",
        "Linear",
        "Output",
    ]
    assert len((tmp_path / "train" / "words.tsv").read_text().splitlines()) == 5


def test_a_module_without_an_embedding_layer_is_refused_before_it_trains(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    with pytest.raises(ValueError) as caught:
        train(model, TensorBoard(tmp_path, embeddings_freq=2))
    assert str(caught.value) == (
        "TensorBoard(embeddings_freq=2): the model has no embedding layer. Leave embeddings_freq out."
    )


def test_the_profile_is_a_trace_of_the_batches_asked_for(tmp_path: Path) -> None:
    train(Texts(), TensorBoard(tmp_path, profile_batch=(2, 3)))
    (trace,) = tmp_path.glob("train/plugins/profile/*/*.pt.trace.json")
    names = [one.get("name", "") for one in json.loads(trace.read_text())["traceEvents"]]
    assert sum(name.startswith("Optimizer.step#SGD.step") for name in names) == 2
