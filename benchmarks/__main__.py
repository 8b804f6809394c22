"""All that is measured here, or the scripts that are named, each in a process of its own.

    python -m benchmarks [NAME ...] [--write FILE]

Rows are printed as they come; then the table in Markdown, or with ``--write`` into a file. Where a script fails, the
others are run all the same, and the exit status is 1; Ctrl-C ends it all, with what was found so far in the table. A
goal that is not reached is no failure: the table says so.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .pairs import Row, read
from .table import about, markdown

HERE = Path(__file__).parent


def scripts() -> list[str]:
    """The modules of this folder that have ``rows``; none is imported to find out."""
    return sorted(
        file.stem
        for file in HERE.glob("*.py")
        if any(isinstance(one, ast.FunctionDef) and one.name == "rows" for one in ast.parse(file.read_text()).body)
    )


def rows_of(name: str) -> Iterator[Row]:
    """What a script yields, as it comes; the last thing may be a CalledProcessError."""
    command = [sys.executable, "-m", f"{HERE.name}.{name}", "--json"]
    with subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("{"):
                yield from read([line])
            else:  # a library's own
                print(line, end="", file=sys.stderr)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)


def main() -> int:
    """Returns how many scripts were not measured to the end."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(scripts())}; all by default")
    parser.add_argument("--write", metavar="FILE", type=Path, help="for the table in Markdown")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in scripts()]:
        parser.error(f"there is no script {', '.join(unknown)} that measures; there are {', '.join(scripts())}")
    if options.write is not None:
        try:
            options.write.open("a").close()
        except OSError as error:
            parser.error(f"{options.write} cannot be written: {error.strerror}")
    names, found, done = options.names or scripts(), [], []
    with contextlib.suppress(KeyboardInterrupt):
        for name in names:
            print(f"\n{name}", flush=True)
            try:
                for row in rows_of(name):
                    print(row, flush=True)
                    found.append((name, row))
                done.append(name)
            except subprocess.CalledProcessError as error:
                print(f"{name} failed, with exit status {error.returncode}; its rows end here", file=sys.stderr)
    left = [name for name in names if name not in done]
    text = markdown(found, about(" ".join(["python -m benchmarks", *options.names])))
    if left:
        text += f"\nFailed or interrupted, and not measured to the end: {', '.join(left)}.\n"
    if options.write is None:
        print(f"\n{text}", end="")
    else:
        options.write.write_text(text)
    return len(left)


if __name__ == "__main__":
    sys.exit(bool(main()))
