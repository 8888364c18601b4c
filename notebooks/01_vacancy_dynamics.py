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
# # Oxygen vacancies in a four-terminal TiO2-x film
#
# A square film with an electrode in each corner. Vacancies are mobile donors: where they are, the
# film conducts. A voltage between **T1 and T3** moves them (write); the resistance between **T2 and
# T4** tells where they are (read). Here you make such a device, write it, look inside, take a
# derivative through it, and let it rest. Every number of the device is *assumed* unless
# `device.PARAMETERS` names a source: the geometry of the published device is not public.

# %%
# %matplotlib inline
import jax

jax.config.update("jax_enable_x64", True)  # R changes by 0.2 % a pulse: device physics in float64

import os

import jax.numpy as jnp
import numpy as np

import analogjax as aj
from analogjax.programming import window_ratio

FAST = bool(os.environ.get("ANALOGJAX_FAST"))  # small sizes, for a quick check of this notebook
CELLS, PULSES = (16, 6) if FAST else (32, 40)

# %% [markdown]
# ## A device and its constants
#
# Every constant is a leaf of the device (a pytree), in SI units, with a default and a source.

# %%
device = aj.devices.FourTerminalTiO2(cells=CELLS)
for name in ("activation_energy", "sigma_background", "side", "front_position"):
    p = device.PARAMETERS[name]
    print(f"{name:18} {float(getattr(device, name)):9.3g} {p.unit:4} {p.meaning} ({p.source})")

# %% [markdown]
# ## Write, and read after every pulse
#
# A positive amplitude is V(T1) with T3 at 0 V, while T2 and T4 float. It drives vacancies out of
# the rich domain at T1 across the line from T2 to T4, so the read resistance falls (potentiation);
# a negative one brings them back (depression). A fresh film is *conditioned* by one cycle first
# (`aj.simulation.condition` does just that; the same train twice shares one compilation).

# %%
amplitudes = 5.0 * np.repeat([1.0, -1.0], PULSES)
drive = aj.stimuli.pulse_train(amplitudes, width=0.25)
conditioned = aj.simulate(device, drive).final_state
result = aj.simulate(device, drive, conditioned)
print(result)

# %%
fig, (left, right) = aj.plotting.figure(1, 2)
left.plot(result.read_resistance / 1e3)
left.set(xlabel="pulse", ylabel="R24 [kohm]")
right.plot(result.t[1:], result.i[1:] * 1e6)
_ = right.set(xlabel="time [s]", ylabel="write current into T1 [uA]")
# %% [markdown]
# ## Look inside
#
# `result.state[k]` is the vacancy density after pulse `k`, in units of 1e26 per m3, indexed
# `[x, y]`. `device.fields` gives the potential that a voltage makes in it. T2 and T4 float, but
# they are metal: each is an equipotential that shunts the film.

# %%
instants = [0, PULSES, 2 * PULSES]
states = [result.state[k] for k in instants]
potentials = [device.fields(jnp.asarray(5.0), state).potential for state in states]
_ = aj.plotting.map_grid(
    [
        ("vacancies c", states, {"vmin": 0.0}),
        ("potential at +5 V [V]", potentials, {"cmap": "coolwarm"}),
    ],
    [f"after pulse {k}" for k in instants],
    float(device.side) * 1e6,
    float(device.electrode_arm),
)
# %% [markdown]
# Currents at the terminals obey Kirchhoff's law; `nan` means floating.

# %%
currents = device.terminal_currents(jnp.array([5.0, jnp.nan, 0.0, jnp.nan]), conditioned)
print("currents into T1..T4 [uA]:", np.round(currents * 1e6, 3))
currents = device.terminal_currents(jnp.array([5.0, 1.0, 0.0, 2.0]), conditioned)
print(f"all driven, sum over largest: {float(currents.sum() / jnp.abs(currents).max()):.1e}")

# %% [markdown]
# ## A derivative through the physics
#
# How does the read resistance after a few pulses depend on a constant of the material? A function
# of the constant, and its gradient (`jax.grad`, here together with the value): through every time
# step and every solve for the potential.


# %%
@jax.jit
@jax.value_and_grad
def resistance_after(activation_energy):
    changed = device.replace(activation_energy=activation_energy)
    pulses = aj.stimuli.pulse_train(5.0 * jnp.ones(5), width=0.25)
    return aj.simulate(changed, pulses).read_resistance[-1]


_, slope = resistance_after(0.5)
h = 1e-4
difference = (resistance_after(0.5 + h)[0] - resistance_after(0.5 - h)[0]) / (2 * h)
print(f"dR24/dEa = {float(slope) / 1e3:.4f} kohm/eV; by differences {float(difference) / 1e3:.4f}")

# %% [markdown]
# Positive: a higher barrier moves fewer vacancies, so the resistance falls by less.
#
# ## A triangular sweep
#
# Current against voltage is a loop, but a slim one: what the sweep moves is small against the film.

# %%
sweep = aj.stimuli.triangle_sweep(
    5.0, rate=1.0, points=PULSES // 2
)  # as many ramps as pulses above
loop = aj.simulate(device, sweep, conditioned)
fig, (left, right) = aj.plotting.figure(1, 2)
left.plot(loop.v, loop.i * 1e6)
left.set(xlabel="V(T1) [V]", ylabel="I(T1) [uA]")
right.plot(loop.v, loop.read_resistance / 1e3)
_ = right.set(xlabel="V(T1) [V]", ylabel="R24 [kohm]")
# %% [markdown]
# ## How long does it last?
#
# At 0 V only diffusion is left. The default, *isothermal*, preset can be written at any voltage and
# forgets within minutes. In the *nonvolatile* preset the write pulse heats the film by about 200 K
# and thermal activation does the rest: it keeps its state for years, but a pulse below about 4 V
# does nothing. Neither shows both (the voltage-time dilemma).

# %%
lasting = aj.devices.FourTerminalTiO2(16 if FAST else 24, preset="nonvolatile")
hot = aj.stimuli.pulse_train(5.0 * np.ones(20), width=0.25)
written = lasting.init_state() if FAST else aj.simulate(lasting, hot).final_state
times = np.geomspace(1e-1, 1e10, 12 if FAST else 45)
fig, axis = aj.plotting.figure(width=5.5)
for name, film, state in (
    ("isothermal", device, result.state[PULSES]),
    ("nonvolatile", lasting, written),
):
    before = film.read(state)
    after = jnp.array([film.read(film.rest(state, jnp.asarray(t))) for t in times])
    axis.semilogx(times, 100 * (after / before - 1), label=name)
axis.axvline(3.156e8, color="k", linewidth=0.7)
axis.annotate("ten years", (3.156e8, axis.get_ylim()[0]), fontsize=8, ha="right")
axis.set(xlabel="time at 0 V, 300 K [s]", ylabel="change of R24 [%]")
_ = axis.legend()
# %% [markdown]
# ## Many devices at once
#
# Physics is written for one device; a batch is `jax.vmap`. Here, films whose barrier differs by a
# few meV (illustrative): drift is thermally activated, so the spread is large.

# %%
barriers = 0.5 + 0.01 * jnp.linspace(-1, 1, 3 if FAST else 5)
short = aj.stimuli.pulse_train(5.0 * jnp.ones(PULSES), width=0.25)


@jax.jit
@jax.vmap
def trace(barrier):
    film = device.replace(activation_energy=barrier)
    return aj.simulate(film, short, conditioned).read_resistance


fig, axis = aj.plotting.figure(width=5.0)
for barrier, r in zip(barriers, trace(barriers), strict=True):
    axis.plot(r / 1e3, label=f"{float(barrier):.3f} eV, max/min {float(window_ratio(r)):.3f}")
axis.set(xlabel="pulse", ylabel="R24 [kohm]")
_ = axis.legend()
# %% [markdown]
# ## When something goes wrong
#
# A wrong argument gets one sentence. So does a simulation that cannot be solved; with
# `throw=False` it comes back instead, and says for itself whether it may be believed (inside `jit`
# and `vmap` that is the only way). From the failed pulse on it holds the last good state.

# %%
try:
    device.replace(activation_enrgy=0.6)
except ValueError as error:
    print(error)

too_long = aj.stimuli.pulse_train(5.0 * np.ones(5), width=25.0)
one_step = aj.simulation.Heun(substeps=1)
try:
    aj.simulate(device, too_long, solver=one_step)
except RuntimeError as error:
    print(error)
failed = aj.simulate(device, too_long, solver=one_step, throw=False)
print(bool(failed.ok), aj.simulation.Status(int(failed.status)).name, np.isfinite(failed.i).all())
