# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Levels, and the weights of a network in them
#
# A TiO2-x film is taken from level to level by *write-verify*: read, compare, pulse. The errors
# that remain are put into the weights of a small network, at one to seven bits per device. Sizes
# here are small; `analogjax run programming` and `analogjax run mlp_mnist` are the full thing.

# %%
# %matplotlib inline
import jax

jax.config.update("jax_enable_x64", True)  # device physics in float64; networks state float32

import os

import numpy as np

import analogjax as aj

FAST = bool(os.environ.get("ANALOGJAX_FAST"))  # small sizes, for a quick check of this notebook
CELLS, LEVELS, REPEATS = (8, 8, 2) if FAST else (12, 128, 4)
BITS = [1, 2, 3] if FAST else [1, 2, 3, 4, 5, 6, 7]

# %% [markdown]
# ## A device, its window, its levels
#
# The `nonvolatile` preset is written by its own heat: it keeps what was written. Conditioning and a
# train of pulses give the window; levels are placed in it, linear in conductance here.

# %%
device = aj.devices.FourTerminalTiO2(CELLS, preset="nonvolatile")
state, window = aj.programming.condition_and_window(device, pulses=60)
print(
    f"{float(window.r_high):.0f} to {float(window.r_low):.0f} ohm, ratio {float(window.ratio):.3f}"
)

# %% [markdown]
# ## Write-verify under the standard noise
#
# Each repeat starts from its own draw of countable vacancies. Nothing is tuned to the result: the
# noise is the *standard noise*, and it is part of what the table says about itself.

# %%
levels = aj.programming.program_levels(
    device, LEVELS, space="G", repeats=REPEATS, key=jax.random.key(0), state=state, window=window
)
print(levels.controller)
print(levels.noise)
for name, value in aj.programming.describe(levels).items():
    print(f"{name:28} {value:.4g}")

# %%
fig = aj.plotting.level_staircases({LEVELS: levels.pulses}, {LEVELS: levels.achieved / 1e3})

# %% [markdown]
# Cumulative probability of the errors on a normal scale: a Gaussian would be a straight line, and
# write-verify cuts the tails off at its tolerance. Dashed: half a pitch, where a level would be
# taken for its neighbour.

# %%
fig = aj.plotting.error_distributions({f"n = {LEVELS}": levels.errors / levels.pitch})

# %% [markdown]
# ## A network, trained digitally
#
# The handwritten digits of scikit-learn, 8 x 8 pixels.

# %%
digits = aj.data.load("digits")
network = aj.networks.NetworkConfig("mlp", {"hidden": [64]})
recipe = aj.training.TrainingConfig(epochs=10 if FAST else 40, batch=64, learning_rate=0.004)
trained = aj.training.train(network, digits, recipe)
digital = aj.training.accuracy(trained.model, digits.test)
print(f"{100 * digital:.1f} % of {len(digits.test.y)} test images")

# %% [markdown]
# ## Into devices
#
# `Hardware` says what the devices are like (window and errors, from the table), how many bits they
# have and how a weight becomes levels. `program_analog_weights` makes one chip: another key is
# another chip.

# %%
mapping = aj.crossbar.WeightMapping(
    scheme="differential", per="channel", clip="least_squares", space="G"
)
hardware = aj.crossbar.Hardware.from_tables(levels, bits=3, mapping=mapping)
analog = aj.networks.convert_to_analog(trained.model, hardware)
chip = aj.networks.program_analog_weights(analog, key=jax.random.key(1))
print(f"one chip at 3 bits: {100 * aj.training.accuracy(chip, digits.test):.1f} %")

# %%
accuracy = aj.networks.accuracy_over_chips(
    trained.model, hardware, digits.test, bits=BITS, chips=5, key=jax.random.key(2)
)
ideal = aj.networks.accuracy_over_chips(
    trained.model, hardware.ideal(), digits.test, bits=BITS, chips=1, key=jax.random.key(2)
)
curves = {"pair, per channel": (accuracy, ideal[:, 0])}
fig = aj.plotting.accuracy_against_bits(BITS, [("levels linear in G", curves)], digital=digital)

# %% [markdown]
# ## A day later
#
# The same chip, each device moved to what its level read at that time.

# %%
for t in (1.0, 3600.0, 1e5):
    later = aj.networks.drift_analog_weights(chip, t=t)
    print(f"{t:8g} s: {100 * aj.training.accuracy(later, digits.test):.1f} %")

# %% [markdown]
# How large may the write error be? Replace the table by a Gaussian of any size.

# %%
for std in (0.003, 0.01, 0.03, 0.1):
    rough = aj.crossbar.DeviceStatistics(
        window.r_low, window.r_high, aj.crossbar.GaussianError(std)
    )
    chips = aj.networks.accuracy_over_chips(
        trained.model, aj.crossbar.Hardware(rough, mapping, bits=3), digits.test, bits=[3],
        chips=5, key=jax.random.key(3),
    )  # fmt: skip
    print(f"{std:5g} of the window: {100 * np.mean(chips):.1f} %")
