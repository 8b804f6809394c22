"""Parts for testing callbacks and adapters: a trace of events, scripted callbacks and models, random strategies."""

from ..events import Grammar
from .doubles import Constant, Do, RaiseAt, StopAt, batches
from .faulty_disk import FaultyDisk
from .play import play
from .trace import Trace

__all__ = ["Constant", "Do", "FaultyDisk", "Grammar", "RaiseAt", "StopAt", "Trace", "batches", "play"]
