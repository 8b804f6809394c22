"""ModelCheckpoint: the suffix and the trainer, and that a write that fails half way leaves all as it was."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import Numbered, stepped, trained

from trainhooks import MLP, LoopRun, Run
from trainhooks.callbacks.model_checkpoint import ModelCheckpoint
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, Trace, play


class Diary(Numbered):
    """A trainer that writes a format of its own, and can be told to fail in the midst of it."""

    framework = "diary"
    formats = {".pt": "one line"}
    fails = False

    def save(self, path: Path) -> None:
        with open(path, "w") as file:
            file.write(f"step {self.weights['layer0/kernel'].item():.0f}, ")
            if self.fails:
                raise RuntimeError("the pen broke")
            file.write("done")


def texts(folder: Path) -> dict[str, str]:
    return {
        path.name: path.read_bytes().decode(errors="replace") for path in sorted(folder.iterdir()) if path.is_file()
    }


# The suffix


@pytest.mark.parametrize(
    "suffix, needs", [(".safetensors", {"weights"}), (".keras", {"save"}), (".weights.h5", {"save"}), (".pt", {"save"})]
)
def test_what_it_needs_follows_the_suffix(suffix: str, needs: set[str]) -> None:
    assert ModelCheckpoint(f"w{suffix}").requires == needs


def test_the_trainer_writes_its_own_format(tmp_path: Path) -> None:
    trace = Trace(batches=False)
    history = [{"loss": 1.0, "val_loss": value} for value in (3.0, 4.0, 2.0)]
    stepped(Diary(), history, ModelCheckpoint(tmp_path / "{epoch}.pt", save_best_only=True), trace)
    assert texts(tmp_path) == {"1.pt": "step 1, done", "3.pt": "step 3, done"}
    assert trace.outline().count("checkpoint") == 2


@pytest.mark.parametrize("name", ["w/", "w/{epoch}/"])
def test_a_folder_is_no_name_of_a_file(name: str) -> None:
    with pytest.raises(ValueError, match=r"that is a folder\. Name the file in it too, as '.*/best'"):
        ModelCheckpoint(name)


@pytest.mark.parametrize("name", ["w", "w-{epoch}-{loss:.2f}"])
def test_a_name_without_a_suffix_gets_the_trainers_own(name: str, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()  # no file of that very name is written
    own, by_name = ModelCheckpoint(tmp_path / name), ModelCheckpoint(tmp_path / name)
    assert own.requires == set()
    play([{"loss": 1.0}], [own], trainable=Diary())
    play([{"loss": 1.0}], [by_name], trainable=Numbered())
    stem = name.format(epoch=1, loss=1.0)
    assert (own.last_path, by_name.last_path) == (tmp_path / f"{stem}.pt", tmp_path / f"{stem}.safetensors")
    assert sorted(texts(tmp_path)) == [f"{stem}.pt", f"{stem}.safetensors"]


def test_of_several_files_without_a_suffix_the_best_is_kept(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "{epoch}", "loss", keep_best=1)
    play([{"loss": value} for value in (2.0, 1.0, 3.0)], [saver], trainable=Diary())
    assert saver.kept_paths == [tmp_path / "2.pt"]
    assert list(texts(tmp_path)) == ["2.pt"]


def test_without_a_suffix_a_trainer_that_writes_nothing_is_refused_before_training(tmp_path: Path) -> None:
    trace = Trace()
    with pytest.raises(CapabilityError) as caught:
        play([{"loss": 1.0}], [trace, ModelCheckpoint(tmp_path / "w")])
    assert str(caught.value) == (
        f"ModelCheckpoint(filepath={str(tmp_path / 'w')!r}): dial writes no file of its own, and gives no weights: "
        "the dial adapter does not offer it."
    )
    assert "train_begin" not in trace.outline()


def test_a_format_that_this_trainer_does_not_write_is_an_error_before_training(tmp_path: Path) -> None:
    path, trace = tmp_path / "new" / "w.keras", Trace()
    with pytest.raises(CapabilityError) as caught:
        play([{"loss": 1.0}], [trace, ModelCheckpoint(path)], trainable=Diary())
    assert str(caught.value) == (
        f"ModelCheckpoint(filepath={str(path)!r}): diary does not write '.keras'. "
        "There is '.safetensors' (weights by name), '.pt' (one line)."
    )
    assert trace.outline() == "setup exception(CapabilityError) teardown"
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_that_writes_no_files_of_its_own_refuses_it_when_attached() -> None:
    with pytest.raises(CapabilityError) as caught:
        LoopRun(MLP((1, 1)), [ModelCheckpoint("w.pt")])
    assert str(caught.value) == (
        "ModelCheckpoint needs 'save', which this trainer lacks: the numpy adapter does not offer it. "
        "There is '.safetensors', which holds the weights under every trainer."
    )


def test_one_that_is_attached_in_the_midst_is_refused_at_its_first_save(tmp_path: Path) -> None:
    late = Do("epoch_begin", lambda run: run.add(ModelCheckpoint(tmp_path / "w.keras")))
    with pytest.raises(CapabilityError, match=r"diary does not write '\.keras'"):
        play([{"loss": 1.0}], [late], trainable=Diary())
    assert list(tmp_path.iterdir()) == []


def test_a_whole_model_and_weights_only_contradict_each_other() -> None:
    with pytest.raises(ValueError) as caught:
        ModelCheckpoint("w.keras", save_weights_only=True)
    assert str(caught.value) == (
        "ModelCheckpoint(filepath='w.keras'): '.keras' holds the whole model, and save_weights_only=True asks for "
        "weights. Give '.weights.h5' or '.safetensors', or leave save_weights_only out."
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".weights.h5", ".pt"])
def test_the_others_do_not_mind_it(suffix: str) -> None:
    assert ModelCheckpoint(f"w{suffix}", save_weights_only=True).save_weights_only


@pytest.mark.parametrize("name, what", [("w.keras", "model"), ("w.pt", "weights")])
def test_verbose_says_whether_it_is_a_model_or_weights(
    name: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Both(Diary):
        formats = {".pt": "", ".keras": ""}

    path = tmp_path / name
    play([{"loss": 1.0}], [ModelCheckpoint(path, verbose=1)], trainable=Both())
    assert capsys.readouterr().out == f"Epoch 1: saving {what} to {path}\n"


# The place


def test_the_folder_is_made_before_training_as_far_as_its_name_is_known(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look(run: Run) -> None:
        seen.append(sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")))

    for template in ("a/{{b}}/w", "a/b-{epoch}/w", "c/{epoch}"):
        trained([1], ModelCheckpoint(f"{tmp_path}/{template}.safetensors"), Do("epoch_begin", look))
    assert seen == [
        ["a", "a/{b}"],
        ["a", "a/{b}", "a/{b}/w.safetensors"],
        ["a", "a/b-1", "a/b-1/w.safetensors", "a/{b}", "a/{b}/w.safetensors", "c"],
    ]


def test_an_evaluation_makes_no_folder(tmp_path: Path) -> None:
    with LoopRun(Numbered(), [ModelCheckpoint(tmp_path / "new" / "w.safetensors")]) as run:
        for _ in run.test([0]):
            run.log(loss=1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    path, trace = str(tmp_path / "a" / "w.safetensors"), Trace()
    with pytest.raises(OSError, match="the folder cannot be made") as caught:
        trained([1], ModelCheckpoint(path), trace)
    assert str(caught.value) == (
        f"[Errno 17] ModelCheckpoint(filepath={path!r}): the folder cannot be made: File exists: "
        f"{str(tmp_path / 'a')!r}"
    )
    assert "epoch" not in trace.outline()


def test_a_folder_in_the_place_of_the_file_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").mkdir()
    path, trace = str(tmp_path / "w.safetensors"), Trace()
    with pytest.raises(OSError, match="no plain file") as caught:
        trained([1], ModelCheckpoint(path), trace)
    assert str(caught.value) == (
        f"ModelCheckpoint(filepath={path!r}): it is there and is no plain file, so it cannot be replaced. "
        "Give another name."
    )
    assert "epoch" not in trace.outline()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_is_an_error_before_training(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="nothing can be written into"):
            trained([1], ModelCheckpoint(tmp_path / "w.safetensors"))
    finally:
        tmp_path.chmod(0o700)


# A write that fails


def failing_from(model: Any, epoch: int) -> Do:
    return Do("epoch_begin", lambda run: setattr(model, "fails", True), nth=epoch)


def test_a_trainer_that_fails_half_way_leaves_the_file_and_the_best_and_no_temporary(tmp_path: Path) -> None:
    model, checkpoint = Diary(), ModelCheckpoint(tmp_path / "w.pt", save_best_only=True)
    history = [{"loss": 1.0, "val_loss": value} for value in (3.0, 2.0)]
    with pytest.raises(RuntimeError, match="the pen broke"):
        stepped(model, history, failing_from(model, 1), checkpoint)
    assert (texts(tmp_path), checkpoint.best) == ({"w.pt": "step 1, done"}, 3.0)


def test_and_every_file_that_is_kept(tmp_path: Path) -> None:
    model, checkpoint = Diary(), ModelCheckpoint(tmp_path / "{epoch}.pt", keep_best=1, keep_last=2)
    history = [{"loss": 1.0, "val_loss": value} for value in (1.0, 3.0, 2.0, 0.0)]
    with pytest.raises(RuntimeError, match="the pen broke"):
        stepped(model, history, failing_from(model, 3), checkpoint)
    assert texts(tmp_path) == {f"{n}.pt": f"step {n}, done" for n in (1, 2, 3)}
    assert [path.name for path in checkpoint.kept_paths] == ["1.pt", "2.pt", "3.pt"]
    assert (checkpoint.best, checkpoint.last_path) == (1.0, tmp_path / "3.pt")


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file of this process can grow beyond ``size`` bytes: a write fails half way, as on a disk that is full."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_the_file_that_was_there_is_whole(tmp_path: Path) -> None:
    path, model = tmp_path / "w.safetensors", MLP((100, 1000))
    checkpoint = ModelCheckpoint(path, save_best_only=True)
    play([{"loss": 1.0, "val_loss": 3.0}], [checkpoint], trainable=model)
    before = path.read_bytes()
    assert len(before) > 300_000
    with no_file_beyond(100_000), pytest.raises(Exception, match="File too large"):
        play([{"loss": 1.0, "val_loss": 2.0}], [checkpoint], trainable=model)
    assert path.read_bytes() == before
    assert ([one.name for one in tmp_path.iterdir()], checkpoint.best) == (["w.safetensors"], 3.0)
