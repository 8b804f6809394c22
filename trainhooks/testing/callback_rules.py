"""The rules of the callback protocol, as the kit holds callbacks to them."""

from __future__ import annotations

import dataclasses
import gc
import warnings
from typing import Final

from .callback_rules_alone import ALONE
from .callback_rules_ends import ENDS
from .callback_rules_files import FILES
from .callback_rules_needs import NEEDS
from .callback_rules_odd import ODD
from .callback_rules_resume import RESUME
from .callback_rules_runs import RUNS, refusal
from .callback_rules_state import STATE
from .callback_rules_trial import Trial
from .rules import Rule


def _undisturbed(rule: Rule[Trial]) -> Rule[Trial]:
    """The rule, held while nothing that others have dropped is freed, and nothing is said of changed settings."""

    def check(trial: Trial) -> str | None:
        collects = gc.isenabled()
        gc.disable()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return rule.check(trial)
        finally:
            if collects:
                gc.enable()

    return dataclasses.replace(rule, check=check)


CALLBACK_RULES: Final[tuple[Rule[Trial], ...]] = tuple(
    map(_undisturbed, (*RUNS, *NEEDS, *ODD, *STATE, *ALONE, *RESUME, *FILES, *ENDS))
)
"""All that are tried of a callback which its trainer can serve."""

GATES: Final = ("made-anew", "registers", "attaches", "runs")
"""Without these every other rule would only say once more what is wrong."""

REFUSED: Final[tuple[Rule[Trial], ...]] = (
    Rule("refused", "docs/write-a-callback.md#needs", "It is refused when it is attached, by that sentence.", refusal),
)
"""Of one that its trainer cannot serve."""
