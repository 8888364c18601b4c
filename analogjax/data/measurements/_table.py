"""Text tables as instruments and people write them, every cell with its line.

Cells are parsed by Python's own `float`, which rounds correctly and takes some 0.1 s for a million;
a table library would be faster only by parsing less exactly, and could not name the line of a cell.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import re
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from ...runs import UsageError
from ...runs._errors import nearest

MISSING = ("", "nan", "NaN", "NAN", "NA", "n/a", "N/A", "#N/A", "-", "--", "null", "None")
"""What stands for a missing value unless a mapping says otherwise."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of a file.

    Attributes:
        path: The file.
        names: Name of each column; empty where it has none.
        header: Line of the names, 0 if there is none.
        rows: Cells as text; a row may be short.
        lines: Line of each row, counted from 1.
        decimal: Decimal sign.
    """

    path: Path
    names: tuple[str, ...]
    header: int
    rows: Sequence[Sequence[str]]
    lines: np.ndarray
    decimal: str = "."

    @property
    def where(self) -> str:
        """The file, and the line of its names if it has any."""
        return f"{self.path} (line {self.header})" if self.header else f"{self.path}"

    def index(self, column: str | int, purpose: str) -> int:
        """Return the place of a column, from 0.

        Args:
            column: Its name, or its number counted from 1.
            purpose: What it is wanted for.

        Raises:
            UsageError: If there is none.
        """
        if isinstance(column, int):
            if 1 <= column <= self.width:
                return column - 1
            raise UsageError(
                f"File {self.path} must have a column {column} for {purpose}, but has "
                f"{self.width} columns."
            )
        exact = [i for i, name in enumerate(self.names) if name == column]
        loose = [i for i, name in enumerate(self.names) if name.lower() == column.lower()]
        found = exact or loose
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"File {self.where} must have one column {column!r} for {purpose}, but has "
                f"{len(found)}: give its number, counted from 1."
            )
        have = ", ".join(map(repr, self.names[:12])) + (" ..." if len(self.names) > 12 else "")
        raise UsageError(
            f"File {self.where} must have a column {column!r} for {purpose}, but has "
            f"{have or 'no row of names: give its number, counted from 1'}"
            f"{nearest(column, self.names)}."
        )

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names) or max((len(row) for row in self.rows[:100]), default=0)

    def name(self, column: int) -> str:
        """Return what a column is called in messages."""
        named = column < len(self.names) and self.names[column]
        return f"`{self.names[column]}`" if named else f"{column + 1}"

    def text(self, column: int) -> list[str]:
        """Return the cells of a column.

        Raises:
            UsageError: If a row is too short.
        """
        try:
            return [row[column].strip() for row in self.rows]
        except IndexError:
            row = next(i for i, row in enumerate(self.rows) if len(row) <= column)
            raise UsageError(
                f"File {self.path} must have a value in column {self.name(column)} of every row, "
                f"but line {self.lines[row]} has {len(self.rows[row])} columns."
            ) from None

    def numbers(self, column: int, missing: Collection[str] = MISSING) -> np.ndarray:
        """Return a column of numbers, nan where a cell is missing.

        Args:
            column: Its place, from 0.
            missing: Cells that stand for a missing value; a number among them stands for all ways
                of writing it.

        Raises:
            UsageError: If a cell is neither a finite number nor missing.
        """
        cells = self.text(column)
        if self.decimal != ".":
            cells = [cell.replace(self.decimal, ".") for cell in cells]
        try:
            values = np.array([float(cell) for cell in cells])
        except ValueError:
            values = np.array([self._number(cells, i, column, missing) for i in range(len(cells))])
        suspicious = ~np.isfinite(values)
        if suspicious.any():
            for i in np.flatnonzero(suspicious):
                if cells[i] not in missing:
                    self._refuse(cells, int(i), column)
        # Python reads 1_000 as a number; nobody who measures writes it.
        if any("_" in cell for cell in cells):
            bad = next(i for i, cell in enumerate(cells) if "_" in cell and cell not in missing)
            self._refuse(cells, bad, column)
        for token in missing:
            if _is_number(token):
                values[values == float(token)] = np.nan
        return values

    def _number(self, cells: list[str], i: int, column: int, missing: Collection[str]) -> float:
        if cells[i] in missing:
            return np.nan
        try:
            return float(cells[i])
        except ValueError:
            self._refuse(cells, i, column)

    def _refuse(self, cells: list[str], i: int, column: int) -> NoReturn:
        hint = ""
        if re.fullmatch(r"[-+]?\d+,\d+([eE][-+]?\d+)?", cells[i]):
            hint = " (a decimal comma is read where the mapping says `decimal: ','`)"
        raise UsageError(
            f"File {self.path} must hold finite numbers in column {self.name(column)}, but line "
            f"{self.lines[i]} has {cells[i]!r}{hint}."
        )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, packed with gzip or not, in UTF-8 or Latin-1.

    Raises:
        UsageError: If there is no such file or it cannot be unpacked.
    """
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else None
        files = [file.name for file in folder.iterdir()] if folder else []
        raise UsageError(
            f"Argument `path` must be a file, but {str(path)!r} does not exist"
            f"{nearest(path.name, files)}."
        )
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"File {path} must be readable, but is not ({error}).") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            # Older instruments write the micro sign and the degree in Latin-1.
            text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def split_lines(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of each line; `delimiter` is one character, or "whitespace"."""
    if delimiter == "whitespace":
        return [line.split() for line in lines]
    if any('"' in line for line in lines):
        # Line by line, so that a stray quotation mark cannot swallow the lines that follow.
        return [
            next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
            for line in lines
        ]
    return [line.split(delimiter) for line in lines]


def find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that the first lines use: tab, semicolon, comma or whitespace."""
    for delimiter in "\t;,":
        if any(delimiter in line for line in lines):
            return delimiter
    return "whitespace"


def read_cells(
    path: Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    skip: int = 0,
    comment: str = "#",
    decimal: str = ".",
    missing: Collection[str] = MISSING,
) -> Table:
    """Read a text table.

    Args:
        path: The file, packed with gzip or not.
        delimiter: One character or "whitespace"; None to find it from the first lines.
        header: Whether the first line holds names; None to say so if it holds anything that is no
            number. Names may also stand in the comment right above the numbers.
        skip: Lines to leave out at the beginning.
        comment: What a comment begins with; "" for no comments.
        decimal: Decimal sign, "." or ",".
        missing: Cells that stand for a missing value.

    Raises:
        UsageError: If the file is missing or holds no rows.
    """
    lines = read_lines(path)
    kept: list[tuple[int, str]] = []
    above = (0, "")  # the last comment above the first row
    for number, line in enumerate(lines[skip:], skip + 1):
        if not line.strip():
            continue
        if comment and line.lstrip().startswith(comment):
            above = (number, line.lstrip()[len(comment) :]) if not kept else above
            continue
        kept.append((number, line))
    if delimiter is None:
        delimiter = find_delimiter([line for _, line in kept[:2]])
    rows = split_lines([line for _, line in kept], delimiter)
    numbers = [number for number, _ in kept]
    names: list[str] = []
    line_of_names = 0
    if rows and (header or (header is None and _is_header(rows[0], decimal, missing))):
        names, line_of_names = rows.pop(0), numbers.pop(0)
    elif rows and header is None and above[1]:
        (candidate,) = split_lines([above[1].strip()], delimiter)
        if len(candidate) == len(rows[0]):
            names, line_of_names = candidate, above[0]
    if not rows:
        raise UsageError(f"File {path} must hold rows of numbers, but holds none.")
    return Table(
        path=path,
        names=tuple(name.strip() for name in names),
        header=line_of_names,
        rows=rows,
        lines=np.array(numbers),
        decimal=decimal,
    )


def _is_header(row: Sequence[str], decimal: str, missing: Collection[str]) -> bool:
    cells = [cell.strip() for cell in row]
    words = [c for c in cells if c not in missing and not _is_number(c.replace(decimal, "."))]
    # One odd cell among numbers is a mistake in the data, which reading it will name.
    return len(words) > len(cells) / 2
