"""Adapters that are wrong about weights, snapshots and states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from broken_adapters import breaks, verbs
from driven_bench import Able, DrivenBench, Told

from trainhooks import MLP, Driver
from trainhooks.testing.bench import Epoch

Arrays = Mapping[str, np.ndarray]

# Weights and snapshots


@verbs("weights-owned")
class GivesLiveWeights(Able):
    def get_weights(self) -> dict[str, np.ndarray]:
        return dict(self.weights)


@verbs("weights-owned")
class GivesLockedWeights(Able):
    def get_weights(self) -> dict[str, np.ndarray]:
        given = super().get_weights()
        for array in given.values():
            array.flags.writeable = False
        return given


@verbs("weights-kept")
class ReusesBuffers(Able):
    """Copies into the same arrays at each reading."""

    def get_weights(self) -> dict[str, np.ndarray]:
        if not hasattr(self, "buffers"):
            self.buffers = super().get_weights()
        for name, array in self.weights.items():
            self.buffers[name][...] = array
        return self.buffers


@verbs("weights-round-trip")
class SetsTheFirstWeight(Able):
    def set_weights(self, weights: Arrays) -> None:
        own = super().get_weights()
        first = next(iter(own))
        super().set_weights(
            {
                name: weights[name] if name in (first, *(weights.keys() - own.keys())) else own[name]
                for name in weights
                if np.shape(weights[name]) == np.shape(own.get(name)) or name not in own
            }
        )


@verbs("weights-round-trip")
class NumbersItsNames(Able):
    def get_weights(self) -> dict[str, np.ndarray]:
        self.read = getattr(self, "read", 0) + 1
        return {f"model_{self.read}/{name}": array for name, array in super().get_weights().items()}

    def set_weights(self, weights: Arrays) -> None:
        super().set_weights({name.partition("/")[2]: array for name, array in weights.items()})


@breaks("weights-used")
class KeepsItsOwnWeights(DrivenBench):
    """A loop that carries its parameters along, as one in JAX does, and writes them into the model at each batch."""

    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        carried = self.model.get_weights()
        driver.batch_begin(batch)
        self.model.set_weights(carried)
        self.model.train_step(self.data[batch])
        self.tell(driver, self.told(told, batch))
        driver.batch_end()


@verbs("weights-used")
class RebindsWhatIsSet(Able):
    """Has new arrays from then on, and an optimizer that keeps the old ones."""

    def set_weights(self, weights: Arrays) -> None:
        super().set_weights(weights)
        self.weights = super().get_weights()


@breaks("weights-last")
class RestoresAtTheEnd(DrivenBench):
    """Puts back at each epoch's begin what the epoch before ended with."""

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        carried = self.model.get_weights()
        driver.open("epoch", epoch=epoch)
        self.model.set_weights(carried)
        self.train_batches(driver, told)
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        driver.close("epoch")


@verbs("weights-refused")
class WritesBeforeItLooks(Able):
    def set_weights(self, weights: Arrays) -> None:
        for name, array in weights.items():
            if name in self.weights and self.weights[name].shape == array.shape:
                self.weights[name][...] = array
        super().set_weights(weights)


@verbs("weights-refused")
class TakesWhatFits(Able):
    def set_weights(self, weights: Arrays) -> None:
        super().set_weights({**self.weights, **{name: one for name, one in weights.items() if name in self.weights}})


@verbs("weights-refused")
class RefusesByKeyError(Able):
    def set_weights(self, weights: Arrays) -> None:
        for name in {*weights, *self.weights}:
            if self.weights[name].shape != weights[name].shape:
                raise KeyError(name)
        super().set_weights(weights)


@verbs("snapshot-kept")
class SnapshotsLiveArrays(Able):
    def snapshot(self) -> Any:
        return dict(self.weights)


@verbs("snapshot-kept")
class RestoresTheLast(Able):
    """Has one place for snapshots."""

    def snapshot(self) -> Any:
        self.place = super().snapshot()
        return self

    def restore(self, snapshot: Any) -> None:
        super().restore(self.place)


@verbs("restores-again")
class RestoresTheSnapshotItself(Able):
    def restore(self, snapshot: Any) -> None:
        self.weights.update(snapshot)


@breaks("restore-lasts")
class CarriesWeightsOver(DrivenBench):
    """Puts back after each epoch's end what its training ended with."""

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        super().epoch(driver, epoch, told)
        self.model.set_weights(self.carried)

    def train_batches(self, driver: Driver, told: Epoch) -> None:
        super().train_batches(driver, told)
        self.carried = self.model.get_weights()


@verbs("restore-lasts")
class RebindsWhatIsRestored(Able):
    def restore(self, snapshot: Any) -> None:
        super().restore(snapshot)
        self.weights = super().get_weights()


# State


@verbs("state-plain")
class StatesNumpyScalars(Able):
    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return {**state, "optimizer/lr": np.float32(state["optimizer/lr"])}


@verbs("state-plain")
class StatesASet(Able):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "names": set(self.weights)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({name: one for name, one in state.items() if name != "names"})


@verbs("state-kept")
class StatesLiveArrays(Able):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **self._arrays()}


@verbs("state-kept")
class SnapshotsALiveState(Able):
    def state_snapshot(self) -> dict[str, Any]:
        return {**super().state_dict(), **self._arrays()}


@verbs("state-snapshot")
class SnapshotsTheWeightsAlone(Able):
    def state_snapshot(self) -> dict[str, Any]:
        return {name: one for name, one in super().state_dict().items() if "velocity" not in name}


@verbs("resume-at-epochs")
class ForgetsItsMomentum(Able):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({name: one * 0 if "velocity" in name else one for name, one in state.items()})


@verbs("resume-at-epochs")
class LoadsNoBiases(Able):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        super().load_state_dict({name: own[name] if name.endswith("bias") else one for name, one in state.items()})


@verbs("resume-at-epochs")
class LeavesItsRateAsItIs(Able):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({**state, "optimizer/lr": self.optimizer.lr})


@verbs("resume-at-epochs")
class ForgetsItsRate(Able):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "optimizer/lr": 0.25}


class TakesTheArrays(Told):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        for name in self.weights:  # the optimizer has the same dictionary
            self.weights[name] = state[f"weights/{name}"]


@breaks("state-reused")
class TrainsTheLoadedArrays(DrivenBench):
    def make(self) -> MLP:
        return TakesTheArrays((2, 3, 2), lr=0.125, momentum=0.5)


@verbs("state-refused")
class LoadsBeforeItLooks(Able):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, array in self._arrays().items():
            if array.shape == np.shape(state[name]):
                array[...] = state[name]
        super().load_state_dict(state)


@verbs("state-refused")
class LoadsWhatFits(Able):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        super().load_state_dict(
            {name: one if np.shape(one) == np.shape(own[name]) else own[name] for name, one in state.items()}
        )


class Anywhere(Told):
    def missing(self, need: str) -> str | None:
        return None if need == "mid_epoch" else super().missing(need)


@breaks("resume-inside")
class ClaimsToResumeInside(DrivenBench):
    lacks = DrivenBench.lacks - {"mid_epoch"}

    def make(self) -> MLP:
        return Anywhere((2, 3, 2), lr=0.125, momentum=0.5)
