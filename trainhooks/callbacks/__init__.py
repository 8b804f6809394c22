"""The built-in callbacks, one a file. Each is loaded when it is first asked for, so that there may be many.

``make`` makes one by its name, as a config says it; ``register`` has it know those of one's own, ``unregister`` lets
them go, and ``names`` says what there is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._by_name import make as make
    from ._by_name import names as names
    from ._by_name import register as register
    from ._by_name import unregister as unregister
    from .backup_and_restore import BackupAndRestore as BackupAndRestore
    from .csv_logger import CSVLogger as CSVLogger
    from .early_stopping import EarlyStopping as EarlyStopping
    from .ema import EMA as EMA
    from .epoch_scoring import EpochScoring as EpochScoring
    from .graceful_stop import GracefulStop as GracefulStop
    from .gradient_clipping import GradientClipping as GradientClipping
    from .history import History as History
    from .json_logger import JSONLogger as JSONLogger
    from .lambda_callback import LambdaCallback as LambdaCallback
    from .learning_rate_monitor import LearningRateMonitor as LearningRateMonitor
    from .learning_rate_scheduler import LearningRateScheduler as LearningRateScheduler
    from .model_checkpoint import ModelCheckpoint as ModelCheckpoint
    from .nan_guard import NaNGuard as NaNGuard
    from .progbar_logger import ProgbarLogger as ProgbarLogger
    from .reduce_lr_on_plateau import ReduceLROnPlateau as ReduceLROnPlateau
    from .remote_monitor import RemoteMonitor as RemoteMonitor
    from .stop_file import StopFile as StopFile
    from .swap_ema_weights import SwapEMAWeights as SwapEMAWeights
    from .tensorboard import TensorBoard as TensorBoard
    from .terminate_on_nan import TerminateOnNaN as TerminateOnNaN
    from .throughput import Throughput as Throughput
    from .timer import Timer as Timer

_MODULES = {
    "BackupAndRestore": "backup_and_restore",
    "CSVLogger": "csv_logger",
    "EarlyStopping": "early_stopping",
    "EMA": "ema",
    "EpochScoring": "epoch_scoring",
    "GracefulStop": "graceful_stop",
    "GradientClipping": "gradient_clipping",
    "History": "history",
    "JSONLogger": "json_logger",
    "LambdaCallback": "lambda_callback",
    "LearningRateMonitor": "learning_rate_monitor",
    "LearningRateScheduler": "learning_rate_scheduler",
    "ModelCheckpoint": "model_checkpoint",
    "NaNGuard": "nan_guard",
    "ProgbarLogger": "progbar_logger",
    "ReduceLROnPlateau": "reduce_lr_on_plateau",
    "RemoteMonitor": "remote_monitor",
    "StopFile": "stop_file",
    "SwapEMAWeights": "swap_ema_weights",
    "TensorBoard": "tensorboard",
    "TerminateOnNaN": "terminate_on_nan",
    "Throughput": "throughput",
    "Timer": "timer",
}
_FUNCTIONS = dict.fromkeys(("make", "names", "register", "unregister"), "_by_name")
__all__ = list(_MODULES)
"""The callbacks alone."""


def __getattr__(name: str) -> Any:
    modules = _MODULES | _FUNCTIONS
    if name not in modules:
        from ..errors import did_you_mean

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{did_you_mean(name, modules)}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{modules[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__, *_FUNCTIONS]
