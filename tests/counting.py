"""Counts what code does, in place of timing it: what it calls, and how many bytecodes it executes."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import trainhooks

OURS = (f"{Path(trainhooks.__file__).parent}{os.sep}", "<trainhooks ")
"""How the file names of our functions begin, and those of the dispatchers that are compiled for a run."""

Calls = list[str]
"""What was called, in order: a function of ours by its file and name, as ``means.add``, one of C by its name with a dot
before it, any other by its name."""


@functools.cache
def _name(code: CodeType) -> str:
    own = code.co_filename.startswith(OURS[0])
    return f"{Path(code.co_filename).stem}.{code.co_name}" if own else code.co_name


@contextmanager
def calls(turns_at: str, files: tuple[str, ...] = ("",)) -> Iterator[list[Calls]]:
    """The calls that are made in a ``with``, in turns: one begins where ``turns_at`` is called, or resumed.

    Args:
        turns_at: the name of a Python function.
        files: what is called or, a C function, calls in these, as they begin; by default all.
    """
    turns: list[Calls] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and _name(frame.f_code) == turns_at:
            turns.append([])
        if turns and event in ("call", "c_call") and frame.f_code.co_filename.startswith(files):
            turns[-1].append(_name(frame.f_code) if event == "call" else f".{argument.__name__}")

    with _telling(sys.setprofile, sys.getprofile(), note):
        yield turns


@contextmanager
def bytecodes(turns_at: str) -> Iterator[list[Counter[str]]]:
    """The bytecodes that functions of ours execute in a ``with``, by the names of these, in such turns."""
    turns: list[Counter[str]] = []

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        name = _name(frame.f_code)

        def note(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "opcode" and turns:
                turns[-1][name] += 1
            return note

        if name == turns_at:
            turns.append(Counter())
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return note

    sys._getframe().f_trace_opcodes = True  # 3.12 tells of bytecodes only where this was set before settrace
    with _telling(sys.settrace, sys.gettrace(), enter):
        yield turns


@contextmanager
def _telling(tell: Callable[[Any], None], before: Any, note: Any) -> Iterator[None]:
    gc.collect()
    gc.disable()  # what it collects may call back
    tell(note)
    try:
        yield
    finally:
        tell(before)
        gc.enable()
