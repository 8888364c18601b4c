"""The recipe of a digital training: every choice that its result depends on."""

from __future__ import annotations

from dataclasses import dataclass

from .._checks import check_between, check_choice, check_not_negative, check_positive, check_whole


@dataclass
class TrainingConfig:
    """Optimiser, schedule and regularisation.

    The learning rate rises linearly over the warm-up, then falls to zero as half a cosine over the
    rest of all epochs (early stopping does not shorten it).
    """

    epochs: int = 15
    """Largest number of passes over the training set."""
    batch: int = 128
    """Inputs per step; what is left over at the end of an epoch waits for the next shuffle."""
    optimiser: str = "adamw"
    """`adamw` (Loshchilov and Hutter, arXiv:1711.05101) or `sgd` with Nesterov momentum."""
    learning_rate: float = 1e-3
    """Largest learning rate."""
    momentum: float = 0.9
    """Of `sgd`."""
    warmup: float = 1.0
    """Length of the warm-up [epochs]."""
    weight_decay: float = 1e-4
    """Decoupled decay of kernels (never of biases or normalisations), times the learning rate."""
    label_smoothing: float = 0.0
    """Share of the label that is spread over all classes."""
    clip_sigma: float | None = None
    """After each step every kernel is clipped to this many of its own standard deviations, which
    keeps its distribution compact for writing with few levels; null does not clip."""
    flip: bool = False
    """Mirror images at random (wrong for digits)."""
    shift: int = 0
    """Shift images at random by up to this many pixels."""
    patience: int | None = None
    """Stop when the validation loss has not fallen for this many epochs; null never stops."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is out of range.
        """
        for name in ("epochs", "batch"):
            check_whole(name, getattr(self, name))
        check_choice("optimiser", self.optimiser, ("adamw", "sgd"))
        check_positive("learning_rate", self.learning_rate)
        check_between("momentum", self.momentum, 0.0, 1.0)
        check_between("warmup", self.warmup, 0.0, float(self.epochs), "epochs")
        check_not_negative("weight_decay", self.weight_decay)
        check_between("label_smoothing", self.label_smoothing, 0.0, 1.0)
        check_whole("shift", self.shift, 0)
        if self.clip_sigma is not None:
            check_positive("clip_sigma", self.clip_sigma)
        if self.patience is not None:
            check_whole("patience", self.patience)
