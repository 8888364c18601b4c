"""Animations of a film, as GIF bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from .maps import film_map
from .style import COLORS, figure


def map_animation(
    frames: np.ndarray,
    trace: np.ndarray,
    at: np.ndarray,
    *,
    side: float,
    arm: float,
    map_label: str,
    trace_label: str,
    title: Callable[[int], str],
    advance: Callable[[], Any] = lambda: None,
    per_second: int = 12,
) -> bytes:
    """Return a GIF: the map of a film on the left, a trace with a moving point on the right.

    Args:
        frames: Fields, shape (frames, x, y).
        trace: The whole trace, one value per pulse.
        at: Pulse number of each frame.
        side: Side of the film [um].
        arm: Electrode arm in units of the side.
        map_label: Label of the colour bar.
        trace_label: Label of the trace.
        title: Title of frame k.
        advance: Called after each frame (progress).
        per_second: Frames per second.
    """
    import matplotlib.pyplot as plt
    from PIL import Image

    fig, (left, right) = figure(1, 2, width=3.9, height=3.1, width_ratios=[1, 1.1])
    # The few cells at the electrode tips must not take the whole colour scale.
    top = float(np.percentile(frames, 99.5))
    image = film_map(left, frames[0], side, arm, vmin=0.0, vmax=top)
    fig.colorbar(image, ax=left, label=map_label, shrink=0.8, extend="max")
    right.plot(trace, color=COLORS[0], alpha=0.35)
    (past,) = right.plot([], [], color=COLORS[0])
    (point,) = right.plot([], [], "o", color=COLORS[1])
    right.set(xlabel="pulse", ylabel=trace_label)
    left.set(xlabel="x [um]", ylabel="y [um]")
    pictures = []
    for k, frame in enumerate(frames):
        image.set_data(frame.T)
        past.set_data(np.arange(at[k] + 1), trace[: at[k] + 1])
        point.set_data([at[k]], [trace[at[k]]])
        right.set_title(title(k), loc="left")
        fig.canvas.draw()
        pixels = np.asarray(fig.canvas.buffer_rgba())
        pictures.append(
            Image.fromarray(pixels).convert("RGB").quantize(255, dither=Image.Dither.NONE)
        )
        advance()
    plt.close(fig)
    stream = io.BytesIO()
    pictures[0].save(
        stream, "GIF", save_all=True, append_images=pictures[1:],
        duration=1000 // per_second, loop=0, optimize=False,
    )  # fmt: skip
    return stream.getvalue()
