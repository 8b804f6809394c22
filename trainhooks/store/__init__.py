"""Crash-safe files and checkpoints: written beside the target, synced, renamed. Nothing is unpickled, ever.

Whenever the process or the machine dies, a path holds the old file or the new one, whole. What a process killed in the
middle leaves behind has a hidden name (see ``temporaries``) that nobody reads. Arrays are kept as safetensors.
"""

from .array_files import load_arrays, load_metadata, save_arrays, write_atomically
from .disk import make_folders
from .folder import load_checkpoint, save_checkpoint
from .listing import Found, checkpoints, latest_good, load_latest
from .retention import delete_checkpoint, prune, tidied

__all__ = [
    "Found",
    "checkpoints",
    "delete_checkpoint",
    "latest_good",
    "load_arrays",
    "load_checkpoint",
    "load_latest",
    "load_metadata",
    "make_folders",
    "prune",
    "save_arrays",
    "save_checkpoint",
    "tidied",
    "write_atomically",
]
