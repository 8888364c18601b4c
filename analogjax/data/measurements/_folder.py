"""`read_folder`: every table of a folder, each with the mapping beside it."""

from __future__ import annotations

import os
from pathlib import Path

from ...runs import UsageError
from ._measurements import Measurements
from ._read import read_table

TABLES = (".csv", ".tsv", ".txt", ".dat", ".csv.gz", ".tsv.gz", ".txt.gz", ".dat.gz")
"""How the name of a table may end."""


def read_folder(folder: str | os.PathLike[str]) -> Measurements:
    """Read every table of a folder by the mapping of the same name: ``ramps.csv``, ``ramps.yaml``.

    Args:
        folder: The folder.

    Returns:
        The measurements, named as their mappings say, else by their files, in alphabetical order.

    Raises:
        UsageError: There is no such folder or no table in it, a table has no mapping, a mapping no
            table; as `read_table`.
    """
    home = Path(folder).expanduser()
    if not home.is_dir():
        raise UsageError(f"Argument `folder` must be a folder, but {home} is none.")
    files = {p.name: p for p in sorted(home.iterdir()) if p.is_file()}
    tables = {
        name.removesuffix(end): path
        for name, path in files.items()
        for end in sorted(TABLES, key=len)
        if name.endswith(end)
    }
    mappings = {p.stem: p for p in files.values() if p.suffix in (".yaml", ".yml")}
    if not tables:
        raise UsageError(
            f"Folder {home} must hold tables ({', '.join(TABLES[:4])}), each with a mapping of the "
            "same name (.yaml), but holds none."
        )
    for stem, path in (tables | mappings).items():
        if stem not in mappings:
            raise UsageError(
                f"Table {path} must have a mapping {stem}.yaml beside it that says what its "
                "columns are, but has none."
            )
        if stem not in tables:
            raise UsageError(
                f"Mapping {path} must have a table {stem}.csv (or {', '.join(TABLES[1:4])}) beside "
                "it, but has none."
            )
    parts = []
    for stem, path in tables.items():
        part = read_table(path, mappings[stem])
        part.attrs.setdefault("name", stem)
        parts.append(part)
    return Measurements(parts)
