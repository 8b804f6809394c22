"""Parts for testing callbacks and adapters: a kit of rules, a trace of events, scripted callbacks and models."""

from __future__ import annotations

from ..events import Grammar
from .bench import BATCHES, LEAVE, Bench, Epoch
from .check_adapter import check_adapter
from .check_callback import check_callback
from .doubles import Constant, Do, RaiseAt, StopAt, batches
from .faulty_disk import FaultyDisk
from .play import play
from .reference import ReferenceBench
from .rules import BrokenRuleError
from .survey import Survey, survey
from .trace import Trace

__all__ = [
    "BATCHES",
    "LEAVE",
    "Bench",
    "BrokenRuleError",
    "Constant",
    "Do",
    "Epoch",
    "FaultyDisk",
    "Grammar",
    "RaiseAt",
    "ReferenceBench",
    "StopAt",
    "Survey",
    "Trace",
    "batches",
    "check_adapter",
    "check_callback",
    "play",
    "survey",
]
