"""A small convolutional network, all but a few of its weights in convolutions and one head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flax import nnx

from .._checks import check_choice, check_whole
from .._types import Images, Logits
from ._layers import as_input, check_input_shape, linear, max_pool, small_conv

_REDUCE = ("stride", "pool")


class ConvNet(nnx.Module):
    """Convolutions of 3 x 3 with ReLU, each halving the image, and one linear layer.

    With the default channels (8, 16) and images of 28 x 28 either way of halving leaves
    16 x 6 x 6 = 576 inputs to the head:

    | `reduce` | convolutions | images |
    | --- | --- | --- |
    | `stride` | without padding, two pixels a step | 28 - 13 - 6 |
    | `pool` | first padded to the same size, the others not; 2 x 2 maximum pooling | 28 - 14 - 6 |
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int] = (28, 28, 1),
        classes: int = 10,
        channels: Sequence[int] = (8, 16),
        reduce: str = "stride",
        rngs: nnx.Rngs,
    ):
        """Draw the weights (He normal, last layer LeCun normal; biases zero).

        Args:
            input_shape: (height, width, channels) of one image.
            classes: Number of logits.
            channels: Of each convolution.
            reduce: How images are halved, ``"stride"`` or ``"pool"``.
            rngs: Source of the initial weights.

        Raises:
            ValueError: An unknown choice, or images that are too small.
        """
        check_choice("reduce", reduce, _REDUCE)
        check_whole("classes", classes)
        for count in channels:
            check_whole("channels", count)
        self.input_shape = check_input_shape(input_shape, images=True)
        self.reduce = reduce
        height, width, seen = self.input_shape
        layers: list[Any] = []
        for number, count in enumerate(channels):
            same = reduce == "pool" and number == 0
            layers.append(
                small_conv(
                    seen,
                    count,
                    (3, 3),
                    strides=2 if reduce == "stride" else 1,
                    padding="SAME" if same else "VALID",
                    rngs=rngs,
                )
            )
            height, width = (_half(n, reduce, same) for n in (height, width))
            seen = count
        if height < 1 or width < 1:
            raise ValueError(
                f"Argument `input_shape` must be large enough for {len(layers)} convolutions, "
                f"but is {self.input_shape}."
            )
        self.convolutions = nnx.List(layers)
        self.head = linear(height * width * seen, classes, rngs=rngs)

    def __call__(self, x: Images) -> Logits:
        """Return the logits (batch, classes), float32.

        Args:
            x: Images (batch, height, width, channels).

        Raises:
            ValueError: If the images have another size or are integers.
        """
        x = as_input(x, self.input_shape)
        for layer in self.convolutions:
            x = layer(x)
            x = nnx.relu(max_pool(x) if self.reduce == "pool" else x)
        return self.head(x.reshape(x.shape[0], -1))


def _half(size: int, reduce: str, same: bool) -> int:
    if reduce == "stride":
        return (size - 1) // 2
    return (size if same else size - 2) // 2
