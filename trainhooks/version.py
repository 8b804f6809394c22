"""The version of trainhooks."""

__version__ = "0.1.0"
