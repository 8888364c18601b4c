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
# # Switching a filament: JART VCM
#
# A filament in an HfO2/TiOx cell, solved from the published equations of JART VCM v1b. Its one
# state is the vacancy density N of a thin disc at the active electrode. Here you sweep it, see
# why SET is abrupt, ask how fast it switches and which constant decides that, let it vary from
# device to device and from cycle to cycle, and write a hundred thousand cells by tables.
#
# `V = V(active) - V(ohmic)`: **SET is negative, RESET positive**.

# %%
# %matplotlib inline
import jax

jax.config.update("jax_enable_x64", True)  # rates span eighteen decades

import os
import time

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import analogjax as aj
from analogjax.devices import JART_SPREAD, CycleToCycle, JartVCM, sample_devices
from analogjax.simulation import FlowMap, switching_time

FAST = bool(os.environ.get("ANALOGJAX_FAST"))  # small sizes, for a quick check of this notebook
POINTS, DEVICES, CELLS = (40, 4, 1000) if FAST else (150, 24, 100_000)

# %% [markdown]
# ## A cell and its states
#
# Every parameter is a leaf with its source. The fresh disc holds two vacancies, the full one
# 5000.

# %%
cell = JartVCM()
for n in (0.008, 0.06, 2.0, 20.0):
    state = cell.init_state(n)
    print(
        f"N = {n:6.3f}e26/m3: {float(cell.disc_count(state)):6.0f} vacancies in the disc, "
        f"R(0.2 V) = {float(cell.read(state)):8.1f} ohm"
    )

# %% [markdown]
# ## A sweep
#
# 1 V/s to -1.3 V and +1.3 V. SET is a runaway: current heats, heat moves vacancies, vacancies
# raise the current. RESET collapses within 15 mV and then creeps.

# %%
sweep = aj.stimuli.triangle_sweep(-1.3, 1.0, points=POINTS)
result = aj.simulate(cell, sweep)
n = np.exp(np.asarray(result.state))
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].semilogy(result.v, np.abs(result.i) + 1e-9)
axes[0].set(xlabel="voltage [V]", ylabel="|current| [A]", ylim=(1e-7, 2e-3))
axes[1].semilogy(result.v, n)
axes[1].set(xlabel="voltage [V]", ylabel="N in the disc [1e26 1/m$^3$]")
jump = int(np.argmax(np.diff(np.log(n))))
print(f"SET between {float(result.v[jump]):.4f} and {float(result.v[jump + 1]):.4f} V")

# %% [markdown]
# ## How fast, and why
#
# Under a constant voltage the state runs along one line, so a switching time is an integral, `t =
# integral dy / (dy/dt)` with `y = ln N`. `switching_time` takes states, `init_state(N)`. Twelve
# decades between -0.3 and -1.1 V.

# %%
fresh, on, full, off = (cell.init_state(n) for n in (0.008, 1.0, 19.99, 0.1))
set_volts, reset_volts = jnp.linspace(-1.1, -0.3, 33), jnp.linspace(0.5, 1.5, 41)
set_times = jax.vmap(lambda v: switching_time(cell, v, fresh, on))(set_volts)
reset_times = jax.vmap(lambda v: switching_time(cell, v, full, off))(reset_volts)
fig, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
ax.semilogy(-set_volts, set_times, label="SET, N = 0.008 to 1")
ax.semilogy(reset_volts, reset_times, label="RESET, N = 20 to 0.1")
ax.set(xlabel="|voltage| [V]", ylabel="switching time [s]")
ax.legend()
# %% [markdown]
# Which constant decides? The derivative of the logarithm of the switching time by the logarithm
# of each parameter, from one reverse pass: an elasticity of 20 means that one per cent more makes
# it 20 % slower.

# %%
gradient = eqx.filter_jit(
    eqx.filter_grad(lambda d: jnp.log(switching_time(d, -0.6, cell.init_state(0.01), on)))
)(cell)
elasticity = {
    name: float(getattr(gradient, name) * value) for name, value in cell.parameters().items()
}
largest = sorted(elasticity, key=lambda name: -abs(elasticity[name]))[:10]
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.barh(largest[::-1], [elasticity[name] for name in largest[::-1]])
ax.set(xlabel="d ln(t_SET at -0.6 V) / d ln(parameter)")
# %% [markdown]
# ## From device to device, from cycle to cycle
#
# `sample_devices` draws cells; `CycleToCycle` draws radius, disc length and bounds anew at every
# change of polarity, and lets radius and length follow the state (the rule of v1b-var). Without a
# key, nothing is drawn.

# %%
coarse = aj.stimuli.triangle_sweep(-1.3, 1.0, points=POINTS // 4)
cells = sample_devices(cell, JART_SPREAD, DEVICES, key=jax.random.key(0))
spread = eqx.filter_jit(eqx.filter_vmap(lambda d: aj.simulate(d, coarse, throw=False)))(cells)
cycled = CycleToCycle(cell, JART_SPREAD, follow=("radius", "disc_length"))
cycles = aj.stimuli.triangle_sweep(-1.3, 1.0, cycles=2 if FAST else 6, points=POINTS // 4)
repeated = aj.simulate(cycled, cycles, key=jax.random.key(1))
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
axes[0].semilogy(spread.v.T, np.abs(spread.i.T) + 1e-9, color="C0", alpha=0.4, lw=0.8)
axes[0].set(title=f"{DEVICES} devices", ylabel="|current| [A]", ylim=(1e-7, 2e-3))
axes[1].semilogy(repeated.v, np.abs(repeated.i) + 1e-9, color="C1", alpha=0.7, lw=0.8)
axes[1].set(title="cycles of one device")
for ax in axes:
    ax.set(xlabel="voltage [V]")
steps = np.asarray(spread.stats["steps"])
print(f"{int(spread.ok.sum())} of {DEVICES} devices solved")
print(f"steps of a lane: mean {steps.mean():.0f}, max {steps.max()}")

# %% [markdown]
# ## Many cells, many pulses
#
# Identical cells differ in their state only, so the way from pulse to pulse can be tabulated
# once: `FlowMap` adds the width of a pulse to the time along the line. Here are random write
# pulses of 1 us, each cell with its own amplitudes.

# %%
flow = FlowMap.tabulate(
    cell, jnp.log(cell.n_min), jnp.log(cell.n_max), negative=(-0.6, -0.3), positive=(0.6, 1.0),
    cells=512 if FAST else 2048,
)  # fmt: skip
keys = jax.random.split(jax.random.key(2), 20)


@jax.jit
def write(states):
    def pulse(states, key):
        u = jax.random.uniform(key, (2, CELLS))
        v = jnp.where(u[0] < 0.5, -0.35 - 0.15 * u[1], 0.65 + 0.3 * u[1])
        states, good = jax.vmap(lambda y, v: flow.move(y, v, jnp.asarray(1e-6)))(states, v)
        return states, good.all()

    return jax.lax.scan(pulse, states, keys)


start = jnp.full(CELLS, jnp.log(0.5))
jax.block_until_ready(write(start))
began = time.perf_counter()
final, good = jax.block_until_ready(write(start))
seconds = time.perf_counter() - began
assert bool(good.all())
print(f"{CELLS * len(keys) / seconds:.3g} device-pulses per second")
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
ax.hist(np.asarray(1e6 / jax.vmap(cell.read)(final)), bins=60)
ax.set(xlabel="conductance after 20 pulses [uS]", ylabel="cells")
# %% [markdown]
# The table and time stepping agree (the table refuses what it does not hold: ramps, other
# voltages, other parameters).

# %%
drive = aj.stimuli.pulse_train([-0.5, -0.45, 0.8, -0.5], width=1e-6)
by_table = aj.simulate(cell, drive, jnp.log(0.5), solver=flow)
by_steps = aj.simulate(cell, drive, jnp.log(0.5))
print(np.abs(by_table.state - by_steps.state).max())

# %% [markdown]
# Where to go on: `analogjax run device_zoo` puts the filament beside an interface and a bulk
# device, `analogjax run physics_or_behaviour` asks where a behavioural model of this cell
# misleads; equations and limits stand in `docs/theory/jart_vcm.md`.
