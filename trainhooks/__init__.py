"""Write a training callback once, run it under every trainer."""

from . import callbacks, datasets, errors, plugins, schedules
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
from .profile import profile
from .run import EpochRecord, Run
from .trainable import OnDevice, Trainable
from .version import __version__ as __version__
from .world import World
from .wrap import WrapOptions, wrap
from .wrapped import Wrapped

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
    "Wrapped",
    "between",
    "callbacks",
    "datasets",
    "errors",
    "evaluate",
    "every",
    "fit",
    "hookimpl",
    "once",
    "plugins",
    "predict",
    "profile",
    "schedules",
    "when",
    "wrap",
]
