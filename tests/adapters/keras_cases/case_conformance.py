"""The Keras adapter on this backend, held to every rule of the kit."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench_keras import KerasBench

from trainhooks.testing import check_adapter

test_keras = check_adapter(KerasBench)
