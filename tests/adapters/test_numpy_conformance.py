"""The numpy model in the reference loop, held to every rule of the kit: what the adapters are compared with."""

from __future__ import annotations

from trainhooks.testing import ReferenceBench, check_adapter

test_numpy = check_adapter(ReferenceBench)
