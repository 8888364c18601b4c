"""Multilayer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from flax import nnx

from .._checks import check_whole
from .._types import Inputs, Logits
from ._layers import as_input, check_input_shape, flat_size, linear, relu_linear


class MLP(nnx.Module):
    """Linear layers with ReLU between them.

    The default, 784-256-10, has 203,530 parameters: two layers and about 200,000 parameters are
    what is published of the MNIST network of Diao et al., Nanoscale Horiz. 10, 780 (2025); the
    width of 256 is assumed from that.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int] = (28, 28, 1),
        classes: int = 10,
        hidden: int | Sequence[int] = 256,
        rngs: nnx.Rngs,
    ):
        """Draw the weights (He normal, last layer LeCun normal; biases zero).

        Args:
            input_shape: Shape of one input, without the batch; it is flattened.
            classes: Number of logits.
            hidden: Width of each hidden layer; an empty sequence gives one linear layer.
            rngs: Source of the initial weights.

        Raises:
            ValueError: If a size is below 1.
        """
        self.input_shape = check_input_shape(input_shape, images=False)
        widths = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        for width in widths:
            check_whole("hidden", width)
        check_whole("classes", classes)
        sizes = (flat_size(self.input_shape), *widths)
        self.hidden = nnx.List([relu_linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)])
        self.head = linear(sizes[-1], classes, rngs=rngs)

    def __call__(self, x: Inputs) -> Logits:
        """Return the logits (batch, classes), float32.

        Args:
            x: Inputs (batch, *input_shape).

        Raises:
            ValueError: If the inputs have another shape or are integers.
        """
        x = as_input(x, self.input_shape)
        x = x.reshape(x.shape[0], -1)
        for layer in self.hidden:
            x = nnx.relu(layer(x))
        return self.head(x)
