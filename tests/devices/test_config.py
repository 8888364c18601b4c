"""A device as a configuration spells it."""

from __future__ import annotations

import pytest

from analogjax import devices
from analogjax.devices import DeviceConfig, FilmConfig, FourTerminalTiO2


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
