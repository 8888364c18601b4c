"""A device as a configuration spells it."""

from __future__ import annotations

import pytest

from analogjax.devices import FilmConfig


def test_a_film_is_its_preset_but_for_the_parameters_named():
    film = FilmConfig(12, "nonvolatile", {"sigma_1": 50.0, "electrode_arm": 0.3}).build()
    assert (film.cells, film.self_heating) == (12, True)
    assert float(film.sigma_1) == 50.0
    assert float(film.electrode_arm) == 0.3
    assert float(film.activation_energy) == 1.1


def test_a_wrong_parameter_gets_one_sentence():
    with pytest.raises(ValueError, match="did you mean `sigma_1`"):
        FilmConfig(12, parameters={"sigma1": 50.0}).build()
