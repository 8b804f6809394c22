"""What a user is promised of every trainer, by one table of them; Keras's backends are in ``keras_cases``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from promises import *  # noqa: F403  # the cases are this file's tests too
from promises import INF, NAN, goes_on, in_turn

from trainhooks.testing import Bench
from trainhooks.testing.adapter_rules_tools import like

HERE = Path(__file__).parent


class Trainer(NamedTuple):
    """Where a trainer's bench is.

    Attributes:
        imported: what is imported only where its package is installed.
        bench: its class, as ``module:name``.
        killed: the test by which a killed process is gone on from; None for the one of this file.
        package: its name, where it is not what is imported.
    """

    imported: str
    bench: str
    killed: str | None = None
    package: str | None = None


TRAINERS = {
    "numpy": Trainer("numpy", "trainhooks.testing.reference:ReferenceBench"),
    "torch": Trainer("torch", "bench_torch:TorchBench"),
    "lightning": Trainer(
        "lightning",
        "bench_lightning:LightningBench",
        "test_lightning_resume.py::test_a_killed_training_goes_on_from_the_folder_of_our_backups",
    ),
    "fabric": Trainer(
        "lightning_fabric",
        "bench_fabric:FabricBench",
        "prepared_cases.py::test_a_killed_process_is_gone_on_from_as_if_it_had_not_been",
        "lightning",
    ),
    "transformers": Trainer(
        "transformers",
        "bench_transformers:TransformersBench",
        "test_transformers_resume.py::test_after_a_kill_a_backup_of_ours_is_gone_on_from",
    ),
    "accelerate": Trainer(
        "accelerate",
        "bench_accelerate:AccelerateBench",
        "prepared_cases.py::test_a_killed_process_is_gone_on_from_as_if_it_had_not_been",
    ),
    "ignite": Trainer("ignite", "bench_ignite:IgniteBench"),
    "skorch": Trainer(
        "skorch", "bench_skorch:SkorchBench", "test_skorch_sklearn.py::test_a_killed_run_goes_on_as_if_nothing_had_been"
    ),
    "fastai": Trainer(
        "fastai",
        "bench_fastai:FastaiBench",
        "test_fastai_resume.py::test_a_killed_run_goes_on_in_another_process_as_if_nothing_had_been",
    ),
    "jax": Trainer(
        "optax", "bench_jax:JaxBench", "test_jax.py::test_a_process_that_was_killed_is_gone_on_with_to_the_bit"
    ),
    "nnx": Trainer(
        "flax", "bench_nnx:NnxBench", "test_jax.py::test_a_process_that_was_killed_is_gone_on_with_to_the_bit"
    ),
    "xgboost": Trainer(
        "xgboost", "bench_xgboost:XGBoostBench", "test_xgboost_resume.py::test_a_killed_process_goes_on_where_it_was"
    ),
    "lightgbm": Trainer(
        "lightgbm",
        "bench_lightgbm:LightGBMBench",
        "test_lightgbm_resume.py::test_a_killed_process_goes_on_where_it_was",
    ),
}

VALUES = st.integers(0, 12).map(lambda eighths: eighths / 8) | st.sampled_from([NAN, INF, -INF])
ENTRIES = st.fixed_dictionaries({"loss": VALUES}, optional={"val_loss": VALUES})


@pytest.fixture(scope="module", params=TRAINERS)
def kind(request: pytest.FixtureRequest) -> Any:
    trainer = TRAINERS[request.param]
    pytest.importorskip(trainer.imported, reason=f"{trainer.package or trainer.imported} is not installed")
    module, _, name = trainer.bench.partition(":")
    return getattr(importlib.import_module(module), name)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(ENTRIES, min_size=1, max_size=6))
def test_on_whatever_metrics_they_decide_as_in_the_reference_loop(kind: type[Bench], history: Any) -> None:
    assert in_turn(kind(), history) == in_turn(like(kind()), history)


def test_a_killed_process_is_gone_on_from_by_its_folder(
    kind: type[Bench], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    elsewhere = TRAINERS[request.node.callspec.params["kind"]].killed
    if elsewhere is None:
        goes_on(kind, tmp_path)
    else:
        file, _, test = elsewhere.partition("::")
        assert f"\ndef {test}(" in (HERE / file).read_text(encoding="utf-8")


def test_no_adapter_is_left_out() -> None:
    folders = {path.parent.name for path in HERE.parents[1].glob("adapters/trainhooks_adapters/*/__init__.py")}
    assert folders <= {*TRAINERS, "keras", "demos"}
