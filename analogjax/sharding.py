"""Several accelerators: a mesh of them, and what lies where on it.

A mesh has two axes. Along `data` lies what is independent: the inputs of a training's batch, the
chips of an evaluation. Along `tiles` lie the arrays of each layer, whose outputs are added up over
devices. Parameters and everything else are on every device. Functions that can use several devices
take `mesh=`; without it they use the one that surrounds them (`over`, which the command sets from
its key `accelerators`), and one device if there is none. Random numbers belong to inputs, chips and
arrays, so that neither the number of devices nor that of processes changes a draw.

A job of several processes (`jax.distributed`) runs the same program in each, on one mesh of all
their devices. What functions return is whole in every process.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA, TILES = "data", "tiles"
"""Axes of a mesh."""

Tree = TypeVar("Tree")

_SURROUNDING: contextvars.ContextVar[Mesh | None] = contextvars.ContextVar("mesh", default=None)


def make_mesh(devices: int | None = None, *, tiles: int = 1) -> Mesh:
    """Return a mesh of accelerators, of axes `data` and `tiles`.

    Args:
        devices: How many; None for all that JAX has, those of the other processes of a distributed
            job among them.
        tiles: How many of them share the arrays of a layer; the others share data and chips.

    Raises:
        ValueError: More devices than there are, part of them in a distributed job, or a number that
            `tiles` does not divide.
    """
    found = jax.devices()
    count = len(found) if devices is None else devices
    if not 1 <= count <= len(found):
        raise ValueError(
            f"Argument `devices` must be at least 1 and at most the number that JAX has here, "
            f"{len(found)}, but is {count}."
        )
    if count < len(found) and jax.process_count() > 1:
        raise ValueError(
            f"Argument `devices` must be None in a distributed job, which takes all {len(found)}, "
            f"but is {count}."
        )
    if tiles < 1 or count % tiles:
        raise ValueError(
            f"Argument `tiles` must divide the number of devices, {count}, but is {tiles}."
        )
    return Mesh(np.asarray(found[:count]).reshape(-1, tiles), (DATA, TILES))


@contextlib.contextmanager
def over(mesh: Mesh | None) -> Iterator[None]:
    """Let functions that are given no mesh use this one, until the context ends."""
    token = _SURROUNDING.set(mesh)
    try:
        yield
    finally:
        _SURROUNDING.reset(token)


def chosen(mesh: Mesh | None) -> Mesh | None:
    """Return the mesh of an argument, or the surrounding one where it is None.

    Raises:
        ValueError: A mesh without an axis `data`.
    """
    mesh = _SURROUNDING.get() if mesh is None else mesh
    if mesh is None:
        return None
    if DATA not in mesh.axis_names:
        raise ValueError(
            f"Argument `mesh` must have an axis {DATA!r} (see `make_mesh`), "
            f"but has {mesh.axis_names}."
        )
    # Whatever kind of axes it was made with: here the compiler finds where what is computed.
    return Mesh(mesh.devices, mesh.axis_names)


def shares(mesh: Mesh | None, axis: str = DATA) -> int:
    """Return how many parts an axis of a mesh splits things into; 1 without a mesh."""
    return 1 if mesh is None else mesh.shape.get(axis, 1)


def check_shared(batch: int, mesh: Mesh | None) -> None:
    """Raise unless the devices of a mesh get equal shares of a batch.

    Raises:
        ValueError: As said.
    """
    if batch % shares(mesh):
        raise ValueError(
            f"Argument `batch` must be a multiple of {shares(mesh)}, the number of devices that "
            f"share it, but is {batch}."
        )


def split(tree: Tree, mesh: Mesh | None, axis: int = 0, *, along: str = DATA) -> Tree:
    """Return a tree whose arrays are split over devices; inside compiled code.

    Args:
        tree: Arrays.
        mesh: The devices; None for one.
        axis: Which axis of the arrays is split; it need not divide evenly.
        along: The axis of the mesh.
    """
    return _constrained(tree, mesh, PartitionSpec(*[None] * axis, along))


def whole(tree: Tree, mesh: Mesh | None) -> Tree:
    """Return a tree that is whole on every device; inside compiled code."""
    return _constrained(tree, mesh, PartitionSpec())


def _constrained(tree: Any, mesh: Mesh | None, spec: PartitionSpec) -> Any:
    if mesh is None:
        return tree
    # Below `jax.shard_map` some axes are no longer the compiler's: its own mesh knows which.
    context = jax.sharding.get_abstract_mesh()
    here = context if context.axis_names == mesh.axis_names else mesh
    arrays, others = eqx.partition(tree, eqx.is_array)
    sharding = NamedSharding(here, spec)
    constrain = lambda x: jax.lax.with_sharding_constraint(x, sharding)  # noqa: E731
    return eqx.combine(jax.tree.map(constrain, arrays), others)


def by_device(
    function: Callable[[Any, Any], Any], mesh: Mesh | None, *, out_axis: int = 0
) -> Callable[[Any, Any], Any]:
    """Return a function of which each device computes its share by itself; inside compiled code.

    Args:
        function: Of a tree of arrays with one first axis, of which every device gets its part, and
            of a tree that is whole on every device. It must not use other traced values. Returns
            arrays of which `out_axis` is that axis again.
        mesh: The devices, along `data`; None for one, which computes all.
        out_axis: The axis of the results along which the devices' parts are put together.
    """
    if mesh is None:
        return function

    def together(own: Any, given: Any) -> Any:
        arrays, others = eqx.partition(given, eqx.is_array)
        mapped = jax.shard_map(
            lambda own, arrays: function(own, eqx.combine(arrays, others)),
            mesh=mesh,
            in_specs=(PartitionSpec(DATA), PartitionSpec()),
            out_specs=PartitionSpec(*[None] * out_axis, DATA),
            # Where arrays are split, too, the compiler still has their axis to itself.
            axis_names={DATA} if shares(mesh, TILES) > 1 else set(mesh.axis_names),
            check_vma=False,
        )
        return mapped(own, arrays)

    return together


def filled(keys: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Return as many keys for each device: the last one again, for results that nobody needs."""
    count = -(-len(keys) // shares(mesh)) * shares(mesh)
    return keys if count == len(keys) else keys[np.minimum(np.arange(count), len(keys) - 1)]


def place(tree: Tree, mesh: Mesh | None, *, along: str | None = None) -> Tree:
    """Return a tree whose arrays lie on the devices of a mesh: whole, or split by their first axis.

    What lies there already is not moved.

    Args:
        tree: Arrays, random keys and anything else, the same in every process.
        mesh: The devices; None leaves everything where it is.
        along: The axis of the mesh along which first axes are split; None for whole.
    """
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec() if along is None else PartitionSpec(along))

    def put(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array | np.ndarray):
            return leaf
        if getattr(leaf, "sharding", None) == sharding:
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            words = put(np.asarray(jax.random.key_data(leaf)))
            return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
        if sharding.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put, tree)


def local(tree: Tree, mesh: Mesh | None) -> Tree:
    """Return a tree whose arrays lie on this process's own device, as without a mesh.

    Args:
        tree: Arrays that are whole on every device, random keys and anything else.
        mesh: Where they lie; None leaves them.
    """
    if mesh is None:
        return tree

    def take(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            words = take(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
        # By way of the host, so that it is bound to no device.
        return jnp.asarray(np.asarray(leaf))

    return jax.tree.map(take, tree)
