"""A small trainer with a loop and hooks of its own, as a company may have one. It knows of no other library."""

from .linear import Linear
from .trainer import Hook, Kind, Trainer

__all__ = ["Hook", "Kind", "Linear", "Trainer"]
