"""What a file calls a dtype: safetensors's code where it has one, else a description in JSON that runs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .plain_file import DamageError

if TYPE_CHECKING:
    DType = np.dtype[Any]

CODES: Final[dict[str, str]] = {
    "BOOL": "bool",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
"""What a safetensors file calls a dtype, and what numpy (or from ``BF16`` on, ml_dtypes) calls it."""

_NAMES: Final = {called: code for code, called in CODES.items()}
_PLAIN: Final = re.compile(r"[<|][biufcmMSUV]\d{1,10}(\[\d{0,10}[A-Za-z]{1,2}\])?")
"""numpy's short form of a dtype without fields. No ``O``: nothing is unpickled, ever."""
_FROM_ML_DTYPES: Final = re.compile(r"(bfloat|float|u?int)\d[a-z0-9_]{0,20}")
_DEEPEST: Final = 16


class MissingDtypeError(ImportError):
    """A dtype of ml_dtypes, which is not installed."""


def code_of(dtype: DType) -> str | None:
    """What safetensors calls a dtype, or None where it has no such."""
    return _NAMES.get(dtype.name)


def dtype_of(code: str) -> DType:
    """The dtype that safetensors calls ``code``, in the byte order of a file.

    Raises:
        DamageError: there is none.
        MissingDtypeError: it is one of ml_dtypes, which is not installed.
    """
    if code not in CODES:
        raise DamageError(f"is of dtype {code:.40}, which numpy has not")
    return _of_ml_dtypes(CODES[code]) if code.startswith(("BF", "F8")) else little(np.dtype(CODES[code]))


def little(dtype: DType) -> DType:
    """A dtype in the byte order of files."""
    found: DType = dtype.newbyteorder("<")
    return found


def describe(dtype: DType) -> Any:
    """A dtype as JSON-able values.

    Raises:
        TypeError: it holds Python's objects, or is of a kind that nobody here knows.
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"of": describe(base), "shape": list(shape)}
    if dtype.names is not None and dtype.fields is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        return {
            "names": list(dtype.names),
            "formats": [describe(field[0]) for field in fields],
            "offsets": [field[1] for field in fields],
            "titles": [field[2] if len(field) > 2 else None for field in fields],
            "itemsize": dtype.itemsize,
        }
    if dtype.char in "gG":  # of one size, but not of one meaning on every processor
        return {"longdouble": little(dtype).str, "mantissa": int(np.finfo(np.longdouble).nmant)}
    if dtype.type.__module__.partition(".")[0] == "ml_dtypes":
        return {"ml_dtypes": dtype.name}
    if _PLAIN.fullmatch(little(dtype).str):
        return little(dtype).str
    raise TypeError(f"{dtype} cannot be described")


def described(text: Any, depth: int = 0) -> DType:
    """The dtype that ``describe`` gave a description of, in the byte order of a file.

    Raises:
        DamageError: it is no such description, or one that another processor made.
        MissingDtypeError: as for ``dtype_of``.
    """
    try:
        if isinstance(text, str) and _PLAIN.fullmatch(text):
            return np.dtype(text)
        if isinstance(text, dict) and depth < _DEEPEST:
            return _from_parts(text, depth)
    except (ValueError, TypeError, OverflowError, MemoryError, SyntaxError) as error:
        if isinstance(error, DamageError):
            raise
        raise DamageError(f"has a dtype that numpy refuses ({error})") from None
    raise DamageError("has a dtype that no file of ours has")


def _from_parts(parts: Mapping[str, Any], depth: int) -> DType:
    if parts.keys() == {"of", "shape"}:
        return np.dtype((described(parts["of"], depth + 1), _shape(parts["shape"])))
    if parts.keys() == {"names", "formats", "offsets", "titles", "itemsize"}:
        formats = [described(one, depth + 1) for one in parts["formats"]]
        if not all(isinstance(name, str) for name in parts["names"]):
            raise DamageError("has a dtype with a field whose name is no text")
        if not all(title is None or isinstance(title, str) for title in parts["titles"]):
            raise DamageError("has a dtype with a field whose title is no text")
        fields: dict[str, Any] = {**parts, "formats": formats}
        return np.dtype(fields)  # type: ignore[call-overload,no-any-return]
    if parts.keys() == {"longdouble", "mantissa"}:
        for here in (np.dtype(np.longdouble), np.dtype(np.clongdouble)):
            if parts == describe(here):
                return here
        raise DamageError("is of a long float of another kind of processor")
    name = parts.get("ml_dtypes")
    if parts.keys() == {"ml_dtypes"} and isinstance(name, str) and _FROM_ML_DTYPES.fullmatch(name):
        return _of_ml_dtypes(name)
    raise DamageError("has a dtype that no file of ours has")


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(one) is int and 0 <= one < 1 << 31 for one in value):
        raise DamageError("has a dtype of no possible shape")
    return tuple(value)


def _of_ml_dtypes(name: str) -> DType:
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingDtypeError(f"is of dtype {name}, which numpy has from ml_dtypes: pip install ml_dtypes") from error
    if not hasattr(ml_dtypes, name):
        raise DamageError(f"is of dtype {name}, which this version of ml_dtypes has not")
    found: DType = np.dtype(getattr(ml_dtypes, name))
    return found
