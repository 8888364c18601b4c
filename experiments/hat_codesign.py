"""Design films for a network: pulse schedule, electrodes and domain front, by the network's loss.

A network 4-8-3 of Iris is 112 films, each its own two-dimensional vacancy equation, which differ.
Its cross-entropy on training flowers is differentiated through every film: by the amplitudes of its
own pulses, and by what all films share. Four trainings from one start let ever more of it move:
amplitudes; the schedule of the pulses too; the electrodes too; the front of the formed domain too.
Each shared quantity is kept within a stated range by a bijection. All are judged on the same films
that no training saw, beside longer training with noise, and beside the design alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from flax import nnx

import analogjax as aj
from analogjax._checks import check_not_negative, check_positive, check_whole
from analogjax.crossbar import DeviceStatistics, Hardware, WeightMapping, WrittenError
from analogjax.data import standardised_split
from analogjax.devices import FourTerminalTiO2, Spread
from analogjax.networks import MLP, convert_to_analog
from analogjax.plotting import COLORS
from analogjax.programming import VacancyWriting
from analogjax.runs import RunFolder
from analogjax.simulation import Multirate
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    Physical,
    held_out_keys,
    paired_difference,
)

MAPPING = WeightMapping("differential", "layer", "max", space="G")

SCHEDULE = ("pulse_width_0", "pulse_width_1", "pulse_gap")
FRONT = ("front_position", "front_width")
DESIGNS = {
    "amplitudes": (),
    "schedule": SCHEDULE,
    "electrodes": (*SCHEDULE, "electrode_arm"),
    "front": (*SCHEDULE, "electrode_arm", *FRONT),
}
"""What all films share that each training moves, beside the amplitudes of every film."""
QUANTITIES = DESIGNS["front"]
UNITS = dict(zip(QUANTITIES, ("s", "s", "s", "L", "L", "L"), strict=True))
ARMS = {
    "noise": "more steps with noise, planned and written",
    "amplitudes": "amplitudes",
    "schedule": "amplitudes, schedule",
    "electrodes": "amplitudes, schedule, electrodes",
    "front": "amplitudes, schedule, electrodes, front",
    "planned": "start, planned and written on the design of all",
}


@dataclass
class Config:
    """Films and their ranges, networks, trainings and evaluation."""

    cells: int = 12
    """Cells along each side of a film: few, a quarter of the cost of 24."""
    film: dict[str, float] = field(default_factory=lambda: {"sigma_background": 5.0})
    """Parameters of the film other than the device's own (assumed, for a window to start from)."""
    widths: list[float] = field(default_factory=lambda: [7.5, 7.5])
    """Of the two pulses of a write at the start [s]."""
    gap: float = 1.0
    """Between them at the start [s]."""
    ranges: dict[str, list[float]] = field(
        default_factory=lambda: {
            "pulse_width_0": [4.0, 12.0],
            "pulse_width_1": [4.0, 12.0],
            "pulse_gap": [0.2, 5.0],
            "electrode_arm": [0.15, 0.4],
            "front_position": [-0.4, -0.15],
            "front_width": [0.09, 0.2],
        }
    )
    """Within which each shared quantity is trained [s, and sides of the film]; assumed."""
    amplitude: float = 5.0
    """Of the pulses at both ends of the window, and the largest [V]."""
    differs: list[str] = field(
        default_factory=lambda: ["attempt_frequency", "sigma_1", "thickness"]
    )
    """Parameters in which films differ, each by itself."""
    spread: float = 0.05
    """Standard deviation of the logarithm of each."""
    solves: int = 1
    """Stretches of a pulse, two solutions of the potential each."""
    substeps: int = 24
    """Steps of the vacancies in each."""
    side_by_side: int = 16
    """Films solved side by side."""
    hidden: int = 8
    """Neurons of the hidden layer."""
    splits: int = 5
    """Random stratified splits of the 150 flowers; each has networks and films of its own."""
    held_out: int = 45
    """Flowers held out."""
    noise_steps: int = 200
    """Steps of the training with noise, from which all others start."""
    noise_learning_rate: float = 0.03
    """Its largest learning rate."""
    weight_decay: float = 0.1
    """Of it, times the learning rate."""
    steps: int = 20
    """Steps of each training through the films, and as many more with noise."""
    learning_rate: float = 0.01
    """Their largest learning rate (biases)."""
    drive_rate: float = 4.0
    """Learning rate of amplitudes [V], over that of biases."""
    design_rate: float = 10.0
    """That of what films share (log odds within its range), over that of amplitudes."""
    levels: int = 9
    """Conductances at which the error of planned films is measured."""
    samples: int = 16
    """Films at each."""
    chips: int = 2
    """Chips on which each network is judged."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("held_out", "noise_steps", "steps", "samples", "chips", "hidden"):
            check_whole(name, getattr(self, name))
        # Differences are paired over splits, and one has no interval.
        check_whole("splits", self.splits, 2)
        for name in ("drive_rate", "gap"):
            check_positive(name, getattr(self, name))
        check_not_negative("spread", self.spread)


def run(config: Config, run: RunFolder) -> None:
    """Measure the error at the start, train and judge on every split, report."""
    study = Study(config, run.seed)
    start = run.stage("start", lambda: study.planned_error(study.writing))
    parts = [
        run.stage(f"split{i}", lambda i=i: study.one_split(i, start)) for i in range(config.splits)
    ]
    found = {key: np.stack([part[key] for part in parts]) for key in parts[0]}
    report(config, run, study, start, found)


# Films.


def make_writing(config: Config) -> VacancyWriting:
    """Return the writing of the films that all trainings start from."""
    return VacancyWriting(
        FourTerminalTiO2(config.cells, **config.film),
        widths=config.widths,
        gap=config.gap,
        low=-config.amplitude,
        high=config.amplitude,
        spread=Spread({name: config.spread for name in config.differs}),
        solver=Multirate(config.solves, config.substeps),
        batch=config.side_by_side,
        precision="float32",
    )


def nominal(writing: VacancyWriting) -> dict[str, float]:
    """Return the shared quantities of a writing, by name."""
    assert writing.gap is not None
    values = {f"pulse_width_{k}": float(w) for k, w in enumerate(writing.widths)}
    values |= {"pulse_gap": float(writing.gap)}
    return values | {n: float(getattr(writing.device, n)) for n in ("electrode_arm", *FRONT)}


def families(config: Config, writing: VacancyWriting) -> dict[str, Physical]:
    """Return the training of each design: ranges as bounds of relative changes.

    All are one compiled program: what a training does not move has the learning rate 0.
    """
    at = nominal(writing)
    bounds = {n: sorted(end / at[n] - 1 for end in config.ranges[n]) for n in QUANTITIES}
    return {
        arm: Physical(
            writing,
            design={n: (low, high) for n, (low, high) in bounds.items()},
            design_rates={n: config.design_rate * (n in moved) for n in QUANTITIES},
        )
        for arm, moved in DESIGNS.items()
    }


def planned_anew(writing: VacancyWriting) -> VacancyWriting:
    """Return a writing whose window and plan are those of its films as they now are."""
    widths, gap, most = np.asarray(writing.widths), writing.gap, float(writing.limit)
    assert gap is not None
    return VacancyWriting(
        writing.device, widths=widths, gap=float(gap), low=-most, high=most,
        spread=writing.spread, solver=writing.solver, batch=writing.batch,
        precision=writing.precision,
    )  # fmt: skip


# Training and judging.


class Study:
    """Trainings that are compiled once, and what they give on each split."""

    def __init__(self, config: Config, seed: int):
        """Prepare films and flowers."""
        self.config, self.seed = config, seed
        self.writing = make_writing(config)
        self.families = families(config, self.writing)
        data = aj.data.load("iris", validation=0.0)
        self.x = np.concatenate([data.train.x, data.test.x])
        self.y = np.concatenate([data.train.y, data.test.y])
        self._kept: dict[str, AnalogTraining] = {}

    def planned_error(self, writing: VacancyWriting) -> dict:
        """Return the window of a writing [S], and what planned films hold beside their plan."""
        key = jax.random.fold_in(jax.random.key(self.seed), 77)
        config = self.config
        error = WrittenError.measure(
            writing, key=key, targets=config.levels, repeats=config.samples
        )
        return {"window": jnp.stack(writing.window), "mean": error.mean, "std": error.std}

    def hardware(self, start: dict | None = None) -> Hardware:
        """Return films of the window of the start, with the error of planned ones or without."""
        low, high = (float(g) for g in self.writing.window)
        error = None if start is None else WrittenError(start["std"], mean=start["mean"])
        return Hardware(DeviceStatistics(1 / high, 1 / low, error), MAPPING, bits=None)

    def network(self, seed: int, hardware: Hardware):
        """Return a network with random weights on this hardware."""
        shape, hidden = (4,), (self.config.hidden,)
        model = MLP(input_shape=shape, classes=3, hidden=hidden, rngs=nnx.Rngs(seed))
        return convert_to_analog(model, hardware)

    def on_films(self, model):
        """Return a trained network on films whose errors are those of their physics alone."""
        new = self.network(0, self.hardware())
        nnx.update(new, nnx.state(model, nnx.Param))
        return new

    def training(self, kind: str, analog, train, seed: int, **options) -> AnalogTraining:
        """Return a training, of weights or films; that of a kind is compiled once."""
        if kind not in self._kept:
            self._kept[kind] = AnalogTraining(
                analog, train, batch=len(train.y), seed=seed, **options
            )
        return self._kept[kind].again(analog, train, seed=seed, family=options["family"])

    def judge(self, index: int, model, writing, trained, split) -> list[float]:
        """Return mean accuracy, cross-entropy and failed films on chips that no training saw."""
        keys = held_out_keys(self.seed + index, self.config.chips)
        graph, state = nnx.split(model)
        family, x, y = Physical(writing), jnp.asarray(split.x), jnp.asarray(split.y)
        held = [_judged(graph, state, family, trained | {"design": {}}, k, x, y) for k in keys]
        return np.asarray(held, float).mean(0).tolist()

    def one_split(self, i: int, start: dict) -> dict:
        """Return what all trainings of a split gave, and films of the design of all quantities.

        ``judged`` (arms; accuracy, cross-entropy, failed films), ``loss`` and ``failed``
        (trainings, steps), ``design`` (trainings, steps, quantities), and those of `planned_error`.
        """
        config, seed = self.config, self.seed + i
        train, test = standardised_split(self.x, self.y, config.held_out / len(self.y), seed)
        first = self.training(
            "first", self.network(seed, self.hardware(start)), train, seed,
            steps=config.noise_steps, learning_rate=config.noise_learning_rate,
            weight_decay=config.weight_decay, family=NoiseInjection(),
        )  # fmt: skip
        noisy = first.model(first.all_steps())
        options = {"steps": config.steps, "learning_rate": config.learning_rate}
        more = self.training("noise", noisy, train, seed + 1, family=NoiseInjection(), **options)
        begun = self.on_films(noisy)
        judged = {}

        def planned_and_judged(arm, model, writing):
            model = self.on_films(model)
            judged[arm] = self.judge(i, model, writing, Physical(writing).start(model), test)

        planned_and_judged("noise", more.model(more.all_steps()), self.writing)
        loss, failed, designs = [], [], []
        for arm, family in self.families.items():
            training = self.training(
                "films", begun, train, seed + 1, family=family, family_rate=config.drive_rate,
                **options,
            )  # fmt: skip
            state, moved = training.start(), []
            for _ in range(config.steps):
                moved.append(self.values(family, training.trained(state)))
                state = training.advance(state)
            trained = training.trained(state)
            designs.append([*moved, self.values(family, trained)])
            loss.append(state.loss)
            failed.append(state.failed)
            writing = self.writing.changed(family.changes(trained))
            judged[arm] = self.judge(i, training.model(state), writing, trained, test)
        designed = planned_anew(writing)
        planned_and_judged("planned", begun, designed)
        return {
            "judged": np.asarray([judged[arm] for arm in ARMS]),
            "loss": np.asarray(loss),
            "failed": np.asarray(failed),
            "design": np.asarray(designs),
            **self.planned_error(designed),
        }

    def values(self, family: Physical, trained) -> list[float]:
        """Return the shared quantities in their own units."""
        changes = family.changes(trained)
        return [v * (1 + float(changes.get(n, 0.0))) for n, v in nominal(self.writing).items()]


@eqx.filter_jit
def _judged(graph, state, family, trained, key, x, y):
    """Return the accuracy and cross-entropy of a network on one chip, and its failed films."""
    chip = family.chip(nnx.merge(graph, state), trained, key=key)
    answers = chip.model(x)
    right = jnp.mean(jnp.argmax(answers, -1) == y, dtype=answers.dtype)
    loss = optax.softmax_cross_entropy_with_integer_labels(answers, y.astype(jnp.int32))
    return right, jnp.mean(loss), chip.failed


# What is reported.


def report(config, run, study, start, found) -> None:
    """Write metrics, figures and sentences."""
    held = {arm: found["judged"][:, k] for k, arm in enumerate(ARMS)}
    for arm, values in held.items():
        accuracy, loss, failed = values.mean(0)
        run.metric(f"accuracy_{arm}", float(accuracy), ARMS[arm])
        run.metric(f"cross_entropy_{arm}", float(loss), "held out [nat]")
        run.metric(f"failed_films_{arm}", float(failed), "masked, a chip")
    rows = []
    pairs = [("amplitudes", "noise"), ("schedule", "amplitudes"), ("electrodes", "schedule"),
             ("front", "electrodes"), ("front", "amplitudes"), ("front", "noise"),
             ("front", "planned"), ("planned", "noise")]  # fmt: skip
    differences = {}
    for a, b in pairs:
        accuracy, loss = (paired_difference(held[a][:, k], held[b][:, k]) for k in (0, 1))
        differences[a, b] = accuracy, loss
        for name, pair in (("accuracy", accuracy), ("cross_entropy", loss)):
            run.metric(f"{name}_{a}_minus_{b}", pair.mean, "mean over splits, paired")
            run.metric(f"{name}_{a}_minus_{b}_half_width", pair.half_width, "95 % interval")
        rows.append(
            (f"{a} - {b}", f"{100 * accuracy.mean:+.2f} +- {100 * accuracy.half_width:.2f}",
             f"{loss.mean:+.4f} +- {loss.half_width:.4f}")
        )  # fmt: skip
    for k, name in enumerate(QUANTITIES):
        values = found["design"][:, -1, -1, k]
        run.metric(f"{name}_found", float(values.mean()), f"[{UNITS[name]}], all quantities free")
        run.metric(f"{name}_found_std", float(values.std(ddof=1)) if values.size > 1 else 0.0)
    before, after = float(np.mean(start["std"])), found["std"].mean(1)
    ratio = found["window"][:, 1] / found["window"][:, 0]
    low, high = (float(g) for g in start["window"])
    run.metric("planned_error_before", before, "of films [window]")
    run.metric("planned_error_after", float(after.mean()), "mean over designs [window]")
    run.metric("window_ratio_before", high / low)
    run.metric("window_ratio_after", float(ratio.mean()), "mean over designs")
    failed = int(found["failed"].sum())
    run.metric("failed_in_training", failed, "films masked, all steps, trainings and splits")

    accuracy, loss = differences["front", "amplitudes"]
    run.summary(
        f"Iris, {config.splits} splits, {config.chips} chips each that no training saw: "
        + "; ".join(f"{ARMS[a]} {100 * v[:, 0].mean():.2f} %" for a, v in held.items())
        + f". All quantities free beside amplitudes alone: {100 * accuracy.mean:+.2f} +- "
        f"{100 * accuracy.half_width:.2f} points, {loss.mean:+.4f} +- {loss.half_width:.4f} nat."
    )
    run.section(
        "What was trained",
        f"112 films of a network 4-{config.hidden}-3 as pairs, {config.cells} x {config.cells} "
        f"cells, {', '.join(config.differs)} of each {100 * config.spread:g} % apart. All start "
        f"from {config.noise_steps} steps with the noise of planned films, and take {config.steps} "
        "steps more on other films each. Ranges are assumed. Masked in training: "
        f"{failed} of {found['failed'].size * 14 * config.hidden} films.",
    )
    run.table(
        "Held out, mean over splits",
        ("", "accuracy (%)", "cross-entropy (nat)", "masked films"),
        [
            (ARMS[a], f"{100 * accuracy:.2f}", f"{loss:.4f}", f"{failed:.2f}")
            for a, (accuracy, loss, failed) in ((a, v.mean(0)) for a, v in held.items())
        ],
    )
    run.table(
        "Differences, paired over splits, 95 %",
        ("", "accuracy (points)", "cross-entropy (nat)"),
        rows,
    )
    run.figure("loss", _losses(held), "Held-out cross-entropy; a line is a split.")
    at = nominal(study.writing)
    run.table(
        "Designs, all quantities free",
        ("", "unit", "range", "start", "found (mean)", "standard deviation over splits"),
        [
            (n, UNITS[n], "{:g} to {:g}".format(*config.ranges[n]), f"{at[n]:.3g}",
             f"{found['design'][:, -1, -1, k].mean():.3g}",
             f"{found['design'][:, -1, -1, k].std():.2g}")
            for k, n in enumerate(QUANTITIES)
        ],
    )  # fmt: skip
    run.figure("designs", _designs(config, found), "Shared quantities while they learn, all free.")
    run.section(
        "What the designs do to films",
        f"Planned anew on them, films are {100 * after.mean():.1f} % of their window off (standard "
        f"deviation, mean over levels and designs), {100 * before:.1f} % at the start; the window "
        f"is a ratio of {ratio.mean():.2f}, at the start {high / low:.2f}.",
    )
    run.figure("learning", _learning(found), "Cross-entropy of training, mean over splits.")
    run.dataset(
        "designs",
        xr.Dataset(
            {
                "design": (
                    ("split", "training", "step", "quantity"), found["design"],
                    {"units": ", ".join(UNITS.values())},
                )
            },
            coords={"training": list(DESIGNS), "quantity": list(QUANTITIES)},
        ),
    )  # fmt: skip
    run.dataset(
        "held_out",
        xr.Dataset(
            {
                f"{kind}_{arm}": ("split", v[:, k], {"units": unit})
                for arm, v in held.items()
                for k, (kind, unit) in enumerate((("accuracy", "1"), ("cross_entropy", "nat")))
            }
        ),
    )


def _losses(held):
    fig, axis = aj.plotting.figure(width=6.0, height=2.6)
    values = np.stack([v[:, 1] for v in held.values()])[::-1]
    rows = np.arange(len(values))
    axis.plot(values, rows, "-", color=COLORS[5], lw=0.7, alpha=0.6)
    axis.plot(values.mean(1), rows, "o", color=COLORS[1])
    axis.set_yticks(rows, [ARMS[a] for a in held][::-1])
    axis.set_xlabel("held-out cross-entropy (nat)")
    return fig


def _designs(config, found):
    fig, axes = aj.plotting.figure(2, 3, width=2.6, height=2.1)
    steps = np.arange(config.steps + 1)
    for k, (axis, name) in enumerate(zip(np.ravel(axes), QUANTITIES, strict=True)):
        axis.plot(steps, found["design"][:, -1, :, k].T, color=COLORS[1], lw=0.8, alpha=0.7)
        for end in config.ranges[name]:
            axis.axhline(end, color=COLORS[5], lw=1, ls=":")
        axis.set_ylabel(f"{name} ({UNITS[name]})")
        axis.set_xlabel("step")
    return fig


def _learning(found):
    fig, axis = aj.plotting.figure(width=5.0)
    steps = np.arange(1, found["loss"].shape[-1] + 1)
    for k, arm in enumerate(DESIGNS):
        axis.plot(steps, found["loss"][:, k].mean(0), "o-", ms=3, color=COLORS[k], label=ARMS[arm])
    axis.set_xlabel("step")
    axis.set_ylabel("cross-entropy (nat)")
    axis.legend()
    return fig
