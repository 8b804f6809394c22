"""Two processes that Accelerate joins, on the CPU: they decide alike, end together, and one of them writes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("accelerate", reason="accelerate is not installed")

from two_ranks import check_both


def test_two_processes_decide_alike_and_one_of_them_writes(tmp_path: Path) -> None:
    check_both("accelerate", tmp_path)
