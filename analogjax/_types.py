"""Names of array axes used in every signature.

One vocabulary for the whole package: ``x y`` are cells of a film (T1 at the origin), ``terminals``
electrodes, ``edges faces`` boundary faces (four edges of ``faces`` faces each), ``pulses`` the
pulses of a drive and ``times`` its read-out instants (one more than pulses). In networks ``batch``
are the inputs treated together and ``classes`` the logits of each.
"""

from __future__ import annotations

from typing import TypeAlias

from jaxtyping import Array, Bool, Float, Int, UInt

Scalar: TypeAlias = Float[Array, ""]
"""A real number held as a zero-dimensional array (traced, differentiable)."""

ScalarLike: TypeAlias = Scalar | float | int
"""A real number as a user may give it."""

CellField: TypeAlias = Float[Array, "x y"]
"""One value per cell."""

FacesX: TypeAlias = Float[Array, "inner_x y"]
"""One value per interior face normal to x."""

FacesY: TypeAlias = Float[Array, "x inner_y"]
"""One value per interior face normal to y."""

Edges: TypeAlias = Float[Array, "4 faces"]
"""One value per boundary face, edge by edge: x = 0, x = L, y = 0, y = L."""

Coverage: TypeAlias = Float[Array, "terminals 4 faces"]
"""Share of every boundary face that each electrode covers (0..1)."""

Terminals: TypeAlias = Float[Array, " terminals"]
"""One value per electrode."""

Inputs: TypeAlias = Float[Array, "batch ..."]
"""A batch of a network's inputs, of any shape."""

Images: TypeAlias = Float[Array, "batch height width channels"]
"""A batch of images."""

Logits: TypeAlias = Float[Array, "batch classes"]
"""A network's answers: the class of the largest is the one it names."""

__all__ = [
    "Array",
    "Bool",
    "CellField",
    "Coverage",
    "Edges",
    "FacesX",
    "FacesY",
    "Float",
    "Images",
    "Inputs",
    "Int",
    "Logits",
    "Scalar",
    "ScalarLike",
    "Terminals",
    "UInt",
]
