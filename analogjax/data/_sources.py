"""Where files are looked for: `$ANALOGJAX_DATA`, the user's cache, then the official source."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import textwrap
from pathlib import Path
from typing import Any, cast

from ..runs import UsageError, cache_folder
from ..runs._progress import ProgressDisplay

VARIABLE = "ANALOGJAX_DATA"
"""Environment variable that names the folder of data sets (or its path from where one stands)."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file and its official addresses, tried in order.

    Attributes:
        name: Name of the file within the folder of its data set.
        md5: Official checksum of a download. A file that is already there is not held against it,
            because archives get packed anew; it must be readable to its end instead.
        urls: Addresses of the same bytes.
        instead: Names of files or folders that serve as well, preferred where they exist.
    """

    name: str
    md5: str
    urls: tuple[str, ...]
    instead: tuple[str, ...] = ()


def damaged(path: Path, why: str) -> UsageError:
    """Return the error that names a damaged file."""
    return UsageError(
        f"File {path} must be whole, but is damaged ({why.rstrip('.')}): remove it and get it anew."
    )


def fetch(
    dataset: str, remotes: tuple[Remote, ...], folder: str | os.PathLike[str] | None
) -> dict[str, Path]:
    """Find the files of a data set, or download those that are nowhere.

    Args:
        dataset: Name of the data set and of its folder.
        remotes: Its files.
        folder: Folder of data sets to look and download into; by default `$ANALOGJAX_DATA` and the
            user's cache are looked into, and the cache is downloaded into.

    Returns:
        Path by name of each remote.

    Raises:
        UsageError: If a file is missing and cannot be downloaded.
    """
    roots = _roots(folder)
    found = {remote.name: _find(dataset, remote, roots) for remote in remotes}
    missing = [remote for remote in remotes if found[remote.name] is None]
    for remote in missing:
        try:
            found[remote.name] = _download(remote, roots[-1] / dataset)
        except (OSError, ValueError) as error:
            absent = [remote for remote in missing if found[remote.name] is None]
            raise UsageError(_how_to_help(dataset, absent, roots, error)) from error
    return {name: path for name, path in found.items() if path is not None}


def _roots(folder: str | os.PathLike[str] | None) -> list[Path]:
    """Return the folders to look into, the one to download into last."""
    if folder is not None:
        return [Path(folder).expanduser().resolve()]
    roots = [cache_folder() / "data"]
    if os.environ.get(VARIABLE):
        roots.insert(0, Path(os.environ[VARIABLE]).expanduser().resolve())
    return roots


def _find(dataset: str, remote: Remote, roots: list[Path]) -> Path | None:
    for root in roots:
        for name in (*remote.instead, remote.name):
            if (root / dataset / name).exists():
                return root / dataset / name
    return None


def _download(remote: Remote, folder: Path) -> Path:
    """Download one file, checked, from the first address that delivers it."""
    import pooch

    errors: list[OSError | ValueError] = []
    for url in remote.urls:
        with _Meter(f"download {remote.name} [KiB]") as meter:
            # pooch takes any object that counts, but its annotation says bool.
            downloader: Any = pooch.HTTPDownloader(progressbar=cast(Any, meter), chunk_size=2**16)
            try:
                # Written beside its place and moved there once the checksum holds.
                path = pooch.retrieve(
                    url,
                    known_hash=f"md5:{remote.md5}",
                    fname=remote.name,
                    path=folder,
                    downloader=downloader,
                )
                return Path(path)
            except (OSError, ValueError) as error:
                errors.append(error)
    raise errors[0]


class _Meter(contextlib.ExitStack):
    """What pooch asks of a progress bar, shown by our own display."""

    def __init__(self, description: str):
        super().__init__()
        self.description = description
        self.total = 0  # bytes; pooch sets it where the server tells
        self._bytes = self._shown = 0
        self._progress = None

    def update(self, n: int) -> None:
        """Count `n` more bytes; the last chunk may count for more than it holds."""
        self._bytes = min(self._bytes + n, self.total)
        new = self._bytes // 1024 - self._shown
        if new > 0:
            if self._progress is None:
                display = ProgressDisplay().show(self.description, self.total // 1024)
                self._progress = self.enter_context(display)
            self._progress.advance(new)
            self._shown += new

    def reset(self) -> None:
        """Forget the count: pooch counts the whole once more at the end."""
        self._bytes = 0


def _how_to_help(
    dataset: str, missing: list[Remote], roots: list[Path], error: OSError | ValueError
) -> str:
    files = ", ".join(remote.name for remote in missing)
    looked = " or ".join(str(root / dataset) for root in roots)
    urls = [remote.urls[0] for remote in missing]
    source = urls[0] if len(urls) == 1 else urls[0].rpartition("/")[0] + "/"
    reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120, placeholder=" ...")
    return (
        f"Data set {dataset!r} must have {files} in {looked}, but has not, and downloading failed "
        f"({reason}): get what is missing from {source} and put it into {roots[0] / dataset}, or "
        f"set {VARIABLE} to a folder that has it in {dataset}/."
    )
