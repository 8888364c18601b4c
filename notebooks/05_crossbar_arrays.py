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
# # Crossbar arrays
#
# What stands between a device and a network: wires, amplifiers, converters, noise, and devices that
# are not what was written. First one array, then a network on tiles of arrays, at last the question
# which of it all to spend on first, answered by a gradient.

# %%
# %matplotlib inline
import jax

jax.config.update("jax_enable_x64", True)  # arrays in float64; networks state float32

import os

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import analogjax as aj
from analogjax.crossbar import CurrentDomain, Dac, SarInl, Tile, Wires
from analogjax.networks import TileParam

FAST = bool(os.environ.get("ANALOGJAX_FAST"))  # small sizes, for a quick check of this notebook
SIZE, EPOCHS, CHIPS = (24, 10, 2) if FAST else (96, 40, 8)

# %% [markdown]
# ## One array, with the resistance of its wires
#
# Word lines are driven at the left, bit lines sensed at the bottom. `solve_crossbar` gives every
# potential; the currents are exact, and differentiable in everything.

# %%
# 20 uS in the middle, lognormal
g = 20e-6 * np.exp(0.5 * np.random.default_rng(0).standard_normal((SIZE, SIZE)))
v = np.full(SIZE, 0.2)
solution = aj.crossbar.solve_crossbar(g, v, r_word_line=2.0, r_bit_line=2.0)
cell = np.asarray(solution.voltages.word_line - solution.voltages.bit_line)
loss = 1 - np.asarray(solution.currents.output) / (v @ g)
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
image = left.imshow(1e3 * cell, cmap="viridis")
left.set(title="voltage left for each cell [mV]", xlabel="bit line", ylabel="word line")
fig.colorbar(image, ax=left)
right.plot(100 * loss, color="tab:red")
right.set(title="current lost", xlabel="bit line", ylabel="%", ylim=(0, None))
plt.show()

# %% [markdown]
# The gradient of the total current in the wires' resistance costs one more solve.


# %%
def total(r):
    return aj.crossbar.solve_crossbar(g, v, r_word_line=r, r_bit_line=r).currents.output.sum()


exact = float(jax.grad(total)(2.0))
difference = float(total(2.001) - total(1.999)) / 0.002
print(f"gradient {exact:.8e} A/ohm, central difference {difference:.8e}")

# %% [markdown]
# For ohmic cells an array with wires is still a matrix: `effective_conductance` finds it once, and
# every read is then a product.

# %%
g_eff = aj.crossbar.effective_conductance(g, r_word_line=2.0, r_bit_line=2.0)
print("largest deviation [A]:", float(jnp.abs(v @ g_eff - solution.currents.output).max()))

# %% [markdown]
# ## Converters are not stairs of equal steps
#
# The nonlinearity of an ADC or DAC follows from its mechanism: here DACs of binary capacitors that
# do not match by 10 %. Each line has its own, drawn once (*frozen*).

# %%
dac = Dac(6, inl=SarInl(0.1))
x = jnp.linspace(-1, 1, 400)[:, None] * jnp.ones((1, 2))
out = dac(x, dac.draw(jax.random.key(3), 2))
fig, axis = plt.subplots(figsize=(4.6, 3), layout="constrained")
axis.plot(x, (out - x) / dac.lsb(), lw=0.8)
axis.set(xlabel="input [full scale]", ylabel="error [LSB]", title="two 6-bit DACs")
plt.show()

# %% [markdown]
# ## A network on tiles
#
# A layer that is larger than an array is cut into tiles; each has its own wires and converters, and
# the outputs are added digitally. `preset_hardware` gives complete descriptions; parts can be put
# together freely.

# %%
data = aj.data.load("digits")
network = aj.networks.NetworkConfig("mlp", {"hidden": [32]})
recipe = aj.training.TrainingConfig(epochs=EPOCHS, batch=64, learning_rate=0.004)
digital = aj.training.train(network, data, recipe).model
test_x, test_y = aj.data.to_float(jnp.asarray(data.test.x)), np.asarray(data.test.y)


def accuracy(model):
    return float(np.mean(np.asarray(jnp.argmax(model(test_x), -1)) == test_y))


print(f"digital: {100 * accuracy(digital):.1f} %")
for name in aj.crossbar.PRESETS:
    analog = aj.networks.convert_to_analog(digital, aj.crossbar.preset_hardware(name))
    chips = [
        aj.networks.program_analog_weights(analog, key=jax.random.key(k)) for k in range(CHIPS)
    ]
    values = [100 * accuracy(chip) for chip in chips]
    print(f"{name:5s}: {np.mean(values):.1f} % (standard deviation {np.std(values):.2f} of chips)")

# %% [markdown]
# Two reads of one chip differ by what is *fresh* alone; what is *frozen* stays, what is *slow*
# follows the time since programming. Phase-change cells drift; one digital factor per layer makes
# up for the mean of it.

# %%
pcm = aj.networks.convert_to_analog(digital, aj.crossbar.preset_hardware("pcm"))
chip = aj.networks.program_analog_weights(pcm, key=jax.random.key(0))
again = aj.networks.read_analog_weights(chip, key=jax.random.key(1))
print("logits of two reads:", chip(test_x[:1])[0, :3], again(test_x[:1])[0, :3])
for t in (0.0, 3600.0, 86400.0, 3.15e7):
    later = aj.networks.drift_analog_weights(chip, t=t)
    mended = aj.networks.compensate_drift(later, key=jax.random.key(2))
    print(f"{t:10.0f} s: {100 * accuracy(later):.1f} %, compensated {100 * accuracy(mended):.1f} %")

# %% [markdown]
# ## What to spend on first
#
# The draws of a chip are kept apart from the magnitudes, so that the test cross-entropy has a
# gradient in every magnitude: of wires, converters and noise at once, by one backward pass through
# the solved arrays.

# %%
domain = CurrentDomain(
    dac=Dac(8, gain_std=0.02, offset_std=0.005),
    wires=Wires(1.0, 1.0, 10.0, 10.0),
    output_noise=0.05,
)
hardware = aj.crossbar.Hardware(
    aj.crossbar.DeviceStatistics(1e4, 1e6, aj.crossbar.GaussianError(0.02)),
    aj.crossbar.PAIRS_PER_CHANNEL,
    bits=6,
    tile=Tile(domain, rows=64, columns=32),
)
chip = aj.networks.program_analog_weights(
    aj.networks.convert_to_analog(digital, hardware), key=jax.random.key(0)
)


@nnx.jit
def gradient(model):
    def cross_entropy(model):
        logits = jax.nn.log_softmax(model(test_x[:100]))
        return -jnp.mean(logits[jnp.arange(100), jnp.asarray(test_y[:100], jnp.int32)])

    return nnx.grad(cross_entropy, argnums=nnx.DiffState(0, TileParam))(model)


slopes = gradient(chip)["head"]["tile"].get_value().domain
magnitudes = {
    "output noise": (domain.output_noise, slopes.output_noise),
    "DAC gain": (domain.dac.gain_std, slopes.dac.gain_std),
    "DAC offset": (domain.dac.offset_std, slopes.dac.offset_std),
    "word line": (domain.wires.r_word_line, slopes.wires.r_word_line),
    "bit line": (domain.wires.r_bit_line, slopes.wires.r_bit_line),
    "driver": (domain.wires.r_source, slopes.wires.r_source),
    "sense": (domain.wires.r_sense, slopes.wires.r_sense),
}
worth = {name: float(value * slope) for name, (value, slope) in magnitudes.items()}
ranked = sorted(worth, key=lambda name: abs(worth[name]))
fig, axis = plt.subplots(figsize=(5.4, 3), layout="constrained")
axis.barh(ranked, [worth[name] for name in ranked], color="tab:blue")
axis.set(xlabel="d (cross-entropy) / d ln (magnitude), one chip")
plt.show()

# %% [markdown]
# `analogjax run error_budget` does this for many chips and every non-ideality, with its cause and
# lifetime; `analogjax run ir_drop` looks at wires alone.
