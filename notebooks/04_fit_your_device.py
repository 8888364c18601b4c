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
# # Fit your device
#
# From a CSV of measured pulses to a network's accuracy: read the table, fit a device, see how sure
# its parameters are, draw devices that the data allow, and write a network into each of them.
# `analogjax run fit_to_network measurements.folder=...` does the same from a configuration.

# %%
# %matplotlib inline
import jax

jax.config.update("jax_enable_x64", True)  # fits in float64; networks state float32

import os
import tempfile
from pathlib import Path

import numpy as np

import analogjax as aj
from analogjax.data import read_folder

FAST = bool(os.environ.get("ANALOGJAX_FAST"))  # small sizes, for a quick check of this notebook
PULSES, DRAWS = (32, 3) if FAST else (60, 20)
BITS = [1, 2, 3] if FAST else [1, 2, 3, 4, 5]

# %% [markdown]
# ## A table, and what its columns are
#
# This cell stands in for your laboratory: a device that the rest of the notebook does not know
# takes pulses up and pulses down, and its conductances go into a CSV with 1 % of noise. For your
# own data skip it and set `folder`; a few lines of YAML beside each table say what its columns are
# (docs/guide/your_own_data.md).

# %%
folder = Path(tempfile.mkdtemp())
unknown = aj.devices.Yakopcic("miao", a_p=5.2, a_n=2.9, x_p=0.33, alpha_p=1.4)
amplitudes = np.concatenate([np.full(PULSES, 0.45), np.full(PULSES, -1.1)])
drive = aj.stimuli.pulse_train(amplitudes, width=5e-3, gap=1e-3)
after = 1 / np.asarray(aj.simulate(unknown, drive).read_resistance[1:])
after *= np.random.default_rng(0).normal(1, 0.01, after.size)
lines = ["V1 (V),width (ms),gap (ms),G (uS)"]
lines += [f"{v:g},5,1,{1e6 * g:.6g}" for v, g in zip(amplitudes, after, strict=True)]
(folder / "pulses.csv").write_text("\n".join(lines) + "\n")
(folder / "pulses.yaml").write_text(
    """\
protocol: pulse_train
columns:
  amplitude: V1 (V)
  width: width (ms)
  gap: gap (ms)
  conductance: G (uS)
"""
)
print((folder / "pulses.csv").read_text()[:90])

# %%
measurements = read_folder(folder)
print(measurements)
pulses = measurements["pulses"]
pulses["conductance"].values[0, :4]  # siemens

# %% [markdown]
# ## The fit
#
# Any device of `analogjax.devices`, any of its parameters. Every parameter that is not named stays
# where it is. Derivatives are exact and go through the dynamics, so a fit takes a handful of
# simulations.

# %%
device = aj.devices.Yakopcic("miao")
free = ("a_p", "a_n", "x_p", "alpha_p")
fit = aj.fitting.fit(device, measurements, free)
print(fit)

# %%
figures = aj.fitting.fit_figures(fit)  # data, residuals, corner, identifiability
figures["data"]

# %%
figures["residuals"]

# %% [markdown]
# How sure the parameters are, and which combination of them the data determine least:

# %%
figures["corner"]

# %%
for combination in fit.identifiability.combinations:
    print(f"{combination}: standard error {combination.standard_error:.2g} e-folds")

# %% [markdown]
# A fit that cannot work says so instead of returning numbers. Speed and threshold enter the motion
# at one voltage only as a product, so the data cannot tell them apart:

# %%
try:
    aj.fitting.fit(device, measurements, (*free, "v_p"))
except aj.fitting.FitError as error:
    print(error)

# %% [markdown]
# ## Levels, open loop
#
# The levels of a network's weights are written by counting pulses, as the fitted device has them.
# The same plan is then carried out by devices that the data allow.

# %%
plan = aj.programming.plan_counts(
    fit.device, 2 ** max(BITS), v=0.45, width=5e-3, gap=1e-3, pulses=PULSES
)
drawn = fit.sample(DRAWS, key=jax.random.key(1))
devices = [fit.device, *(jax.tree.map(lambda x, k=k: x[k], drawn) for k in range(DRAWS))]
tables = [aj.programming.write_counted(plan, one, 2) for one in devices]
print(plan.statement)
fig = aj.plotting.open_loop_levels(np.stack([table.errors[0] for table in tables]))

# %% [markdown]
# ## The network
#
# A small network on the 8 x 8 digits, trained digitally, then written into each of these devices.
# The band is what the data leave open.

# %%
digits = aj.data.load("digits")
network = aj.networks.NetworkConfig("mlp", {"hidden": [64]})
recipe = aj.training.TrainingConfig(epochs=10 if FAST else 40, batch=64, learning_rate=0.004)
trained = aj.training.train(network, digits, recipe)
digital = aj.training.accuracy(trained.model, digits.test)

mapping = aj.crossbar.PAIRS_PER_CHANNEL  # a pair of devices a weight, scaled per channel
found = [
    aj.networks.transfer_accuracy(
        trained.model, aj.crossbar.Hardware.from_tables(table, bits=1, mapping=mapping),
        digits.test, bits=BITS, chips=1, key=jax.random.key(2),
    )
    for table in tables
]  # fmt: skip
accuracy = np.stack([one["chips"].mean(axis=1) for one in found])
fig = aj.plotting.accuracy_intervals(
    BITS, {"devices that the data allow": accuracy[1:]}, digital=digital, ideal=found[0]["ideal"]
)

# %%
low, high = np.quantile(accuracy[1:], [0.05, 0.95], axis=0)
for bits, a, b in zip(BITS, low, high, strict=True):
    print(f"{bits} bits: {100 * a:.1f} to {100 * b:.1f} % (digital {100 * digital:.1f} %)")
