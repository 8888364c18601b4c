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
    "network.options.hidden=[8]", "training.epochs=5", "chips=2", "images=60", "side=32",
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
    # Without rounding in the way the two agree; a few per cent of the largest are left to it.
    assert m["elasticity_wires"] == pytest.approx(m["difference_wires"], rel=0.2)
    assert (out / "report.md").is_file()
