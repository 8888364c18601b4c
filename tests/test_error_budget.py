"""The experiment `error_budget` as the command runs it, small."""

from __future__ import annotations

import json
import sys

import jax.numpy as jnp
import pytest

from analogjax import cli
from analogjax.crossbar import Hardware
from analogjax.runs import compose

SMALL = [
    "network.options.hidden=[8]", "training.epochs=5", "chips=2", "images=300", "side=32",
    # A nonlinearity is a table of codes, over whose steps a gradient passes straight through, and a
    # small difference sees single codes of 12 bits: without the one, and with large differences,
    # the loss is smooth.
    "magnitudes.unit_capacitor=0.0", "step=0.3",
]  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    module = compose("error_budget", []).module
    return sys.modules[module.hardware.__module__]


def test_every_part_has_a_class_a_lifetime_and_a_strength(parts):
    one = {name: jnp.ones((), jnp.float32) for name in parts.PARTS}
    for cubic in (False, True):
        made = parts.hardware(parts.Magnitudes(), one, rounded=True, side=32, cubic=cubic)
        assert isinstance(made, Hardware)
    assert {cause for cause, _, _ in parts.PARTS.values()} == {"device", "circuit"}
    assert {life for _, life, _ in parts.PARTS.values()} == {"frozen", "slow", "fresh", "-"}
    fields = parts.Magnitudes.__dataclass_fields__
    assert set(parts.SIZES) <= set(parts.PARTS)
    assert set(parts.SIZES.values()) <= set(fields)


@pytest.mark.slow
def test_budget(parts, tmp_path):
    out = tmp_path / "out"
    assert cli.main(["run", "error_budget", *SMALL, "--out", str(out)]) == 0
    m = json.loads((out / "metrics.json").read_text())
    assert m["cross_entropy_all_on"] > m["cross_entropy_none_on"]
    for name in parts.PARTS:
        assert f"elasticity_{name}_error" in m
    # All gradients, with converters of 12 bits and no levels. They differ by 0.8 % of the largest:
    # codes of 12 bits (at 60 images and steps of 3 % up to a third), and the curvature over 30 %.
    assert m["difference_error_fine"] < 0.02
    # As built, 5 bits a device and 8 a converter, a difference sees codes change: 13 %.
    assert m["difference_error_built"] > m["difference_error_fine"]
    assert (out / "report.html").is_file()
