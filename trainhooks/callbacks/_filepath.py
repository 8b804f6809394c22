"""FilePath: the name of a file, with fields that are filled when it is written."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import missing_metric

if TYPE_CHECKING:
    from ..run import Run


class FilePath:
    """A path in which ``{epoch}`` (from 1), ``{batch}`` (from 1) and the names of metrics can stand.

    Args:
        who: the callback, as messages call it.
        template: the path; a field may have a format, as ``{epoch:02d}``.
        has_batches: whether ``{batch}`` has a meaning: files are written inside epochs.

    Attributes:
        template: as it was given, as text.
        fields: the names in braces, in their order.

    Raises:
        ValueError: a field is no plain name (a template must not reach into objects), cannot be formatted so, or is
            ``{batch}`` where that has no meaning.
    """

    def __init__(self, who: str, template: str | os.PathLike[str], *, has_batches: bool = False) -> None:
        self.template, self._has_batches = os.fspath(template), has_batches
        self._who = f"{who}(filepath={self.template!r})"
        try:
            parts = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise ValueError(f"{self._who}: {error}") from None
        fields = [(name, spec or "", conversion) for _, name, spec, conversion in parts if name is not None]
        for name, spec, conversion in fields:
            self._check(name, spec, conversion)
        self.fields = [name for name, _, _ in fields]
        self._begins = ""  # what stands before the first field
        for text, field, _, _ in parts:  # a doubled brace is a part of its own
            self._begins += text
            if field is not None:
                break

    def fill(self, run: Run, logs: Mapping[str, Any]) -> Path:
        """The path now.

        Raises:
            MissingMetricError: a field is no metric in ``logs``.
        """
        values: dict[str, Any] = {}
        for name in self.fields:
            if name in ("epoch", "batch"):
                values[name] = (run.epoch if name == "epoch" else run.batch) + 1
            elif name in logs:
                values[name] = logs[name]
            else:
                counts = ["epoch", "batch"] if self._has_batches else ["epoch"]
                raise missing_metric(self._who, name, [*counts, *logs])
        return Path(_Plain().vformat(self.template, (), values))

    def prepare(self, suffix: str = "") -> None:
        """Make the folder, as far as its name is known, and see whether a file can be put there.

        Args:
            suffix: what is put at the end of the name when it is written.

        Raises:
            OSError: it cannot.
        """
        # the name after the last slash is known in part only, where a field follows
        folder, who = Path(os.path.abspath(os.path.dirname(self._begins))), self._who
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"{who}: the folder cannot be made: {error.strerror}"
            raise type(error)(error.errno, what, error.filename) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{who}: nothing can be written into {str(folder)!r}. Give another folder.")
        if not self.fields and os.path.exists(name := self._begins + suffix) and not os.path.isfile(name):
            raise OSError(f"{who}: it is there and is no plain file, so it cannot be replaced. Give another name.")

    def _check(self, name: str, spec: str, conversion: str | None) -> None:
        if not name or any(sign in name for sign in ".[]!") or name.isdigit():
            raise ValueError(
                f"{self._who}: {{{name}}} is no plain name. There are {{epoch}}, {{batch}} and the names of metrics."
            )
        if "{" in spec:
            raise ValueError(f"{self._who}: the format of {{{name}}} holds a field of its own. Write the format out.")
        try:  # now, and not at the end of an epoch
            number: Any = _Plain().convert_field(1 if name in ("epoch", "batch") else 1.0, conversion)
            format(number, spec)
        except ValueError as error:
            field = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise ValueError(f"{self._who}: {{{field}}} cannot be formatted: {error}") from None
        if name == "batch" and not self._has_batches:
            raise ValueError(f"{self._who}: {{batch}} has a meaning only with a save_freq in steps or in seconds")


class _Plain(string.Formatter):
    """Formats plain keys only."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        return kwargs[field_name], field_name
