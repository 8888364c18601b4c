"""Figures hold what they were given; they are looked at by eye in the experiments' reports."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from analogjax import plotting


def test_map_is_transposed_so_that_x_runs_right():
    fig, axis = plotting.figure()
    values = np.zeros((6, 6))
    values[5, 0] = 1.0  # the corner of T2: x = L, y = 0
    image = plotting.film_map(axis, values, 10.0, 0.25)
    shown = image.get_array()
    assert shown[0, 5] == 1.0
    assert image.origin == "lower"
    texts = {t.get_text(): t.xy for t in axis.texts}
    assert texts["T2"] == (10.0, 0)
    fig.canvas.draw()


def test_animation_has_every_frame_and_reports_progress():
    done = []
    frames = np.random.default_rng(0).random((3, 6, 6))
    data = plotting.map_animation(
        frames, np.arange(7.0), np.array([0, 3, 6]), side=10.0, arm=0.25, map_label="c",
        trace_label="R", title=str, advance=lambda: done.append(1),
    )  # fmt: skip
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert len(done) == 3


def test_style_is_put_back():
    import matplotlib as mpl

    before = mpl.rcParams["font.size"], mpl.rcParams["axes.spines.top"]
    with plotting.style():
        assert mpl.rcParams["axes.spines.top"] is False
        plotting.figure()
    assert (mpl.rcParams["font.size"], mpl.rcParams["axes.spines.top"]) == before


def test_bars_are_sorted_by_magnitude():
    fig = plotting.elasticity_bars({"a": 0.1, "b": -2.0, "c": 0.01}, "e")
    names = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert names == ["c", "a", "b"]


def test_learning_curves_leave_out_what_a_logarithm_cannot_show():
    history = {
        "train_loss": np.array([1.0, 0.5]),
        "train_accuracy": np.array([0.5, 1.0]),
        "validation_loss": np.array([np.nan, np.nan]),
        "validation_accuracy": np.array([np.nan, np.nan]),
    }
    fig = plotting.learning_curves(history, 2)
    train, _, kept = fig.axes[1].lines
    np.testing.assert_array_equal(train.get_ydata(), [50.0, np.nan])
    assert kept.get_xdata()[0] == 2
    fig.canvas.draw()


def test_confusion_is_in_percent_of_the_truth():
    fig = plotting.confusion(np.array([[3, 1], [0, 0]]), ("cat", "dog"))
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), [[75, 25], [0, 0]])
    assert {t.get_text() for t in fig.axes[0].texts} == {"75.0", "25.0"}
    fig.canvas.draw()


@plotting.style()
def test_devices_side_by_side():
    v = np.array([0.0, 1.0, 0.0, -1.0])
    loops = {name: {"1 V/s": (v, 1e-3 * v), "9 V/s": (v, 9e-3 * v)} for name in ("A", "B")}
    # Hardly a loop: shown as it is.
    loops["C"] = {"1 V/s": (v, 1e-3 * v), "9 V/s": (v, 2e-3 * v)}
    fig = plotting.hysteresis_loops(loops, columns=2)
    # Three panels in two rows; where there is no current, a logarithm shows nothing.
    assert [a.get_title(loc="left") for a in fig.axes] == ["(a) A", "(b) B", "(c) C"]
    line = fig.axes[0].lines[1]
    np.testing.assert_allclose(np.asarray(line.get_ydata()), [np.nan, 9e-3, np.nan, 9e-3])
    line = fig.axes[2].lines[1]
    np.testing.assert_allclose(np.asarray(line.get_ydata()), 2e3 * v)
    times = {"A": {"SET": (np.array([-1.0, -0.5]), np.array([1e-6, np.inf]))}}
    (axis,) = plotting.switching_times(times).axes
    assert axis.get_yscale() == "log"
    np.testing.assert_allclose(np.asarray(axis.lines[0].get_xdata()), [1.0, 0.5])
    g = 1e-6 * np.array([1.0, 2.0, 4.0])
    (axis,) = plotting.pulse_responses({"A": {"without chance": g}}, log=("A",)).axes
    np.testing.assert_allclose(np.asarray(axis.lines[0].get_ydata()), [1.0, 2.0, 4.0])
    target = np.array([0.0, 0.5, 1.0])
    values = np.array([[0.0, 0.5, 1.0], [0.01, np.nan, 2.0]])
    (axis,) = plotting.level_histograms({"A": (target, values)}).axes
    assert axis.get_title(loc="left") == "(a) A (1 beyond)"
    assert sum(patch.get_height() for patch in axis.patches) == 4


def test_accuracy_panels_have_one_legend_if_they_hold_the_same_curves():
    chips, ideal = np.full((2, 3), 0.9), np.full(2, 0.9)
    same = [("R", {"a": (chips, ideal)}), ("G", {"a": (chips, ideal)})]
    other = [("R", {"a": (chips, ideal)}), ("G", {"b": (chips, ideal)})]
    for panels, legends in ((same, 1), (other, 2)):
        fig = plotting.accuracy_against_bits([1, 2], panels, digital=0.95, columns=1)
        assert sum(axis.get_legend() is not None for axis in fig.axes) == legends
