"""Render what ``tests/frameworks.py`` wrote: the README's table, docs/frameworks.md, and what doctor reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from packaging.version import Version

from trainhooks.testing.adapter_rules import ADAPTER_RULES
from trainhooks.trainable import CAPABILITIES

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "docs" / "frameworks"
README: Final = ROOT / "README.md"
PAGE: Final = ROOT / "docs" / "frameworks.md"
DATA: Final = ROOT / "trainhooks" / "data" / "frameworks.json"
COMMAND: Final = "python tests/frameworks.py --table"
BEGIN: Final = f"<!-- what works where: written by `{COMMAND}` -->"
END: Final = "<!-- end of what works where -->"

Release = dict[str, Any]
"""One file: an adapter under one release of its framework."""

NAMES: Final = {
    "numpy": "numpy: `fit`",
    "torch": "PyTorch, your loop",
    "keras": "Keras",
    "lightning": "Lightning",
    "fabric": "Lightning Fabric",
    "transformers": "Hugging Face Trainer",
    "accelerate": "Accelerate",
    "ignite": "Ignite",
    "skorch": "skorch",
    "fastai": "fastai",
    "jax": "JAX",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
}
"""How a reader knows each framework, in the order of the tables."""
KINDS: Final = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch", "optax": "optax", "nnx": "flax.nnx"}
"""What a framework is tested with apart."""

MEANS: Final = {
    "lr": "a callback sets `run.lr`, and the next batch is trained with it (unless the optimizer follows a schedule "
    "that cannot be set, as a `LearningRateSchedule` of Keras)",
    "read_lr": "`run.lr` can be read",
    "weights": "`run.get_weights()` and `run.set_weights()`: arrays by name, and `.safetensors` files",
    "snapshot": "a copy of the weights that stays on its device, as `restore_best_weights` and `NaNGuard` take it",
    "state": "`run.state_dict()` holds the model and the optimizer too, so that a resume or a backup goes on from it",
    "save": "`ModelCheckpoint` writes files of the framework's own format",
    "optimizer_step": "`on_optimizer_step` fires after each real update, however many batches make one",
    "gradients": "`GradientClipping` clips before each update",
    "average": "`EMA` and `SwapEMAWeights` keep a moving average of the weights on their device",
    "optimizer_average": "the moving average that the optimizer itself keeps can be swapped in",
    "graph": "the model is shown as a graph of its layers in TensorBoard",
    "embeddings": "the tables of embedding layers are shown in TensorBoard",
    "profile": "the framework's own profiler runs for some batches, for TensorBoard",
    "end_epoch": "`run.end_epoch()` ends an epoch's batches early",
    "batch_logs": "`run.batch_logs` has the last batch's own values, not the running means alone",
    "data_wait": "`trainhooks.profile(run)` tells the time of waiting for data apart",
    "batches": "an epoch has several batches, each with values of its own",
    "mid_epoch": "a run that was saved inside an epoch goes on from that batch; else from the epoch's beginning",
}
"""What each capability is to a user."""

SHORT: Final = {
    "lr": "learning rate",
    "weights": "weights",
    "snapshot": "snapshot",
    "state": "resume",
    "mid_epoch": "resume inside an epoch",
    "save": "own files",
    "optimizer_step": "real updates",
    "gradients": "clipping",
    "average": "EMA",
    "batches": "batches",
    "batch_logs": "batch logs",
    "end_epoch": "end epoch",
    "graph": "graph",
    "profile": "profiler",
}
"""Those that the README shows, and the head of the column of each."""


def load(folder: Path = FOLDER) -> list[Release]:
    """All files, in the order of the tables, the newest release of each first."""
    releases = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    names, kinds = list(NAMES), list(KINDS)

    def place(one: Release) -> tuple[int, str, int]:
        known = names.index(one["name"]) if one["name"] in names else len(names)
        return known, one["name"], kinds.index(one["kind"]) if one["kind"] else 0

    releases.sort(key=lambda one: Version(one["version"]), reverse=True)
    return sorted(releases, key=place)


def variant_of(release: Release) -> str:
    """Its framework, with the kind: ``keras-jax``."""
    return "-".join(filter(None, (release["name"], release["kind"])))


def file_name(release: Release) -> str:
    """What its file is called."""
    return f"{variant_of(release)}-{release['version']}.json"


def by_variant(releases: list[Release]) -> dict[str, list[Release]]:
    """The releases of each, the newest first."""
    return {variant: list(some) for variant, some in groupby(releases, variant_of)}


def span(releases: list[Release]) -> str:
    """The oldest and the newest release."""
    versions = sorted({one["version"] for one in releases}, key=Version)
    return ", ".join(dict.fromkeys((versions[0], versions[-1])))


def lacks(release: Release) -> dict[str, str]:
    """What it lacks, with the reasons; of some that are in ``conditional`` other models have it."""
    return {need: reason for need, reason in release["capabilities"].items() if reason is not None}


def cell(release: Release, need: str) -> str:
    """Whether it is offered, in a table."""
    if need not in release["capabilities"]:
        return "?"
    if need in (lacking := lacks(release)):
        reads = need == "lr" and "read_lr" not in lacking
        return "read" if reads else "○" if need in release["conditional"] else ""
    return " ".join(f"`{suffix}`" for suffix in release["formats"]) if need == "save" else "●"


def rendered(releases: list[Release] | None = None) -> dict[Path, str]:
    """Each file that is made of these, and its text."""
    releases = load() if releases is None else releases
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise LookupError(f"{README.name} has not the lines {BEGIN!r} and {END!r}")
    return {
        README: f"{before}{BEGIN}\n{compact(releases)}\n{END}{after}",
        PAGE: page(releases),
        DATA: json.dumps(tested(releases), indent=1) + "\n",
    }


def tested(releases: list[Release]) -> dict[str, list[str]]:
    """The releases that each framework was tested with, the oldest first; the numpy model needs none."""
    names = dict.fromkeys(one["name"] for one in releases if one["name"] != "numpy")
    return {
        name: sorted({one["version"] for one in releases if one["name"] == name}, key=Version) for name in sorted(names)
    }


def rows(releases: list[Release], cells: Callable[[Release], list[str]]) -> Iterator[list[str]]:
    """A row for each framework; kinds of it whose newest releases have the same cells share one."""
    for _, some in groupby(by_variant(releases).values(), lambda group: group[0]["name"]):
        alike: dict[tuple[str, ...], list[list[Release]]] = {}
        for group in some:
            alike.setdefault(tuple(cells(group[0])), []).append(group)
        for shown, groups in alike.items():
            everything = [one for group in groups for one in group]
            yield [title(*(group[0] for group in groups)), span(everything), *shown]


def title(*releases: Release) -> str:
    """How a reader knows it, and which kinds of it these are."""
    name: str = NAMES.get(releases[0]["name"], releases[0]["name"])
    kinds = ", ".join(KINDS[one["kind"]] for one in releases if one["kind"])
    return f"{name} ({kinds})" if kinds else name


def markdown(head: list[str], body: Iterator[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * 2 + [":-:"] * (len(head) - 2), *body]
    return "\n".join("|" + "|".join(f" {one} " if one else " " for one in line) + "|" for line in lines)


def compact(releases: list[Release]) -> str:
    """The README's: a column for each capability that some trainer lacks."""
    newest = [group[0] for group in by_variant(releases).values()]
    shared = [need for need in SHORT if all(cell(one, need) == "●" for one in newest)]
    columns = [need for need in SHORT if need not in shared]
    head = ["trainer", "oldest, newest tested", *(SHORT[need] for need in columns)]
    words = ", ".join(f"{SHORT[need]} (`{need}`)" for need in shared)
    everywhere = f"All of them have: {words}.\n\n" if shared else ""
    return f"""{everywhere}{markdown(head, rows(releases, lambda one: [cell(one, need) for need in columns]))}

● offered; ○ with some models or optimizers; blank: a callback that needs it is refused.
[The whole table](docs/frameworks.md) says what each means, why it is lacking and what to do instead, and which rules of
the kit were left out."""


def page(releases: list[Release]) -> str:
    """docs/frameworks.md."""
    needs = list(CAPABILITIES)
    head = ["trainer", "oldest, newest tested", *(f"`{need}`" for need in needs)]
    means = "\n".join(f"- `{need}`: {MEANS[need]}." for need in needs)
    sections = "\n\n".join(_sections(releases))
    return f"""# What works under which trainer

<!-- written by `{COMMAND}`, of docs/frameworks/*.json -->

Each adapter was held to the rules of [Write an adapter](write-an-adapter.md), {len(ADAPTER_RULES)} of them now, with
the real framework, in the releases that stand here; every rule held but those that are listed as left out. The table is
of the newest release: ● offered; ○ with some models or optimizers; blank: lacking, and a callback that requires it is
refused when it is attached, with the reason that stands below.

{markdown(head, rows(releases, lambda one: [cell(one, need) for need in needs]))}

## What each capability means

{means}

{sections}
"""


def _sections(releases: list[Release]) -> Iterator[str]:
    """What is to be known of each trainer; kinds of it of which the same is to be known share a section."""
    for _, some in groupby(by_variant(releases).values(), lambda group: group[0]["name"]):
        alike: dict[str, list[list[Release]]] = {}
        for group in some:
            alike.setdefault(_facts(group), []).append(group)
        for facts, groups in alike.items():
            yield "\n\n".join([f"## {title(*(group[0] for group in groups))}", _tests(groups), facts])


def _tests(groups: list[list[Release]]) -> str:
    """The releases, and what came of them."""
    lines = ["| release | Python | with | rules held | left out |", "|---|---|---|---|---|"]
    for one in (release for group in groups for release in group):
        beside = ", ".join(f"{name} {version}" for name, version in one["beside"].items())
        beside = ": ".join(filter(None, (KINDS.get(one["kind"]), beside)))
        lines.append(f"| {one['version']} | {one['python']} | {beside} | {len(one['held'])} | {len(one['left_out'])} |")
    return "\n".join(lines)


def _facts(releases: list[Release]) -> str:
    newest = releases[0]
    parts = ["The loop is your own." if newest["owns_loop"] else "The loop is the trainer's."]
    if newest["formats"]:
        parts[0] += f" Files of its own: {', '.join(f'`{end}` ({what})' for end, what in newest['formats'].items())}."
    lacking = "\n".join(_told(releases, lacks))
    left_out = "\n".join(_told(releases, lambda one: one["left_out"]))
    parts += [f"Lacking:\n\n{lacking}"] if lacking else []
    parts += [f"Rules left out:\n\n{left_out}"] if left_out else []
    return "\n\n".join(parts)


def _told(releases: list[Release], of: Callable[[Release], Mapping[str, str]]) -> Iterator[str]:
    """A line for each name and reason; where it is not so in all releases, with those in which it is."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in releases:
        for name, reason in of(one).items():
            some = name in one["conditional"]
            found.setdefault((name, f"not with every model: {reason}" if some else reason), []).append(one["version"])
    for (name, reason), versions in found.items():
        where = "" if len(versions) == len(releases) else f" (in {', '.join(reversed(versions))})"
        yield f"- `{name}`{where}: {reason}"
