"""Write a training callback once, run it under every trainer."""

from . import callbacks, datasets, errors, schedules
from .bus import EventBus, Handle
from .callback import Callback
from .driver import Driver
from .errors import TrainhooksError
from .events import Event
from .filters import between, every, once, when
from .fit import evaluate, fit, predict
from .hookspecs import hookimpl
from .logs import Logs, Mean
from .loop import LoopRun
from .numpy_model import MLP
from .run import EpochRecord, Run
from .trainable import OnDevice, Trainable
from .world import World
from .wrap import WrapOptions, wrap

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "Callback",
    "Driver",
    "EpochRecord",
    "Event",
    "EventBus",
    "Handle",
    "Logs",
    "LoopRun",
    "Mean",
    "OnDevice",
    "Run",
    "Trainable",
    "TrainhooksError",
    "World",
    "WrapOptions",
    "between",
    "callbacks",
    "datasets",
    "errors",
    "evaluate",
    "every",
    "fit",
    "hookimpl",
    "once",
    "predict",
    "schedules",
    "when",
    "wrap",
]
