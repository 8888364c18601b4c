"""Long work in portions: the state between two portions as arrays, so that it can be stored."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_arrays(tree: Any) -> dict[str, np.ndarray]:
    """Return the leaves of a tree (random keys included) as named arrays."""
    import jax

    arrays = {}
    for index, leaf in enumerate(jax.tree.leaves(tree)):
        if _is_key(leaf):
            leaf = jax.random.key_data(leaf)
        arrays[f"leaf{index:03d}"] = np.asarray(leaf)
    return arrays


def from_arrays(arrays: dict[str, np.ndarray], like: Any) -> Any:
    """Return a tree of the structure of `like` that holds these arrays.

    Raises:
        ValueError: The arrays are not those of such a tree.
    """
    import jax
    import jax.numpy as jnp

    wanted, structure = jax.tree.flatten(like)
    if len(arrays) != len(wanted):
        raise ValueError(
            f"Argument `arrays` must hold {len(wanted)} arrays, but holds {len(arrays)}."
        )
    leaves = []
    for index, leaf in enumerate(wanted):
        stored = jnp.asarray(arrays[f"leaf{index:03d}"])
        if _is_key(leaf):
            stored = jax.random.wrap_key_data(stored, impl=jax.random.key_impl(leaf))
        if stored.shape != leaf.shape or stored.dtype != leaf.dtype:
            raise ValueError(
                f"Argument `arrays` must hold {leaf.dtype}{list(leaf.shape)} at {index}, "
                f"but holds {stored.dtype}{list(stored.shape)}."
            )
        leaves.append(stored)
    return jax.tree.unflatten(structure, leaves)


def _is_key(leaf: Any) -> bool:
    import jax
    import jax.numpy as jnp

    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
