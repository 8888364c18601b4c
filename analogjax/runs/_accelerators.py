"""The key `accelerators`: over how many of them a run goes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ._errors import UsageError

_COUNT = re.compile(r"([1-9]\d*)(?:x([1-9]\d*))?")


def check_accelerators(value: str) -> None:
    """Raise unless a value of the key `accelerators` is one.

    Raises:
        UsageError: As said.
    """
    if value not in ("all", "cluster") and not _COUNT.fullmatch(value):
        raise UsageError(
            "Key `accelerators` must be a number, `all`, `cluster`, or two numbers as in `4x2` "
            f"(4 shares of the data, each with its arrays on 2), but is {value!r}."
        )


@contextlib.contextmanager
def on_accelerators(value: str) -> Iterator[None]:
    """Let what can use several accelerators use these, until the context ends.

    Args:
        value: Of the key `accelerators`.

    Raises:
        UsageError: If there are not so many.
    """
    if value == "1":
        yield
        return
    from .. import sharding

    found = _COUNT.fullmatch(value)
    data, tiles = (int(found[1]), int(found[2] or 1)) if found else (None, 1)
    try:
        mesh = sharding.make_mesh(None if data is None else data * tiles, tiles=tiles)
    except ValueError as error:
        import jax

        raise UsageError(
            f"Key `accelerators` must be at most what JAX finds here, {jax.device_count()} "
            f"(and all of them in a job of several processes), but is {value}."
        ) from error
    with sharding.over(mesh if mesh.size > 1 else None):
        yield
