"""A device as a configuration spells it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from analogjax import devices
from analogjax.devices import (
    JART_SPREAD,
    CycleConfig,
    CycleToCycle,
    DeviceConfig,
    FilmConfig,
    FourTerminalTiO2,
)


def test_a_film_is_its_preset_but_for_the_parameters_named():
    film = FilmConfig(12, "nonvolatile", {"sigma_1": 50.0, "electrode_arm": 0.3}).build()
    assert (film.cells, film.self_heating) == (12, True)
    assert float(film.sigma_1) == 50.0
    assert float(film.electrode_arm) == 0.3
    assert float(film.activation_energy) == 1.1


def test_a_wrong_parameter_gets_one_sentence():
    with pytest.raises(ValueError, match="did you mean `sigma_1`"):
        FilmConfig(12, parameters={"sigma1": 50.0}).build()


def test_any_device_by_the_name_of_its_class():
    config = DeviceConfig(preset="nonvolatile", cells=12, options={"scheme": "sg"},
                          parameters={"sigma_1": 50.0})  # fmt: skip
    device = config.build()
    assert isinstance(device, FourTerminalTiO2)
    assert (device.cells, device.scheme, device.self_heating) == (12, "sg", True)
    assert float(device.sigma_1) == 50.0
    # Nothing given: what the class does without arguments.
    assert DeviceConfig().build().cells == FourTerminalTiO2().cells
    assert config.describe() == (
        "FourTerminalTiO2, preset nonvolatile, 12 x 12 cells, scheme = sg, sigma_1 = 50"
    )
    assert (config.label, DeviceConfig().label) == (
        "FourTerminalTiO2 nonvolatile", "FourTerminalTiO2",
    )  # fmt: skip


def test_a_device_of_ones_own_can_be_named(toy_device, monkeypatch):
    with pytest.raises(ValueError, match=r"`kind` must be one of .*, but is 'ToyDevice'"):
        DeviceConfig("ToyDevice").build()
    monkeypatch.setattr(devices, "ToyDevice", toy_device, raising=False)
    device = DeviceConfig(
        "ToyDevice", options={"fails_beyond": 2.0}, parameters={"seconds": 3.0}
    ).build()
    assert (float(device.seconds), device.fails_beyond) == (3.0, 2.0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DeviceConfig("FourTerminalTio2"), "did you mean 'FourTerminalTiO2'"),
        (DeviceConfig("AbstractDevice"), "`kind` must be one of"),
        (DeviceConfig(options={"shceme": "sg"}), "`options` must be one of .* mean 'scheme'"),
        (DeviceConfig(preset="volatile"), "`preset` must be one of 'isothermal', 'nonvolatile'"),
        (DeviceConfig(parameters={"sigma1": 50.0}), "did you mean `sigma_1`"),
        (DeviceConfig("ToyDevice", preset="fast"), "`preset` must be null for ToyDevice"),
        (DeviceConfig("ToyDevice", cells=8), "`cells` must be null for ToyDevice, .* but is 8"),
    ],
)
def test_what_is_wrong_gets_one_sentence(toy_device, monkeypatch, config, message):
    monkeypatch.setattr(devices, "ToyDevice", toy_device, raising=False)
    with pytest.raises(ValueError, match=message):
        config.build()


def test_a_device_whose_parameters_change_from_cycle_to_cycle():
    config = DeviceConfig(
        kind="VTEAM",
        cycle=CycleConfig({"k_on": 0.1}, {"r_on": 2.0}, {"r_on": [40.0, 60.0]}, ["r_on"]),
    )
    device = config.build()
    assert isinstance(device, CycleToCycle)
    assert device.follow == ("r_on",)
    assert device.spread.names == ("k_on", "r_on")
    assert device.spread.bounds == {"r_on": (40.0, 60.0)}
    assert config.describe() == "VTEAM, k_on and r_on anew in every half cycle"
    with pytest.raises(ValueError, match=r"`bounds\.r_on` must have 2 values, but has 1"):
        DeviceConfig(kind="VTEAM", cycle=CycleConfig({"r_on": 0.1}, {}, {"r_on": [1.0]})).build()
    with pytest.raises(
        ValueError, match=r"`cycle` must be empty .* the device is FourTerminalTiO2"
    ):
        DeviceConfig(cells=8, cycle=CycleConfig({"side": 0.1})).build()
    with pytest.raises(ValueError, match="k_onn"):
        DeviceConfig(kind="VTEAM", cycle=CycleConfig({"k_onn": 0.1})).build()


def test_the_spread_of_jart_is_spelled_once():
    # The configuration names the numbers of the package.
    file = Path(__file__).parents[2] / "configs" / "device" / "jart_var.yaml"
    cycle = CycleConfig(**yaml.safe_load(file.read_text())["cycle"])
    device = DeviceConfig(kind="JartVCM", cycle=cycle).build()
    assert device.spread.absolute == JART_SPREAD.absolute
    assert device.spread.bounds == JART_SPREAD.bounds
