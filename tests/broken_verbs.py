"""Adapters that claim what they have not, and whose rarer verbs are wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from broken_adapters import breaks, verbs
from driven_bench import Able, AbleBench, DrivenBench, Told

from trainhooks import Callback, Driver
from trainhooks.testing.reference import ReferenceBench

Arrays = Mapping[str, np.ndarray]

# Capabilities and the rarer verbs


@breaks("lacks-declared")
class DeclaresNothingLacking(ReferenceBench):
    lacks = frozenset()


@verbs("claims-work")
class ClaimsAVerb(Able):
    def optimizer_average(self) -> Any:
        raise NotImplementedError("soon")


class Lacks(Able):
    """Says in other words that it lacks embeddings."""

    def missing(self, need: str) -> str | None:
        return "Nothing is embedded here." if need == "embeddings" else super().missing(need)

    def embeddings(self) -> dict[str, np.ndarray]:
        raise self._lacks("embeddings")


class LacksBench(AbleBench):
    lacks = frozenset({"embeddings"})


@verbs("lacks-refused", LacksBench)
class SaysNo(Lacks):
    def missing(self, need: str) -> str | None:
        return "no" if need == "embeddings" else super().missing(need)


@breaks("lacks-refused")
class AttachesUnasked(DrivenBench):
    def driver(self, callbacks: Sequence[Callback]) -> Driver:
        driver = super().driver(())
        driver.bus.vet = lambda callback: None
        driver.add(*callbacks)
        return driver


@verbs("lacks-raise", LacksBench)
class DoesNothing(Lacks):
    def embeddings(self) -> dict[str, np.ndarray]:
        return {}


@verbs("files-written")
class AddsASuffix(Able):
    def save(self, path: Path) -> None:
        np.savez(path.with_suffix(path.suffix + ".npz"), **self.get_weights())


@verbs("files-written")
class NamesNoFormats(Able):
    formats = {}


@verbs("graph-inputs")
class NamesStrangers(Able):
    def graph(self) -> list[tuple[str, str, Sequence[str]]]:
        return [(f"model/{name}", kind, inputs) for name, kind, inputs in super().graph()]


@verbs("graph-inputs")
class NamesNodesTwice(Able):
    def graph(self) -> list[tuple[str, str, Sequence[str]]]:
        return [(kind, kind, []) for _, kind, _ in super().graph()]


Report = Callable[[Any], None]


@verbs("gradients-clipped")
class ClipsNothing(Able):
    def clip_gradients(self, *, norm: float | None, value: float | None, report: Report) -> Callable[[], None]:
        return super().clip_gradients(norm=None, value=None, report=report)


@verbs("gradients-clipped")
class ClipsForEver(Able):
    def clip_gradients(self, *, norm: float | None, value: float | None, report: Report) -> Callable[[], None]:
        super().clip_gradients(norm=norm, value=value, report=report)
        return lambda: None


@verbs("gradients-clipped")
class ReportsNoNorm(Able):
    def clip_gradients(self, *, norm: float | None, value: float | None, report: Report) -> Callable[[], None]:
        return super().clip_gradients(norm=norm, value=value, report=lambda norm: None)


@verbs("average-moves")
class AveragesTheOtherWay(Able):
    def update_average(self, average: Any, decay: float) -> Any:
        return super().update_average(average, 1 - decay)


@verbs("average-moves")
class AveragesLiveWeights(Able):
    def update_average(self, average: Any, decay: float) -> Any:
        return dict(self.weights) if average is None else super().update_average(average, decay)


@verbs("optimizer-average")
class AveragesFewer(Able):
    def optimizer_average(self) -> Any:
        return {name: array for name, array in self.get_weights().items() if "bias" not in name}


@verbs("embeddings-owned")
class GivesLiveTables(Able):
    def embeddings(self) -> dict[str, np.ndarray]:
        return {"words": self.table}


@verbs("embeddings-owned")
class GivesFlatTables(Able):
    def embeddings(self) -> dict[str, np.ndarray]:
        return {"words": self.table.ravel().copy()}


@verbs("profile-written")
class ProfilesNothing(Able):
    def profile(self, folder: Path) -> Callable[[], None]:
        return lambda: None


@verbs("batch-logs", DrivenBench)
class ClaimsBatchLogs(Told):
    def __init__(self) -> None:
        super().__init__((2, 3, 2), lr=0.125, momentum=0.5)

    def missing(self, need: str) -> str | None:
        return None if need == "batch_logs" else super().missing(need)


# Decisions


@verbs("same-rates")
class RoundsSmallRates(Able):
    def set_lrs(self, lrs: Sequence[float]) -> None:
        super().set_lrs([lr if lr > 0.1 or not lr else 0.1 for lr in lrs])


@breaks("same-files")
class ValidatesEveryOther(DrivenBench):
    def validate(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        if driver.progress.epoch < 2:
            super().validate(driver, metrics)
