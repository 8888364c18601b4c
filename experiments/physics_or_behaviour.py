"""Accuracy against write voltage: a physical device beside models fitted to the same pulses.

A trained network is written open loop into filaments (JART VCM v1b) with identical pulses, and into
behavioural models that were fitted to the same pulse traces. All meet their targets at the voltage
they were planned for; what another voltage or a spread of devices does, each says for itself. The
gradient of the loss, through network, read-out and device, says what to improve first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import xarray as xr
from flax import nnx

import analogjax as aj
from analogjax._checks import check_choice, check_positive, check_whole
from analogjax.crossbar import WeightMapping, fractions_to_weights, layer_key
from analogjax.crossbar import weight_scale, weights_to_levels
from analogjax.data import DataConfig, Split, to_float
from analogjax.devices import AbstractPulseStepDevice, ExpStep, JartVCM, LinearStep, SoftBounds
from analogjax.devices import VTEAM, Yakopcic
from analogjax.networks import NetworkConfig
from analogjax.runs import RunFolder
from analogjax.training import TrainingConfig

AXES = ("set", "reset")
"""SET pulses from the end of low conductance, RESET pulses from that of high conductance."""

PUBLISHED = "Gaussian spread in a public netlist generator for JART VCM v1b-var (listing read)"
QUANTITIES: dict[str, tuple[str, float, str]] = {
    "v_set": ("voltage", 0.01, "assumed"),
    "v_reset": ("voltage", 0.01, "assumed"),
    "width": ("voltage", 0.01, "assumed"),
    "barrier_height": ("material", 0.01, "assumed"),
    "fermi_offset": ("material", 0.01, "assumed"),
    "activation_energy": ("material", 0.01, "assumed"),
    "attempt_frequency": ("material", 0.01, "assumed"),
    "hop_distance": ("material", 0.01, "assumed"),
    "electron_mobility": ("material", 0.01, "assumed"),
    "permittivity": ("material", 0.01, "assumed"),
    "barrier_permittivity": ("material", 0.01, "assumed"),
    "n_min": ("material", 0.25, PUBLISHED),
    "n_max": ("material", 0.05, PUBLISHED),
    "n_plug": ("material", 0.01, "assumed"),
    "radius": ("structure", 5 / 45, PUBLISHED),
    "disc_length": ("structure", 0.1, PUBLISHED),
    "cell_length": ("structure", 0.01, "assumed"),
    "thermal_resistance": ("structure", 0.01, "assumed"),
    "oxide_resistance": ("structure", 0.01, "assumed"),
    "line_resistance": ("structure", 0.01, "assumed"),
}
"""Group, relative standard deviation from device to device, and where that comes from."""
SPREAD = {name: sigma for name, (_, sigma, source) in QUANTITIES.items() if source == PUBLISHED}
"""What is published to differ between devices."""
FARTHEST = 2.5
"""Draws end at so many standard deviations (ours: further out a radius is no longer one)."""


@dataclass
class Config:
    """Network, pulses, and how much differs."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    v_set: float = -0.342
    """Nominal SET pulse [V]; default as Z. Yu et al., arXiv:2403.06746, like the next two."""
    v_reset: float = 0.7065
    """Nominal RESET pulse [V]."""
    width: float = 1e-6
    """Duration of a pulse [s]."""
    g_min: float = 100e-6
    """Conductance where a SET begins [S]; the window is that of Yu et al., read exactly."""
    g_max: float = 543e-6
    """Conductance where a RESET begins [S]."""
    bits: int = 8
    """Levels per device, 2^bits, equally spaced in conductance."""
    models: list[str] = field(default_factory=lambda: list(MODELS))
    offsets: list[float] = field(
        default_factory=lambda: [
            -0.06, -0.03, -0.02, -0.01, -0.005, -0.002, -0.001, -0.0005, -0.0002, 0.0,
            0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.06,
        ]
    )  # fmt: skip
    """Added to the size of the nominal voltage [V]."""
    fit_offset: float = 0.03
    """Models fitted at three voltages see the nominal one and this much less and more [V]."""
    spread: float = 0.03
    """Share of the published spread from device to device in the curves with spread."""
    shares: list[float] = field(default_factory=lambda: [0.01, 0.03, 0.1, 0.3, 1.0])
    """Shares of it for the accuracy at nominal voltage."""
    kinds: int = 512
    """Devices drawn; every device of a chip is one of them."""
    chips: int = 3
    images: int | None = None
    """Test images used; null for all."""
    loss_images: int = 2000
    """Validation images of the loss whose gradient is taken."""
    points: int = 1001
    """Points of the integral over the state; two fifths of them for drawn devices."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("kinds", "chips", "loss_images", "bits"):
            check_whole(name, getattr(self, name))
        for name in ("v_reset", "width", "g_min"):
            check_positive(name, getattr(self, name))
        for model in self.models:
            check_choice("models", model, MODELS)
        if self.v_set >= 0:
            raise ValueError(f"Argument `v_set` must be below 0 V, but is {self.v_set}.")
        if self.g_max <= self.g_min:
            raise ValueError(
                f"Argument `g_max` must be larger than `g_min` ({self.g_min:g} S), "
                f"but is {self.g_max:g}."
            )
        if 0.0 not in self.offsets:
            raise ValueError(f"Argument `offsets` must hold 0, but is {self.offsets}.")

    def volts(self, axis: str, offset: Any = 0.0) -> Any:
        """Return the voltage of an axis whose size is so much larger than the nominal one."""
        return self.v_set - offset if axis == "set" else self.v_reset + offset

    def start(self, axis: str) -> float:
        """Return the conductance that a write begins at [S]."""
        return self.g_min if axis == "set" else self.g_max

    def targets(self) -> np.ndarray:
        """Return the conductance of every level [S]."""
        return np.linspace(self.g_min, self.g_max, 2**self.bits)


# Identical pulses: conductance against their number.


def trace(device: Any, start: Any, v: Any, width: Any, *, points: int) -> tuple[Any, Any]:
    """Return numbers of pulses and the conductance [S] after them.

    n pulses of width w are one of n w where the state moves by ``dx/dt = f(v, x)`` alone, so that
    ``n(x) w`` is the integral of ``dx / f`` from the state whose conductance is `start`. A step
    device takes its steps.
    """
    if isinstance(device, AbstractPulseStepDevice):
        span = device.w_max - device.w_min
        w = device.w_min + span * (start - device.g_min) / (device.g_max - device.g_min)

        def pulse(w, _):
            # Its positive pulse is one up, whatever the sign of the filament's SET.
            return device.step(-v, width, w)[0], w

        _, w = jax.lax.scan(pulse, w, length=points)
        return jnp.arange(points, dtype=float), jax.vmap(device.conductance)(w)
    low, high = _ends(device)
    first = _state_of(device, start, low, high)
    last = jnp.where(v * device.potentiation > 0, high, low)
    # Denser towards both ends, where windows and limiters slow the motion down.
    s, steep = jnp.linspace(-1.0, 1.0, points), 3.0
    tanh, whole = jnp.tanh(steep * s), np.tanh(steep)
    path = first + (last - first) * (0.5 + 0.5 * tanh / whole)
    slope = jnp.abs(last - first) * 0.5 * steep * (1 - tanh**2) / whole
    speed = jax.vmap(partial(device.velocity, jnp.asarray(v)))(path)
    # Below a threshold nothing moves: it takes "for ever", not infinitely long.
    seconds = _integral(slope / jnp.maximum(jnp.abs(speed), 1e-30), 2.0 / (points - 1))
    return seconds / width, jax.vmap(device.conductance)(path)


def _state_of(device, conductance, low, high) -> Any:
    """Return the state of a conductance [S] between two states: a table, then Newton's method.

    The last Newton step alone carries the derivative, which is that of the implicit function.
    """
    states = low + (high - low) * jnp.linspace(0.0, 1.0, 65)
    state = jnp.interp(conductance, jax.vmap(device.conductance)(states), states)
    for _ in range(3):
        state = jax.lax.stop_gradient(state)
        value, slope = jax.jvp(device.conductance, (state,), (jnp.ones_like(state),))
        state = state - (value - conductance) / jax.lax.stop_gradient(slope)
        state = jnp.clip(state, jnp.minimum(low, high), jnp.maximum(low, high))
    return state


def _integral(f, h) -> Any:
    """Return the running integral of f over equal steps h (fourth order)."""
    inner = (13 * (f[1:-2] + f[2:-1]) - f[:-3] - f[3:]) / 24
    first = (5 * f[0] + 8 * f[1] - f[2]) / 12
    last = (5 * f[-1] + 8 * f[-2] - f[-3]) / 12
    # A fast change could make a cubic dip below zero; time only grows.
    parts = jnp.maximum(jnp.concatenate([first[None], inner, last[None]]), 0.0)
    return h * jnp.concatenate([jnp.zeros(1), jnp.cumsum(parts)])


def _ends(device) -> tuple[Any, Any]:
    """Return the states of least and of largest conductance, just inside of where motion stops."""
    if isinstance(device, JartVCM):
        return jnp.log(device.n_min) + 1e-3, jnp.log(device.n_max) - 1e-3
    low, high = (jnp.asarray(bound) for bound in device.bounds())
    inset = 1e-4 * (high - low)
    return (high - inset, low + inset) if isinstance(device, VTEAM) else (low + inset, high - inset)


def plan(config, axis, numbers, conductance) -> np.ndarray:
    """Return the whole number of pulses that a trace gives every level (to half a pulse)."""
    sign = 1.0 if axis == "set" else -1.0
    wanted = np.interp(sign * config.targets(), sign * np.asarray(conductance), np.asarray(numbers))
    return np.round(wanted)


# Behavioural models: parameters from a vector without bounds.


def _window(config, p) -> dict[str, Any]:
    # The window of the model holds that of the writes.
    span = config.g_max - config.g_min
    low = config.g_min * jax.nn.sigmoid(p[0])
    return {"g_min": low, "g_max": config.g_max + span * jnp.exp(p[1])}


def _steps(config, p) -> dict[str, Any]:
    fixed = {"c2c": 0.0, "w_min": -1.0, "w_max": 1.0, "w_0": -1.0}
    return fixed | _window(config, p) | {"dw_min": jnp.exp(p[2]), "up_down": jnp.tanh(p[3])}


def _linear(config, p, volts) -> LinearStep:
    return LinearStep(gamma_up=jnp.exp(p[4]), gamma_down=jnp.exp(p[5]), **_steps(config, p))


def _soft(config, p, volts) -> SoftBounds:
    return SoftBounds(**_steps(config, p))


def _exponential(config, p, volts) -> ExpStep:
    return ExpStep(
        a=1.0, b=0.0, a_up=p[4], gamma_up=jnp.exp(p[5]), a_down=p[6], gamma_down=jnp.exp(p[7]),
        **_steps(config, p),
    )  # fmt: skip


def _vteam(config, p, volts) -> VTEAM:
    window = _window(config, p)
    options: dict[str, Any] = {}
    if volts:
        options = {
            "v_on": 0.95 * config.v_set * jax.nn.sigmoid(p[5]),
            "v_off": 0.95 * config.v_reset * jax.nn.sigmoid(p[6]),
            "alpha_on": jnp.exp(p[7]), "alpha_off": jnp.exp(p[8]),
        }  # fmt: skip
    device = VTEAM(
        window="joglekar", iv="exponential", r_on=1 / window["g_max"], r_off=1 / window["g_min"],
        window_exponent=jnp.exp(p[2]), read_voltage=0.2, **options,
    )  # fmt: skip
    # Speeds at the nominal voltages, so that they do not depend on the thresholds.
    on, _ = device.overdrive(jnp.asarray(config.v_set), jnp.zeros(()))
    _, off = device.overdrive(jnp.asarray(config.v_reset), jnp.zeros(()))
    length = device.w_off - device.w_on
    return device.replace(
        k_on=-length * jnp.exp(p[3]) / on**device.alpha_on,
        k_off=length * jnp.exp(p[4]) / off**device.alpha_off,
    )


def _yakopcic(config, p, volts) -> Yakopcic:
    top = _window(config, p)["g_max"]
    options: dict[str, Any] = {}
    if volts:
        options = {
            "v_n": -0.95 * config.v_set * jax.nn.sigmoid(p[8]),
            "v_p": 0.95 * config.v_reset * jax.nn.sigmoid(p[9]),
        }
    device = Yakopcic(
        eta=-1, a_1=top / 0.05, a_2=top / 0.05, read_voltage=0.2,
        alpha_p=jnp.exp(p[2]), alpha_n=jnp.exp(p[3]),
        x_p=jax.nn.sigmoid(p[4]), x_n=jax.nn.sigmoid(p[5]), **options,
    )  # fmt: skip
    up = jnp.exp(-config.v_set) - jnp.exp(device.v_n)
    down = jnp.exp(config.v_reset) - jnp.exp(device.v_p)
    return device.replace(a_n=jnp.exp(p[6]) / up, a_p=jnp.exp(p[7]) / down)


class Model(NamedTuple):
    """A behavioural model: how a vector of numbers becomes a device."""

    label: str
    build: Callable[..., Any]
    start: tuple[float, ...]
    volts: bool | None = None
    """None: knows no voltage; False: its thresholds are as published; True: fitted, too."""


_S, _R = 9.2, 9.0
"""ln of the speeds to begin with, over one pulse in ten thousand."""
MODELS: dict[str, Model] = {
    "linear_step": Model("linear steps", _linear, (0.0, -1.0, -8.5, 0.0, -2.0, -2.0)),
    "soft_bounds": Model("soft bounds", _soft, (0.0, -1.0, -8.0, 0.0)),
    "exp_step": Model("exponential steps", _exponential, (0.0, -1.0, -8.5, 0.0, -1.0, 1.0, -1.0, 1.0)),
    "yakopcic": Model("Yakopcic", _yakopcic, (0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 4.5, 4.5), False),
    "yakopcic_3v": Model(
        "Yakopcic, 3 voltages", _yakopcic, (0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 4.5, 4.5, 2.0, 2.0), True
    ),
    "vteam": Model("VTEAM", _vteam, (2.0, -2.0, 0.0, 5.5, 5.5), False),
    "vteam_3v": Model("VTEAM, 3 voltages", _vteam, (2.0, -2.0, 0.0, 5.5, 5.5, 0.0, 0.0, 2.0, 2.0), True),
}


def fit(config, name, measured) -> dict[str, np.ndarray]:
    """Fit a model to traces (fraction of the window at some numbers of pulses) by least squares."""
    model = MODELS[name]
    offsets = (-config.fit_offset, 0.0, config.fit_offset) if model.volts else (0.0,)
    span = config.g_max - config.g_min
    rows = [(axis, o, *measured(axis, o)) for axis in AXES for o in offsets]

    def curves(p):
        device = model.build(config, p, model.volts)
        found = []
        for axis, offset, numbers, _ in rows:
            points = int(np.max(numbers)) + 2 if model.volts is None else config.points // 4
            n, g = trace(
                device, config.start(axis), config.volts(axis, offset), config.width, points=points
            )
            found.append((jnp.interp(numbers, n, g) - config.g_min) / span)
        return found

    def residual(p, _):
        return jnp.concatenate([c - f for c, (*_, f) in zip(curves(p), rows, strict=True)])

    solver = optx.LevenbergMarquardt(rtol=1e-6, atol=1e-8)
    solved = optx.least_squares(
        residual, solver, jnp.asarray(model.start), options={"jac": "fwd"}, throw=False, max_steps=400
    )
    found = jax.jit(curves)(solved.value)
    errors = {
        f"rms_{axis}_{1e3 * o:+.0f}": jnp.sqrt(jnp.mean((c - f) ** 2))
        for c, (axis, o, _, f) in zip(found, rows, strict=True)
    }
    return {"p": solved.value, "steps": solved.stats["num_steps"], **errors}


# Filaments that differ.


def changed(config, axis, relative) -> tuple[JartVCM, Any, Any]:
    """Return filament, voltage and width with quantities larger by these relative amounts."""
    device = JartVCM()
    of = {name: 1 + value for name, value in relative.items()}
    device = device.replace(
        **{name: f * getattr(device, name) for name, f in of.items() if hasattr(device, name)}
    )
    return device, config.volts(axis) * of.get(f"v_{axis}", 1.0), config.width * of.get("width", 1.0)


def fractions(config, axis, pulses, relative, offset=0.0, *, points) -> Any:
    """Return the conductance of every level after its pulses, as a fraction of the window."""
    device, v, width = changed(config, axis, relative)
    v = v + (config.volts(axis, offset) - config.volts(axis))
    n, g = trace(device, config.start(axis), v, width, points=points)
    return (jnp.interp(pulses, n, g) - config.g_min) / (config.g_max - config.g_min)


def draws(config, seed, names) -> dict[str, Any]:
    """Return standard normal numbers (truncated), one for each kind of device and quantity."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 3), len(QUANTITIES))
    all_of_them = dict(zip(QUANTITIES, keys, strict=True))
    return {
        name: jax.random.truncated_normal(
            all_of_them[name], -FARTHEST, FARTHEST, (config.kinds,), float
        )
        for name in names
    }


def kinds(config, axis, pulses, relative, offset=0.0) -> Any:
    """Return the fractions of every level for each kind of device, (kinds, levels)."""
    one = partial(fractions, config, axis, pulses, offset=offset, points=config.points // 5 * 2 + 1)
    # In blocks: all at once would need more memory, one at a time more time.
    return jax.lax.map(jax.checkpoint(one), relative, batch_size=64)


# From levels to answers of the network.


class Network(NamedTuple):
    """A trained network taken apart, with a level for each device of its kernels."""

    graph: Any
    kernels: list[tuple[Any, Any]]
    rest: Any
    levels: list[Any]
    scales: list[Any]


MAPPING = WeightMapping(scheme="differential", per="channel", clip="least_squares", space="G")
"""As in the experiment `weight_transfer`: pairs of devices, a full scale per output channel."""


def take_apart(config, model, dtype=jnp.float32) -> Network:
    """Assign levels to the kernels of a trained network."""
    model = nnx.clone(model)
    model.eval()
    for _, layer in nnx.iter_graph(model):
        if isinstance(layer, nnx.Linear):
            layer.dtype = dtype
    graph, kernels, rest = nnx.split(model, lambda path, _: path[-1] == "kernel", ...)
    flat = list(nnx.to_flat_state(kernels))
    options = dict(
        n_levels=2**config.bits, ratio=jnp.float32(config.g_max / config.g_min), mapping=MAPPING
    )
    weights = [kernel.get_value() for _, kernel in flat]
    scales = [weight_scale(w, **options) for w in weights]
    levels = [weights_to_levels(w, s, **options) for w, s in zip(weights, scales, strict=True)]
    return Network(graph, flat, rest, levels, [s.astype(dtype) for s in scales])


def answers(network, table, key, x) -> Any:
    """Return logits of a chip whose devices are kinds drawn at random, rows of a table."""
    state = []
    for (path, kernel), levels, scale in zip(
        network.kernels, network.levels, network.scales, strict=True
    ):
        own = layer_key(key, "/".join(map(str, path[:-1])))
        kind = jax.random.randint(own, levels.shape, 0, table.shape[0], jnp.int32)
        # The border: devices are double precision, networks single.
        held = table.astype(scale.dtype)[kind, levels]
        state.append((path, kernel.replace(fractions_to_weights(held, scale, mapping=MAPPING))))
    return nnx.merge(network.graph, nnx.from_flat_state(state), network.rest)(to_float(x))


def cross_entropy(network, table, key, split) -> Any:
    """Return the mean loss [nat] of a chip."""
    logits = jax.nn.log_softmax(answers(network, table, key, split.x))
    return -jnp.mean(jnp.take_along_axis(logits, split.y[:, None], axis=1).astype(float))


class Reader:
    """Test accuracy of chips, compiled once."""

    def __init__(self, network, test, seed, chips):
        x, y = jnp.asarray(test.x), jnp.asarray(test.y)
        self.keys = [jax.random.fold_in(jax.random.key(seed), chip) for chip in range(chips)]

        @jax.jit
        def right(table, key):
            return jnp.mean(jnp.argmax(answers(network, table, key, x), axis=1) == y)

        self.right = right

    def chips(self, table) -> list[float]:
        """Return the accuracy of every chip; of one where all devices are alike."""
        keys = self.keys if table.shape[0] > 1 else self.keys[:1]
        return [float(self.right(jnp.asarray(table), key)) for key in keys]


# What is computed.


def run(config: Config, run: RunFolder) -> None:
    """Train, plan, fit, write at every voltage, differentiate, report."""
    dataset = config.data.load()
    aj.training.check_data(dataset, config.training)
    test = Split(dataset.test.x[: config.images], dataset.test.y[: config.images])
    trained = aj.training.train_cached(
        config.network, dataset, config.training, seed=run.seed,
        checkpoints=run.path / "checkpoints", progress=run.progress, log=run.log,
    )  # fmt: skip
    digital = float(
        run.stage("digital", lambda: {"a": aj.training.accuracy(trained.model, test)})["a"]
    )
    network = take_apart(config, trained.model)
    reader = Reader(network, test, run.seed, config.chips)
    plans = run.stage("plans", lambda: filament_plans(config))
    spreads = run.stage("spread", lambda: filament_spread(config, run, plans))
    fits = {}
    for name in config.models:
        fits[name] = run.stage(f"fit_{name}", lambda n=name: fit(config, n, measured(config, n)))
    curves = {}
    for name in ("physics", *config.models):
        curves[name] = run.stage(
            f"accuracy_{name}",
            lambda n=name: against_voltage(config, run, reader, n, plans, spreads, fits.get(n)),
        )
    carried = run.stage("carried", lambda: carried_out(config, reader, fits))
    shares = run.stage("shares", lambda: against_spread(config, run, reader, plans))
    loss = Split(
        jnp.asarray(dataset.validation.x[: config.loss_images]),
        jnp.asarray(dataset.validation.y[: config.loss_images]),
    )
    slopes = run.stage("slopes", lambda: gradients(config, run, network, loss, plans))
    checks = run.stage(
        "checks",
        lambda: differences(config, run, take_apart(config, trained.model, float), loss, plans, slopes),
    )


_trace = eqx.filter_jit(trace)


def compiled_trace(config, device, axis, offset, points) -> tuple[np.ndarray, np.ndarray]:
    """Return the trace of a device as NumPy arrays; one compilation for all voltages."""
    given = (config.start(axis), config.volts(axis, offset), config.width)
    n, g = _trace(device, *(jnp.asarray(value, float) for value in given), points=points)
    return np.asarray(n), np.asarray(g)


def filament(config, axis, offset=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the trace of the nominal filament."""
    return compiled_trace(config, JartVCM(), axis, offset, config.points)


def filament_plans(config) -> dict[str, np.ndarray]:
    """Pulses for every level, from the nominal trace of the filament."""
    return {axis: plan(config, axis, *filament(config, axis)) for axis in AXES}


def measured(config, name) -> Callable[..., Any]:
    """Return the traces that a model is fitted to: 201 points from one end to the other."""

    def points(axis, offset):
        n, g = filament(config, axis, offset)
        sign = 1 if axis == "set" else -1
        last = np.interp(sign * (config.g_max + config.g_min - config.start(axis)), sign * g, n)
        numbers = np.linspace(0, last, 201)
        return numbers, (np.interp(numbers, n, g) - config.g_min) / (config.g_max - config.g_min)

    return points


def filament_spread(config, run, plans) -> dict[str, np.ndarray]:
    """Fractions of every level for each kind of filament at every voltage."""
    relative = {
        name: config.spread * SPREAD[name] * z
        for name, z in draws(config, run.seed, SPREAD).items()
    }
    compiled = jax.jit(partial(kinds, config), static_argnums=0)
    with run.progress("kinds of filaments", 2 * len(config.offsets)) as progress:
        tables = {}
        for axis in AXES:
            rows = []
            for offset in config.offsets:
                rows.append(np.asarray(compiled(axis, plans[axis], relative, offset), np.float32))
                progress.advance()
            tables[axis] = np.stack(rows)
    return tables


def against_voltage(config, run, reader, name, plans, spreads, fitted) -> dict[str, np.ndarray]:
    """Accuracy at every voltage: one chip of equal devices, and chips with spread."""
    results = {}
    nominal = config.offsets.index(0.0)
    ideal = np.linspace(0, 1, 2**config.bits)
    with run.progress(name, 2 * len(config.offsets)) as progress:
        for axis in AXES:
            # How wide the filaments' levels are and where they lie, at the nominal voltage alone.
            at_nominal = spreads[axis][nominal]
            shift, sigma = at_nominal.mean(0) - ideal, at_nominal.std(0)
            z = noise(run.seed, at_nominal.shape)
            clean, spread = [], []
            for i, offset in enumerate(config.offsets):
                if name == "physics":
                    curve = filament_fractions(config, axis, plans[axis], offset)
                    table = spreads[axis][i]
                elif MODELS[name].volts is None and clean:
                    clean.append(clean[-1]), spread.append(spread[-1])
                    continue
                else:
                    curve = model_fractions(config, name, fitted["p"], axis, offset)
                    spread_of = [np.interp(curve, ideal, part) for part in (shift, sigma)]
                    table = curve + spread_of[0] + spread_of[1] * z
                clean.append(reader.chips(np.asarray(curve)[None])[0])
                spread.append(reader.chips(table))
                progress.advance()
            results |= {f"{axis}_clean": np.array(clean), f"{axis}_spread": np.array(spread)}
    return results


def filament_fractions(config, axis, pulses, offset=0.0) -> np.ndarray:
    """Fractions of the nominal filament after so many pulses."""
    n, g = filament(config, axis, offset)
    return (np.interp(pulses, n, g) - config.g_min) / (config.g_max - config.g_min)


def model_trace(config, name, p, axis, offset=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Trace of a fitted model."""
    model = MODELS[name]
    # A step device takes its steps one after another: twice what the filament needs.
    most = 2 * int(max(filament_plans(config)[axis])) + 2
    device = model.build(config, jnp.asarray(p), model.volts)
    points = most if model.volts is None else config.points
    return compiled_trace(config, device, axis, offset, points)


def model_fractions(config, name, p, axis, offset) -> np.ndarray:
    """Fractions of a model after the pulses that it plans itself at the nominal voltage."""
    pulses = plan(config, axis, *model_trace(config, name, p, axis))
    n, g = model_trace(config, name, p, axis, offset)
    return (np.interp(pulses, n, g) - config.g_min) / (config.g_max - config.g_min)


def carried_out(config, reader, fits) -> dict[str, np.ndarray]:
    """Accuracy of filaments that get the pulses a model plans, all at the nominal voltage."""
    found = {}
    for name, fitted in fits.items():
        for axis in AXES:
            pulses = plan(config, axis, *model_trace(config, name, fitted["p"], axis))
            found[f"{name}_{axis}"] = reader.chips(filament_fractions(config, axis, pulses)[None])[0]
    return found


def against_spread(config, run, reader, plans) -> dict[str, np.ndarray]:
    """Accuracy at the nominal voltage against the share of the published spread.

    Of filaments, and of devices whose conductances have the same mean and standard deviation at
    every level, but are normally distributed.
    """
    z = draws(config, run.seed, SPREAD)
    compiled = jax.jit(partial(kinds, config), static_argnums=0)
    found: dict[str, list] = {f"{axis}{kind}": [] for axis in AXES for kind in ("", "_normal")}
    with run.progress("shares of the spread", 2 * len(config.shares)) as progress:
        for share in config.shares:
            relative = {name: share * SPREAD[name] * z[name] for name in SPREAD}
            for axis in AXES:
                table = np.asarray(compiled(axis, plans[axis], relative), np.float32)
                normal = table.mean(0) + table.std(0) * noise(run.seed, table.shape)
                found[axis].append(reader.chips(table))
                found[f"{axis}_normal"].append(reader.chips(normal))
                progress.advance()
    return {name: np.array(values) for name, values in found.items()}


def noise(seed, shape) -> np.ndarray:
    """Standard normal numbers for the conductances of devices that know no parameters."""
    key = jax.random.fold_in(jax.random.key(seed), 4)
    return np.asarray(jax.random.normal(key, shape, jnp.float32))


# What to improve first.


def expected_loss(config, seed, network, split, plans) -> Callable[..., Any]:
    """Return the loss [nat], mean of SET and RESET writes, of chips whose every quantity differs.

    As a function of two dictionaries by quantity: ``centre``, a relative change of all devices
    alike, and ``log_spread``, the logarithm of a factor on its spread from device to device. The
    pulses are those planned for the nominal filament.
    """
    z = draws(config, seed, QUANTITIES)
    sigma = {name: config.spread * tolerance for name, (_, tolerance, _) in QUANTITIES.items()}
    keys = [jax.random.fold_in(jax.random.key(seed), 5 + chip) for chip in range(config.chips)]

    def loss(at):
        relative = {
            name: at["centre"][name] + jnp.exp(at["log_spread"][name]) * sigma[name] * z[name]
            for name in QUANTITIES
        }
        tables = [kinds(config, axis, plans[axis], relative) for axis in AXES]
        each = [cross_entropy(network, table, key, split) for table in tables for key in keys]
        return sum(each) / len(each)

    return loss


def origin() -> dict[str, dict[str, Any]]:
    """Nothing changed."""
    return {part: {name: jnp.zeros(()) for name in QUANTITIES} for part in ("centre", "log_spread")}


def gradients(config, run, network, split, plans) -> dict[str, np.ndarray]:
    """One reverse pass through network, read-out and filaments; and what moves switching times."""
    loss = expected_loss(config, run.seed, network, split, plans)
    value, slope = jax.jit(jax.value_and_grad(loss))(origin())
    found = {f"{part}_{name}": x for part, each in slope.items() for name, x in each.items()}
    half = 0.5 * (config.g_min + config.g_max)

    def log_time(axis, relative):
        device, v, width = changed(config, axis, relative)
        n, g = trace(device, config.start(axis), v, width, points=config.points)
        sign = 1.0 if axis == "set" else -1.0
        return jnp.log(jnp.interp(sign * half, sign * g, n))

    zero = origin()["centre"]
    for axis in AXES:
        for name, x in jax.jit(jax.grad(partial(log_time, axis)))(zero).items():
            found[f"time_{axis}_{name}"] = x
    return {"value": value, **found}


def differences(config, run, network, split, plans, slopes) -> dict[str, np.ndarray]:
    """Central differences of the three largest effects, with the network in double precision."""
    loss = jax.jit(expected_loss(config, run.seed, network, split, plans))

    def difference(name, step):
        values = []
        for sign in (1, -1):
            at = origin()
            at["log_spread"][name] = jnp.asarray(sign * step)
            values.append(float(loss(at)))
        return (values[0] - values[1]) / (2 * step)

    found = {}
    for name in largest(slopes)[:3]:
        # Extrapolated: removes the error of second order.
        found[name] = (4 * difference(name, 1e-4) - difference(name, 2e-4)) / 3
    return found


def largest(slopes) -> list[str]:
    """Quantities by how much of the loss their spread makes, the largest first."""
    return sorted(QUANTITIES, key=lambda name: -abs(float(slopes[f"log_spread_{name}"])))
