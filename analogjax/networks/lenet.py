"""LeNet-5 and its smaller-headed variants."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from flax import nnx

from .._checks import check_choice, check_whole
from .._types import Images, Logits
from ._layers import (
    as_input,
    check_input_shape,
    linear,
    max_pool,
    relu_conv,
    relu_linear,
    small_conv,
)


class _Variant(NamedTuple):
    kernel: int
    padding: tuple[str, str]
    hidden: tuple[int, ...]


_VARIANTS = {
    "80k": _Variant(3, ("SAME", "SAME"), (100,)),
    "80k_5x5": _Variant(5, ("SAME", "SAME"), (100,)),
    "classic": _Variant(5, ("SAME", "VALID"), (120, 84)),
}


class LeNet5(nnx.Module):
    """Two convolutions (6 and 16 channels), each with ReLU and 2x2 maximum pooling, then linear.

    | variant | convolutions | linear layers at 28 x 28 | parameters |
    | --- | --- | --- | --- |
    | `80k` (default) | 3x3, same size | 784-100-10 | 80,450 |
    | `80k_5x5` | 5x5, same size | 784-100-10 | 82,082 |
    | `classic` | 5x5, same size then valid | 400-120-84-10 | 61,706 |

    Published of the Fashion-MNIST network of Diao et al., Nanoscale Horiz. 10, 780 (2025) are two
    convolutions, two linear layers and about 80,000 parameters; the first two variants are assumed
    from that. The third has the sizes of LeCun et al., Proc. IEEE 86, 2278 (1998), every map
    connected to every one before it; ReLU and maximum pooling replace the original's sigmoids and
    trainable averages.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int] = (28, 28, 1),
        classes: int = 10,
        variant: str = "80k",
        rngs: nnx.Rngs,
    ):
        """Draw the weights (He normal, last layer LeCun normal; biases zero).

        Args:
            input_shape: (height, width, channels) of one image.
            classes: Number of logits.
            variant: `80k`, `80k_5x5` or `classic`.
            rngs: Source of the initial weights.

        Raises:
            ValueError: If the variant is unknown or the images are too small for it.
        """
        check_choice("variant", variant, _VARIANTS)
        check_whole("classes", classes)
        self.input_shape = check_input_shape(input_shape, images=True)
        kernel, padding, widths = _VARIANTS[variant]
        height, width, channels = self.input_shape
        maps = (6, 16)
        height, width = (_after(n, kernel, padding) for n in (height, width))
        if height < 1 or width < 1:
            raise ValueError(
                f"Argument `input_shape` must be large enough for two poolings of LeNet5 variant "
                f"{variant!r}, but is {self.input_shape}."
            )
        self.convolutions = nnx.List(
            [
                (small_conv if kernel == 3 else relu_conv)(
                    a, b, (kernel, kernel), padding=p, rngs=rngs
                )
                for a, b, p in zip((channels, *maps), maps, padding, strict=False)
            ]
        )
        sizes = (height * width * maps[-1], *widths)
        self.hidden = nnx.List([relu_linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)])
        self.head = linear(sizes[-1], classes, rngs=rngs)

    def __call__(self, x: Images) -> Logits:
        """Return the logits (batch, classes), float32.

        Args:
            x: Images (batch, height, width, channels).

        Raises:
            ValueError: If the images have another size or are integers.
        """
        x = as_input(x, self.input_shape)
        for layer in self.convolutions:
            x = nnx.relu(max_pool(layer(x)))
        x = x.reshape(x.shape[0], -1)
        for layer in self.hidden:
            x = nnx.relu(layer(x))
        return self.head(x)


def _after(size: int, kernel: int, padding: tuple[str, ...]) -> int:
    """Return the image's size after each convolution and its pooling."""
    for kind in padding:
        size = (size if kind == "SAME" else size - kernel + 1) // 2
    return size
