"""Residual networks of basic blocks (He et al. 2016, arXiv:1512.03385, table 1)."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx

from .._checks import check_choice, check_finite, check_positive, check_whole
from .._types import Array, Images, Logits
from ._layers import as_input, batch_norm, check_input_shape, linear, wide_conv

_WIDTHS = (64, 128, 256, 512)
# Padded by numbers, as PyTorch does, not "SAME", which at stride 2 pads one side only: weights
# trained there then mean the same here.
_ONE = ((1, 1), (1, 1))
_THREE = ((3, 3), (3, 3))


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions with batch normalisation, and a shortcut past both."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, rngs: nnx.Rngs):
        """Draw the weights.

        Args:
            inputs: Channels before the block.
            outputs: Channels after it.
            stride: Stride of the first convolution and of the shortcut.
            rngs: Source of the initial weights.
        """
        strides = (stride, stride)
        self.conv1 = wide_conv(
            inputs, outputs, (3, 3), strides, padding=_ONE, use_bias=False, rngs=rngs
        )
        self.norm1 = batch_norm(outputs, rngs=rngs)
        self.conv2 = wide_conv(outputs, outputs, (3, 3), padding=_ONE, use_bias=False, rngs=rngs)
        self.norm2 = batch_norm(outputs, rngs=rngs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut = wide_conv(
                inputs, outputs, (1, 1), strides, padding="VALID", use_bias=False, rngs=rngs
            )
            self.shortcut_norm = batch_norm(outputs, rngs=rngs)

    def __call__(self, x: Images) -> Array:
        """Return the block's output (batch, height / stride, width / stride, outputs), float32."""
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        past = self.shortcut_norm(self.shortcut(x)) if self.projects else x
        return nnx.relu(y + past)


class ResNet(nnx.Module):
    """Residual network: a stem, groups of basic blocks, the mean over the image, one layer.

    Batch normalisation uses the batch's statistics after `model.train()` (as built), the running
    ones after `model.eval()`.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        widths: Sequence[int] = _WIDTHS,
        input_shape: Sequence[int] = (64, 64, 3),
        classes: int = 101,
        stem: str = "standard",
        rngs: nnx.Rngs,
    ):
        """Draw the weights (He normal, last layer LeCun normal; biases zero).

        Args:
            blocks: Blocks in each group.
            widths: Channels of each group; every group but the first halves the image.
            input_shape: (height, width, channels) of one image.
            classes: Number of logits.
            stem: `standard` is a 7x7 convolution and a pooling, each of stride 2; `small`, for
                images of about 32 pixels, is one 3x3 convolution of stride 1.
            rngs: Source of the initial weights.

        Raises:
            ValueError: If the stem is unknown, a size is below 1, or there is not one width for
                each group.
        """
        check_choice("stem", stem, ("standard", "small"))
        check_whole("classes", classes)
        for count in (*blocks, *widths):
            check_whole("blocks and widths", count)
        if len(blocks) != len(widths) or not blocks:
            raise ValueError(
                f"Argument `widths` must be one for each of the {len(blocks)} groups of blocks, "
                f"but is {tuple(widths)}."
            )
        self.input_shape = check_input_shape(input_shape, images=True)
        self.small = stem == "small"
        kernel, stride, padding = (3, 1, _ONE) if self.small else (7, 2, _THREE)
        self.conv = wide_conv(
            self.input_shape[-1],
            widths[0],
            (kernel, kernel),
            (stride, stride),
            padding=padding,
            use_bias=False,
            rngs=rngs,
        )
        self.norm = batch_norm(widths[0], rngs=rngs)
        groups = []
        before = widths[0]
        for group, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stride = 2 if group > 0 and block == 0 else 1
                groups.append(BasicBlock(before, width, stride, rngs=rngs))
                before = width
        self.blocks = nnx.List(groups)
        self.head = linear(before, classes, rngs=rngs)
        self.normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def normalise_inputs(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Have the network compute with (x - mean) / std, as in the training of its weights.

        A digital operation before the first converter. It is not folded into the first
        convolution, which pads the *normalised* image with zeros: with padding of grey values that
        would be exact inside the image, but not along its border.

        Args:
            mean: Mean of each channel.
            std: Standard deviation of each channel.

        Raises:
            ValueError: If there are not as many as channels, or a deviation is not above 0.
        """
        channels = self.input_shape[-1]
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != channels:
                raise ValueError(
                    f"Argument `{name}` must have {channels} values, one a channel, "
                    f"but has {len(values)}."
                )
        check_finite("mean", mean)
        check_positive("std", std)
        self.normalisation = tuple(map(float, mean)), tuple(map(float, std))

    def __call__(self, x: Images) -> Logits:
        """Return the logits (batch, classes), float32.

        Args:
            x: Images (batch, height, width, channels).

        Raises:
            ValueError: If the images have another size or are integers.
        """
        return self.activations(x)[-1]

    def activations(self, x: Images) -> list[Array]:
        """Return what leaves the stem, every block and the head (the logits), float32.

        Arguments and errors as of a call.
        """
        x = as_input(x, self.input_shape)
        if self.normalisation is not None:
            mean, std = jnp.asarray(self.normalisation, jnp.float32).reshape(2, 1, 1, 1, -1)
            x = (x - mean) / std
        x = nnx.relu(self.norm(self.conv(x)))
        if not self.small:
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=_ONE)  # pyright: ignore[reportArgumentType]
        found = [x]
        for block in self.blocks:
            found.append(block(found[-1]))
        return [*found, self.head(jnp.mean(found[-1], axis=(1, 2)))]


class ResNet18(ResNet):
    """ResNet with 2, 2, 2 and 2 blocks (11,228,325 parameters at 101 classes)."""

    def __init__(
        self,
        *,
        input_shape: Sequence[int] = (64, 64, 3),
        classes: int = 101,
        stem: str = "standard",
        rngs: nnx.Rngs,
    ):
        """Draw the weights; the arguments are those of `ResNet`."""
        super().__init__(
            (2, 2, 2, 2), input_shape=input_shape, classes=classes, stem=stem, rngs=rngs
        )


class ResNet34(ResNet):
    """ResNet with 3, 4, 6 and 3 blocks (21,336,485 parameters at 101 classes)."""

    def __init__(
        self,
        *,
        input_shape: Sequence[int] = (64, 64, 3),
        classes: int = 101,
        stem: str = "standard",
        rngs: nnx.Rngs,
    ):
        """Draw the weights; the arguments are those of `ResNet`."""
        super().__init__(
            (3, 4, 6, 3), input_shape=input_shape, classes=classes, stem=stem, rngs=rngs
        )
