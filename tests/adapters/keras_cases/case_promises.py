"""What a user is promised of every trainer, of Keras on this backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench_keras import LossBench
from promises import *  # noqa: F403  # the cases are this file's tests too
from promises import goes_on


@pytest.fixture(scope="module")
def kind() -> Any:
    return LossBench


def test_a_killed_process_is_gone_on_from_by_its_folder(tmp_path: Path) -> None:
    goes_on(LossBench, tmp_path)
