"""The rules of an adapter, in the order in which they are tried."""

from __future__ import annotations

from typing import Final

from . import (
    adapter_rules_bench,
    adapter_rules_decisions,
    adapter_rules_endings,
    adapter_rules_events,
    adapter_rules_lr,
    adapter_rules_resume,
    adapter_rules_state,
    adapter_rules_verbs,
    adapter_rules_weights,
)
from .adapter_rules_tools import Factory
from .rules import Rule

ADAPTER_RULES: Final[tuple[Rule[Factory], ...]] = (
    *adapter_rules_bench.RULES,
    *adapter_rules_events.RULES,
    *adapter_rules_bench.RUNS,
    *adapter_rules_endings.STOPS,
    *adapter_rules_endings.EXCEPTIONS,
    *adapter_rules_lr.RULES,
    *adapter_rules_lr.STEPS,
    *adapter_rules_weights.WEIGHTS,
    *adapter_rules_weights.SNAPSHOTS,
    *adapter_rules_state.RULES,
    *adapter_rules_resume.RULES,
    *adapter_rules_verbs.CAPABILITY,
    *adapter_rules_decisions.RULES,
    *adapter_rules_verbs.FILES,
    *adapter_rules_verbs.VERBS,
)
