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
# # Training through physics
#
# A network is usually trained with numbers, and its weights are then written into devices that are
# not what was asked for. Here the gradient goes on where others stop: from the loss through the
# read-out and the device's equation of motion to the *pulse* that wrote it. What is trained is what
# is written.

# %%
# %matplotlib inline
import jax

jax.config.update("jax_enable_x64", True)  # device physics in float64; networks state float32

import os

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import analogjax as aj
from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping, WrittenError
from analogjax.networks import MLP, convert_to_analog
from analogjax.programming import FilamentWriting
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    Physical,
    Precise,
    accuracy_on_chips,
    held_out_keys,
)

FAST = bool(os.environ.get("ANALOGJAX_FAST"))  # small sizes, for a quick check of this notebook
HIDDEN, DIGITAL, STEPS, CHIPS = (6, 150, 15, 2) if FAST else (24, 1000, 200, 10)

# %% [markdown]
# ## One pulse, many filaments
#
# JART VCM v1b filaments whose radius, disc length and bounds of the vacancy density differ within
# their published bounds. Each is written by one RESET pulse; the nominal device needs the amplitude
# that `plan` gives, every other device makes something else of it.

# %%
writing = FilamentWriting()
targets = jnp.linspace(0.0, 1.0, 15)
drives = writing.plan(targets)
shape = (200, targets.size)
drawn = writing.draw(jax.random.key(0), shape)
many = jax.tree.map(lambda d: jnp.broadcast_to(d, shape), drives)
written = writing.write(many, drawn).fractions
fig, axis = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
axis.plot(drives["amplitude"], written.T, color="tab:blue", alpha=0.05)
axis.plot(drives["amplitude"], targets, color="black", label="nominal device")
axis.set(xlabel="amplitude of the RESET pulse [V]", ylabel="conductance [window]")
axis.legend()
plt.show()

# %% [markdown]
# The derivative of what a filament ends with, by its amplitude and by its radius, is exact: it
# follows from the equation of motion.


# %%
def ends_with(amplitude, radius_change):
    changed = {"radius": jnp.reshape(radius_change, (1,))}
    return writing.write({"amplitude": jnp.reshape(amplitude, (1,))}, changed).fractions[0]


at, h = (1.2, 0.0), (1e-4, 1e-13)
for name, k in (("amplitude [1/V]", 0), ("radius [1/m]", 1)):
    exact = float(jax.grad(ends_with, argnums=k)(*at))
    up, down = (ends_with(*(x + s * h[k] * (j == k) for j, x in enumerate(at))) for s in (1, -1))
    print(f"by {name}: {exact:.6e}, central difference {float(up - down) / (2 * h[k]):.6e}")

# %% [markdown]
# ## A network, trained digitally and written as it is
#
# Every weight is a pair of filaments. `Physical` puts a network on a chip by writing every filament
# through its equations; its `start` plans the pulses of a weight transfer. Chips for judging have
# keys that no training uses.

# %%
data = aj.data.load("digits")
low, high = (float(g) for g in writing.window)
mapping = WeightMapping("differential", "layer", "percentile", 99.5, space="G")


def on_devices(error=None):
    network = MLP(input_shape=data.input_shape, hidden=HIDDEN, rngs=nnx.Rngs(0))
    devices = DeviceStatistics(1 / high, 1 / low, error)
    return convert_to_analog(network, Hardware(devices, mapping, bits=None))


def train(model, family, steps, rate=3e-3, family_rate=1.0):
    training = AnalogTraining(
        model,
        data.train,
        steps=steps,
        batch=128,
        learning_rate=rate,
        family=family,
        family_rate=family_rate,
    )
    state = training.start()
    for _ in range(steps):
        state = training.advance(state)
    return training.model(state), training.trained(state), state


chips = held_out_keys(0, CHIPS)
digital, _, _ = train(on_devices(), Precise(), DIGITAL, rate=1e-2)
physical = Physical(writing)
planned = physical.start(digital)
found = {
    "digital": accuracy_on_chips(digital, Precise(), (), data.test, chips=chips[:1])[0],
    "written as it is": accuracy_on_chips(digital, physical, planned, data.test, chips=chips)[0],
}

# %% [markdown]
# ## Training with noise
#
# The usual answer: training with random errors of the size that devices have. `WrittenError` takes
# mean and standard deviation at every level from the physics itself, so that the rival knows
# everything but which quantities of a device lie behind its error.

# %%
error = WrittenError.measure(writing, key=jax.random.key(1))
noisy = on_devices(error)
nnx.update(noisy, nnx.state(digital, nnx.Param))
noisy, _, _ = train(noisy, NoiseInjection(), STEPS)
weights = nnx.clone(digital)
nnx.update(weights, nnx.state(noisy, nnx.Param))
found["trained with noise"] = accuracy_on_chips(
    weights, physical, physical.start(weights), data.test, chips=chips
)[0]

# %% [markdown]
# ## Training the pulses
#
# `Physical` trains the amplitude of every pulse, the scale of every layer, and the digital biases.
# Every step is on another chip: filaments are drawn anew, written by their pulses, read, and the
# gradient of the loss comes back through all of it. Devices whose equations cannot be solved are
# masked and counted.

# %%
trained, pulses, state = train(digital, physical, STEPS, family_rate=2.0)
found["pulses trained"] = accuracy_on_chips(trained, physical, pulses, data.test, chips=chips)[0]
print("devices masked in all steps:", int(state.failed.sum()))
for name, values in found.items():
    spread = f", standard deviation {100 * values.std():.1f} of chips" if values.size > 1 else ""
    print(f"{name:20s} {100 * values.mean():5.1f} %{spread}")

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.plot(state.loss)
left.set(xlabel="step", ylabel="loss of the step's chip [nat]")
layer = next(iter(planned["drives"]))
for label, drive in (("planned", planned), ("trained", pulses)):
    amplitudes = drive["drives"][layer]["amplitude"].ravel()
    right.hist(np.asarray(amplitudes), bins=40, histtype="step", label=label)
right.set(xlabel="amplitude [V]", ylabel="filaments", title=f"pulses of the layer {layer!r}")
right.set_yscale("log")
right.legend()
plt.show()

# %% [markdown]
# ## What would a better device be worth?
#
# The same gradient reaches what all devices share. `design` names quantities whose relative change
# is trained, or only looked at: here the loss of one chip by the duration of the pulses and by the
# filaments' radius, at fixed drives.

# %%
family = Physical(writing, design=("width", "radius"))
inputs = aj.data.to_float(jnp.asarray(data.test.x[:256]))
labels = jnp.asarray(data.test.y[:256]).astype(jnp.int32)


@jax.jit
def loss(design):
    model = family.chip(trained, pulses | {"design": design}, key=chips[0]).model
    logs = jax.nn.log_softmax(model(inputs))
    return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], 1))


now = {name: jnp.zeros(()) for name in family.design}
for name, slope in jax.grad(loss)(now).items():
    print(f"{name}: {float(slope):+.3f} nat for a change by its own size")

# %% [markdown]
# `hat_physical_jart`, `hat_physical_pde` (one vacancy PDE per device) and `hat_physical_reduced`
# (LeNet-5 through the distilled film) do the same at their size, over networks and chips, with
# intervals: see docs/results.
