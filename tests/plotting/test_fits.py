"""Figures of fits show what they were given: panels, labels, bands, marks."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from analogjax import plotting
from analogjax.plotting.corner import with_power
from analogjax.plotting.fits import _runs


def panel(**options):
    x = np.array([0.0, 1.0, 2.0, 1.0, 0.0])
    y = np.array([1.0, 2.0, 5.0, 4.0, 1.0])
    band = (y - 0.1, y + 0.1)
    given = dict(
        title="a", x=x, observed=1.1 * y, predicted=y, x_label="voltage [V]",
        y_label="current [A]", band=band, measured=(y - 0.5, y + 0.5),
    )  # fmt: skip
    return plotting.FitPanel(**(given | options))


@plotting.style()
def test_data_and_model_of_a_loop():
    fig = plotting.data_and_model([panel(), panel(title="b", y_log=True, band=None)])
    first, second = fig.axes
    assert first.get_title(loc="left") == "(a) a"
    assert first.get_xlabel() == "voltage [V]"
    assert first.get_ylabel() == "current [A]"
    assert second.get_yscale() == "log"
    # There and back are bands of their own, of two kinds; the second panel has one kind.
    assert len(first.collections) == 4
    assert len(second.collections) == 2
    measured, model = first.lines
    np.testing.assert_array_equal(measured.get_ydata(), panel().observed)
    np.testing.assert_array_equal(model.get_ydata(), panel().predicted)
    (legend,) = fig.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "a new measured value, 90 %", "model, 90 %", "measured", "model",
    ]  # fmt: skip
    fig.canvas.draw()


def test_sweeps_are_cut_where_they_turn():
    x = np.array([0.0, 1.0, 2.0, 1.0, 0.0, -1.0, 0.0])
    assert [(r.start, r.stop) for r in _runs(x)] == [(0, 3), (2, 6), (5, 7)]
    assert [(r.start, r.stop) for r in _runs(np.arange(3.0))] == [(0, 3)]


@plotting.style()
def test_single_values_are_drawn_against_their_prediction():
    fig = plotting.data_and_model([panel(parity=True)])
    (axis,) = fig.axes
    assert axis.get_xlabel() == "predicted current [A]"
    assert axis.get_ylabel() == "measured current [A]"
    points = next(line for line in axis.lines if line.get_label() == "measured")
    np.testing.assert_array_equal(points.get_xdata(), panel().predicted)
    np.testing.assert_array_equal(points.get_ydata(), panel().observed)


@plotting.style()
def test_currents_of_either_sign_have_a_size_and_a_band_that_ends_at_zero():
    y = np.array([-1e-3, 1e-9, 1e-3, 1e-6, 1e-9])
    crossing = panel(observed=y, predicted=y, y_log=True, measured=None, band=(y - 1e-8, y + 1e-8))
    (axis,) = plotting.data_and_model([crossing]).axes
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), np.abs(y))
    low, high = axis.get_ylim()
    assert low < 1e-9 < 1e-3 < high
    # The band of -1e-3 +- 1e-8 begins at a size of 1e-3 - 1e-8; that of 1e-9 +- 1e-8 at zero.
    ends = axis.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(ends[ends[:, 0] == 0.0, 1].min(), 1e-3 - 1e-8)
    np.testing.assert_allclose(ends[ends[:, 0] == 1.0, 1].min(), 0.0)


@plotting.style()
def test_residuals_and_their_normal_quantiles():
    r = np.random.default_rng(0).standard_normal(300)
    x = np.geomspace(1, 100, 300)
    r[7] = np.nan
    fig = plotting.residual_panels({"a": (x, r, "time [s]"), "b": (x, r, "pulse")}, log=("a",))
    assert len(fig.axes) == 4
    left, right = fig.axes[:2]
    assert left.get_xscale() == "log"
    assert fig.axes[2].get_xscale() == "linear"
    assert left.get_ylabel() == "residual [standard deviations]"
    assert right.get_title(loc="left") == "(b) 299 values"
    diagonal, points = right.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    # Normal residuals lie on the diagonal: 300 of them within 0.3 where most of them are.
    off = np.asarray(points.get_xdata()) - np.asarray(points.get_ydata())
    assert np.max(np.abs(off[30:-30])) < 0.3
    np.testing.assert_array_equal(points.get_ydata(), np.sort(r[np.isfinite(r)]))


@plotting.style()
def test_corner_has_a_panel_a_pair_and_one_range_a_parameter():
    rng = np.random.default_rng(0)
    samples = rng.normal([1e-14, 0.1, 300.0], [1e-15, 0.01, 5.0], (500, 3))
    circle = np.stack([np.cos(np.linspace(0, 6.3, 50)), np.sin(np.linspace(0, 6.3, 50))])
    outlines = {(1, 0): [np.array([[1e-14], [0.1]]) + np.array([[1e-15], [0.01]]) * circle]}
    t = np.linspace(-3, 3, 21)
    fig = plotting.corner(
        {"mobility": "m^2/(V s)", "x_0": "-", "temperature": "K"}, [1e-14, 0.1, 300.0],
        densities=[(m + s * t, np.exp(-0.5 * t**2)) for m, s in ((1e-14, 1e-15), (0.1, 0.01),
                                                                 (300.0, 5.0))],
        outlines=outlines, samples=samples, truth={"x_0": 0.11},
    )  # fmt: skip
    # Three alone and three pairs, row by row.
    assert len(fig.axes) == 6
    labels = [axis.get_xlabel() for axis in fig.axes[-3:]]
    assert labels == ["mobility [1e-14 m^2/(V s)]", "x_0", "temperature [K]"]
    mobility, pair = fig.axes[0], fig.axes[1]
    assert mobility.get_xlim() == pair.get_xlim() == fig.axes[3].get_xlim()
    assert pair.get_ylim() == fig.axes[2].get_xlim()
    # A density that fits the histogram: area 1 in the units of the axis.
    (density,) = mobility.lines
    x, y = (np.asarray(part) for part in density.get_data())
    assert np.sum(0.5 * (y[1:] + y[:-1]) * np.diff(x)) == pytest.approx(1)
    true = [line for line in fig.axes[2].lines if list(line.get_xdata()) == [0.11, 0.11]]
    assert len(true) == 1
    fig.canvas.draw()
    (alone,) = plotting.corner({"a": "V"}, [1.0], densities=[(1 + t, np.exp(-(t**2)))]).axes
    assert alone.get_xlabel() == "a [V]"


def test_labels_have_a_power_of_ten_where_numbers_are_small_or_large():
    assert with_power("a", "m", 3e-9) == ("a [1e-9 m]", 1e-9)
    assert with_power("a", "-", 0.2) == ("a", 1.0)
    assert with_power("a", "-", 2e13) == ("a [1e13]", 1e13)
    assert plotting.prefixed("S", 2e-5) == ("µS", 1e-6)
    assert plotting.prefixed("A", 1e-9) == ("nA", 1e-9)
    assert plotting.prefixed("s", 2.0) == ("s", 1.0)
    assert plotting.prefixed("-", 1e-9) == ("-", 1.0)


@plotting.style()
def test_identifiability_says_powers_and_marks_what_is_undetermined():
    fig = plotting.identifiability_bars(
        ("a", "b"), np.array([[1.0, -2.0], [1.0, 0.0]]), [np.inf, 0.01], limit=2.3
    )
    left, right = fig.axes
    assert [t.get_text() for t in left.get_xticklabels()] == ["a", "b"]
    assert [t.get_text() for t in left.texts] == ["1", "-2", "1"]
    bad, good = (patch.get_facecolor() for patch in right.patches)
    assert bad == mpl.colors.to_rgba(plotting.COLORS[3])
    assert good == mpl.colors.to_rgba(plotting.COLORS[0])
    assert right.patches[1].get_width() == 0.01
    assert right.patches[0].get_width() > right.get_xlim()[1]
    fig.canvas.draw()


@plotting.style()
def test_profiles_show_limit_interval_and_parabola():
    x = np.linspace(-3, 3, 13)
    one = plotting.ProfilePanel("x_0", x, x**2, 0.0, normal=(x, x**2), interval=(-1.6, np.inf))
    fig = plotting.profile_likelihoods([one, one], limit=2.7)
    assert len(fig.axes) == 2
    axis = fig.axes[0]
    assert axis.get_xlabel() == "x_0"
    assert axis.get_ylabel() == "rise of the sum of squares"
    assert [line.get_label() for line in axis.lines] == [
        "90 %", "by the covariance", "profile", "fitted",
    ]  # fmt: skip
    # An end that is not known is that of the profile.
    shaded = axis.patches[0].get_extents().transformed(axis.transData.inverted())
    assert (shaded.x0, shaded.x1) == (pytest.approx(-1.6), pytest.approx(3.0))
    fig.canvas.draw()
