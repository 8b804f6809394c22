"""Rules of an adapter: what it claims works, what it lacks is refused, and the rarer verbs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..errors import CapabilityError, lacking
from ..run import Run
from ..trainable import CAPABILITIES
from .adapter_rules_tools import (
    HISTORY,
    ONE,
    PLAIN,
    Factory,
    Rules,
    ask,
    changed,
    differ,
    first_of,
    four_batches,
    reference,
    same,
    see,
)
from .bench import Bench
from .doubles import Do

CAPABILITY = Rules("capabilities")
FILES = Rules("files")
VERBS = Rules("other-verbs")

_NOTHING: Final = 1e-60
"""A norm so small that in float32 nothing is left of gradients that are clipped to it."""


EXERCISES: Final[dict[str, Callable[[Run], object]]] = {
    "lr": lambda run: setattr(run, "lr", 0.25),
    "read_lr": lambda run: run.lrs,
    "weights": lambda run: run.set_weights(run.get_weights()),
    "snapshot": lambda run: run.restore(run.snapshot()),
    "state": lambda run: run.trainable.state_dict(),
    "save": lambda run: run.trainable.save(Path(f"model{next(iter(run.trainable.formats), '.pt')}")),
    "optimizer_step": lambda run: run.trainable.watch_optimizer(lambda: None)(),
    "gradients": lambda run: run.trainable.clip_gradients(norm=1.0, value=1.0, report=lambda norm: None)(),
    "average": lambda run: run.trainable.update_average(None, 0.5),
    "optimizer_average": lambda run: run.restore(run.trainable.optimizer_average()),
    "graph": lambda run: run.trainable.graph(),
    "embeddings": lambda run: run.trainable.embeddings(),
    "end_epoch": lambda run: run.end_epoch(),
    "batch_logs": lambda run: run.batch_logs,
}
"""For each capability that a callback can use in one line, that line; the others have rules of their own."""


def _lacks(bench: Bench) -> dict[str, str]:
    """What the adapter says of each capability that it lacks."""
    said: dict[str, str] = ask(bench, lambda run: {need: run.trainable.missing(need) for need in CAPABILITIES})
    return {need: reason for need, reason in said.items() if reason is not None}


@CAPABILITY.add("lacks-declared", "The adapter lacks what its bench says it does, and nothing else.")
def _lacks_declared(factory: Factory) -> str | None:
    bench = factory()
    if bench.lacks is None:
        return None
    return differ("the capabilities that are lacking", sorted(bench.lacks), sorted(_lacks(bench)))


@CAPABILITY.add("claims-work", "A capability that is not missing works: none of its verbs raises.")
def _claims_work(factory: Factory) -> str | None:
    bench = factory()
    lacks = _lacks(bench)
    for need, use in EXERCISES.items():
        event = "train_batch_end" if need in ("end_epoch", "batch_logs") else "epoch_end"
        try:
            None if need in lacks else ask(bench, use, event)
        except Exception as error:  # whatever the verb raises
            return f"it claims {need!r}, and a callback that uses it raised {type(error).__name__}: {error}"
    return None


@CAPABILITY.add(
    "lacks-refused", "A callback that requires what is missing is refused, by a sentence, when it is attached."
)
def _lacks_refused(factory: Factory) -> str | None:
    bench = factory()
    for need, reason in _lacks(bench).items():
        if not reason.strip().endswith("."):
            return f"missing({need!r}) gives {reason!r}: say why, and what to change, in a sentence that ends with '.'"
        asks = Do("setup", id)
        asks.requires = {need}
        seen = see(bench, ONE, asks, raises=True)
        what = f"a callback that requires {need!r}"
        if not isinstance(seen.error, CapabilityError):
            came = "nothing" if seen.error is None else repr(seen.error)
            return f"of {what}, a CapabilityError was to come out, and {came} did"
        if found := differ(what, lacking("Do", need, reason), seen.error) or differ(what, "", seen.outline):
            return found
    return None


@CAPABILITY.add(
    "lacks-raise", "A verb that is missing raises the error that says so; it never does nothing in silence."
)
def _lacks_raise(factory: Factory) -> str | None:
    bench = factory()
    lacks = _lacks(bench)

    def use(run: Run) -> str | None:
        for need in lacks:
            if need not in EXERCISES:
                continue
            try:
                EXERCISES[need](run)
            except CapabilityError:
                continue
            except Exception as error:  # whatever came in its place
                return f"{need!r} is missing, and a callback that uses it met {type(error).__name__}: {error}"
            return f"{need!r} is missing, and a callback that uses it was not told"
        return None

    found: str | None = ask(bench, use, "train_batch_end")
    return found


@FILES.add("files-written", "save(path) writes a file for each suffix in formats, and says in formats what is in it.")
def _files_written(factory: Factory) -> str | None:
    def save(run: Run) -> str | None:
        formats = run.trainable.formats
        if not run.can("save"):
            return None
        if not formats:
            return "it claims 'save', and formats is empty: name the suffixes of the files that it writes"
        for suffix, what in formats.items():
            if not suffix.startswith(".") or not what:
                return f"formats has {suffix!r}: {what!r}; it maps a suffix as '.pt' to what is in such a file"
            path = Path(f"saved{suffix}").absolute()
            run.trainable.save(path)
            if not path.exists():
                return f"save('saved{suffix}') wrote {sorted(one.name for one in Path().iterdir())}"
        return None

    return _asked(factory, save)


@VERBS.add("graph-inputs", "graph() gives each node once, and each input is the name of a node.")
def _graph_inputs(factory: Factory) -> str | None:
    def look(run: Run) -> str | None:
        if not run.can("graph"):
            return None
        nodes = run.trainable.graph()
        names = [name for name, _, _ in nodes]
        strangers = {one for _, _, inputs in nodes for one in inputs} - set(names)
        if not nodes or strangers:
            return f"the inputs {sorted(strangers)} are no nodes. There are {sorted(names)}"
        twice = {name for name in names if names.count(name) > 1}
        return f"{sorted(twice)} are there more than once" if twice else None

    return _asked(factory, look)


@VERBS.add("gradients-clipped", "clip_gradients() clips before each update until it is ended, and reports each norm.")
def _gradients_clipped(factory: Factory) -> str | None:
    ends: list[Callable[[], None]] = []
    norms: list[Any] = []
    kept: list[Any] = []

    def begin(run: Run) -> None:
        if run.can("gradients") and run.can("weights"):
            kept.append(run.get_weights())
            ends.append(run.trainable.clip_gradients(norm=_NOTHING, value=None, report=norms.append))

    def end(run: Run) -> None:
        if ends:
            ends[0]()

    def keep(run: Run) -> None:
        if ends:
            kept.append(run.get_weights())

    see(bench := factory(), PLAIN, Do("train_begin", begin), Do("epoch_end", end), Do("train_batch_end", keep, None))
    if not ends:
        return None
    moved = [changed(before, after) for before, after in pairwise(kept)]
    clipped, free = moved[bench.batches - 1], moved[2 * bench.batches - 1]
    if clipped and clipped >= free:
        return f"gradients were clipped to nothing, and the last batch of that epoch changed {sorted(clipped)}"
    if not free - clipped:
        return "the clipping was ended after the first epoch, and the last batch still changed nothing"
    return differ("how many norms were reported in one epoch", bench.batches, len(norms)) or first_of(
        *(None if float(norm) > 0 else f"the norm before clipping was reported as {norm!r}" for norm in norms)
    )


@VERBS.add("average-moves", "update_average() gives decay * average + (1 - decay) * weights, which restore() takes.")
def _average_moves(factory: Factory) -> str | None:
    averages: list[Any] = [None]
    weights: list[Any] = []
    came: list[Any] = []

    def step(run: Run) -> None:
        if run.can("average") and run.can("weights") and run.can("snapshot"):
            averages[0] = run.trainable.update_average(averages[0], 0.25)
            weights.append({name: np.array(array) for name, array in run.get_weights().items()})
            if len(weights) == 3:
                run.restore(averages[0])
                came.append(run.get_weights())

    see(bench := factory(), four_batches(bench), Do("train_batch_end", step, nth=None))
    if not came:
        return None
    first, second, third = weights[:3]
    expected = {name: first[name] / 16 + second[name] * (3 / 16) + third[name] * 0.75 for name in first}
    expected |= {name: third[name] for name in first if first[name].dtype.kind in "iub"}
    if same(expected, came[0]):
        return None
    name = next(name for name in expected if not same({name: expected[name]}, {name: came[0].get(name)}))
    return f"the average of three batches was restored; {name!r} is another than was worked out from the weights"


@VERBS.add("optimizer-average", "optimizer_average() is what restore() takes, of the same shapes as the weights.")
def _optimizer_average(factory: Factory) -> str | None:
    def swap(run: Run) -> str | None:
        if not (run.can("optimizer_average") and run.can("weights") and run.can("snapshot")):
            return None
        before = {name: array.shape for name, array in run.get_weights().items()}
        run.restore(run.trainable.optimizer_average())
        return differ("the shapes", before, {name: array.shape for name, array in run.get_weights().items()})

    return _asked(factory, swap)


@VERBS.add("embeddings-owned", "embeddings() gives tables of two dimensions, as copies.")
def _embeddings_owned(factory: Factory) -> str | None:
    def look(run: Run) -> str | None:
        if not run.can("embeddings"):
            return None
        for name, table in run.trainable.embeddings().items():
            if not (isinstance(table, np.ndarray) and table.ndim == 2):
                return f"{name!r} is no numpy array of two dimensions but {table!r}"
            before = table.copy()
            if table.flags.writeable:
                table[...] = 8.0
            if not np.array_equal(run.trainable.embeddings()[name], before):
                return f"writing to the table of {name!r} changed the model"
        return None

    return _asked(factory, look)


@VERBS.add("profile-written", "What profile(folder) returns ends the profile and writes into the folder.")
def _profile_written(factory: Factory) -> str | None:
    folder = Path("profile").absolute()
    ends: list[Callable[[], None]] = []

    def begin(run: Run) -> None:
        if run.can("profile"):
            folder.mkdir()
            ends.append(run.trainable.profile(folder))

    see(factory(), ONE, Do("epoch_begin", begin), Do("epoch_end", lambda run: [end() for end in ends]))
    if ends and not any(path.is_file() for path in folder.rglob("*")):
        return "it was ended, and nothing is in the folder"
    return None


@VERBS.add("epoch-ends-early", "run.end_epoch() ends this epoch's batches; its validation and its end follow.")
def _epoch_ends_early(factory: Factory) -> str | None:
    bench = factory()
    if not ask(bench, lambda run: run.can("end_epoch")):
        return None
    expected, came = (Do("train_batch_end", lambda run: run.end_epoch()) for _ in range(2))
    return differ(
        "a run whose first epoch is ended in its first batch",
        reference(bench, HISTORY, expected).outline,
        see(bench, HISTORY, came).outline,
    )


@VERBS.add("batch-logs", "run.batch_logs has the last batch's own values.")
def _batch_logs(factory: Factory) -> str | None:
    seen: list[Any] = []

    def read(run: Run) -> None:
        if run.can("batch_logs"):
            seen.append(run.batch_logs.get("loss"))

    see(bench := factory(), HISTORY, Do("train_batch_end", read, nth=None))
    expected = [1.0] * bench.batches + [2.0] * bench.batches
    return differ("run.batch_logs['loss'] at each train_batch_end", expected, seen) if seen else None


def _asked(factory: Factory, action: Callable[[Run], str | None]) -> str | None:
    found: str | None = ask(factory(), action)
    return found
