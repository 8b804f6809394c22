"""Tells when a training step takes much longer than the run's usual pace."""

from .slowdown import EVENT, Slowdown

__all__ = ["EVENT", "Slowdown"]
