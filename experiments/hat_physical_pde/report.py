"""What came out: accuracies on films no training saw, what a step costs, what films look like."""

from __future__ import annotations

import numpy as np
import xarray as xr

import analogjax as aj
from analogjax.plotting import COLORS
from analogjax.training import paired_difference

from .study import ARMS

NAMES = {
    "digital": "digital, float32",
    "transfer": "digital, planned and written",
    "noise": "trained with noise, planned and written",
    "physical": "trained through the films",
}


def report(config, run, writing, films, tuning, factor, cost, found, drift, maps) -> None:
    """Write metrics, figures and sentences."""
    values = {"digital": found["digital"]} | {
        arm: found["accuracy"][:, j].mean(-1) for j, arm in enumerate(ARMS)
    }
    for name, value in values.items():
        run.metric(f"accuracy_{name}", float(value.mean()), NAMES[name])
    pairs = {
        "physical_noise": paired_difference(values["physical"], values["noise"]),
        "physical_transfer": paired_difference(values["physical"], values["transfer"]),
        "noise_transfer": paired_difference(values["noise"], values["transfer"]),
        "digital_physical": paired_difference(values["digital"], values["physical"]),
    }
    for name, pair in pairs.items():
        run.metric(f"difference_{name}", pair.mean, "mean over splits, paired")
        run.metric(f"half_width_{name}", pair.half_width, "95 % interval of this mean")
    failed = int(found["failed_training"].sum())
    run.metric("failed_in_training", failed, "films masked, all steps and splits")
    run.metric("failed_in_evaluation", int(found["failed"].sum()), "films masked")
    run.metric("noise_std", float(films["std"]), "of planned films that differ [window]")
    run.metric("noise_mean", float(films["mean"]), "of planned films that differ [window]")
    run.metric("noise_factor", float(factor), "chosen on validation splits")
    run.metric("time_error", float(films["time_error"].max()), "of the time steps [window]")
    low, high = (float(g) for g in films["own_window"])
    run.metric("window_ratio", high / low, "largest over smallest nominal conductance")

    said = {name: f"{100 * value.mean():.2f} %" for name, value in values.items()}
    run.summary(
        f"Iris, 4-{config.hidden}-3 in {count(config)} films of {config.cells} x {config.cells} "
        f"cells, {config.splits} splits, {config.chips} chips each that no training saw: "
        f"{said['digital']} digital, {said['transfer']} planned and written, {said['noise']} "
        f"trained with noise of the films' size, {said['physical']} trained through the films' "
        f"equations. Physical training and training with noise differ by "
        f"{points(pairs['physical_noise'])} points."
    )
    run.section(
        "Films and pulses",
        f"Each weight is a pair of four-terminal films, each with its own two-dimensional vacancy "
        f"equation, which starts in its formed state. {len(config.widths)} pulses of "
        f"{', '.join(f'{w:g}' for w in config.widths)} s between -{config.amplitude:g} and "
        f"+{config.amplitude:g} V take the conductance from {1e6 * low:.2f} to {1e6 * high:.2f} uS "
        f"(ratio {high / low:.2f}); parameters other than the device's own are "
        f"{listed(config.film)} (assumed, for a wide window). From film to film "
        f"{', '.join(config.differs)} differ by {100 * config.spread:g} % each (standard deviation "
        f"of the logarithm, independent). A planned film then is {100 * films['mean']:+.1f} +- "
        f"{100 * films['std']:.1f} % of the window off. Digital are the biases and one full scale "
        f"a layer.",
    )
    run.section(
        "What was trained",
        f"The digital network and the one with noise are trained for {config.steps} steps of all "
        f"training flowers. From the one with noise two trainings go on for "
        f"{config.physical_steps} steps each: with noise, or on the planned amplitudes of every "
        f"film's own pulses, biases and full scales, through the equations of "
        f"{count(config)} other films at every step. The size of the noise, {factor:g} times that "
        f"of films, was chosen from {', '.join(f'{f:g}' for f in config.noise_factors)} on "
        f"{config.tuning_splits} other splits and other chips. The gradient is pushed forward with "
        f"every film's solution, one tangent a pulse. {failed} films failed in training; they are "
        f"masked.",
    )
    seconds = found["seconds"].mean(0)
    forward, step = cost["forward"], cost["step"]
    run.section(
        "Cost",
        f"Writing {count(config)} films takes {forward[1]:.2f} s of processor, a step of training "
        f"{step[1]:.2f} s, {step[1] / forward[1]:.1f} times as much; wall "
        f"{forward[0]:.2f} and {step[0]:.2f} s. Peak memory of the process: "
        f"{float(cost['peak_gib']):.2f} GiB. A split took {seconds.sum():.0f} s: "
        f"{seconds[0]:.1f} s of both trainings, {seconds[1]:.1f} s of more steps with noise, "
        f"{seconds[2]:.1f} s of steps through films, {seconds[3]:.1f} s of evaluation (times of "
        f"this machine, whatever else it did). Against tight tolerances in float64 the time steps "
        f"in float32 are at most {100 * films['time_error'].max():.3f} % of the window off.",
    )
    run.figure("accuracy", _accuracies(values), "Held-out accuracy: mean over splits, 95 %.")
    run.table(
        "Paired differences (points)",
        ("", "mean", "95 %"),
        [
            (name.replace("_", " - "), f"{100 * p.mean:+.2f}", f"+- {100 * p.half_width:.2f}")
            for name, p in pairs.items()
        ],
    )
    run.figure("learning", _learning(found), "Loss of the steps after the training with noise.")
    run.figure("drives", _drives(found), "Amplitudes of all films of the first split.")
    run.figure(
        "maps",
        _maps(config, writing, maps),
        "Vacancies of nominal films, fresh and after the pulses of fractions 0, 0.5 and 1.",
    )
    run.figure("rest", _rests(drift), "Accuracy after rests; the films forget.")
    times = drift["times"]
    for j, arm in enumerate(ARMS):
        for k, t in enumerate(times):
            value = drift["accuracy"][:, j, k].mean()
            run.metric(
                f"accuracy_{arm}_after_{t:g}s", float(value), f"{len(drift['accuracy'])} splits"
            )
    run.dataset(
        "accuracy",
        xr.Dataset(
            {"digital": ("split", found["digital"], {"units": "1"})}
            | {
                arm: (("split", "chip"), found["accuracy"][:, j], {"units": "1"})
                for j, arm in enumerate(ARMS)
            }
        ),
    )


def count(config) -> int:
    """Return the number of films of a network."""
    return 2 * (4 * config.hidden + 3 * config.hidden)


def points(pair) -> str:
    """Say a difference in points of accuracy."""
    return f"{100 * pair.mean:+.2f} +- {100 * pair.half_width:.2f}"


def listed(film) -> str:
    """Say which parameters a film has."""
    return ", ".join(f"{name} {value:g}" for name, value in film.items())


def _accuracies(values):
    fig, axis = aj.plotting.figure(width=6.0, height=2.2)
    rows = list(values)[::-1]
    for row, name in enumerate(rows):
        pair = paired_difference(values[name], np.zeros_like(values[name]))
        axis.errorbar(
            100 * pair.mean, row, xerr=100 * pair.half_width, fmt="o", capsize=3,
            color=COLORS[1 if name == "physical" else 0],
        )  # fmt: skip
    axis.axvline(95, color=COLORS[5], lw=1, ls=":")
    axis.set_yticks(range(len(rows)), [NAMES[name] for name in rows])
    axis.set_ylim(-0.5, len(rows) - 0.5)
    axis.set_xlabel("held-out accuracy (%)")
    return fig


def _learning(found):
    fig, axis = aj.plotting.figure(width=5.4)
    steps = np.arange(1, found["loss"].shape[1] + 1)
    for name, key, color in (
        ("through films", "loss", COLORS[1]),
        ("with noise", "loss_noise", COLORS[0]),
    ):
        low, middle, high = np.quantile(found[key], [0.25, 0.5, 0.75], axis=0)
        axis.fill_between(steps, low, high, color=color, alpha=0.25, lw=0)
        axis.plot(steps, middle, "o-", ms=3, color=color, label=f"{name} (median, quartiles)")
    axis.set_xlabel("step after the training with noise")
    axis.set_ylabel("cross-entropy (nat)")
    axis.legend()
    return fig


def _drives(found):
    leaves = sorted(k for k in found if k.startswith("physical") and found[k].ndim == 5)
    before, after = (
        np.concatenate(
            [found[k.replace("physical", arm)][0].reshape(-1, found[k].shape[-1]) for k in leaves]
        )
        for arm in ("noise", "physical")
    )
    fig, axis = aj.plotting.figure(width=4.4, height=3.6)
    for pulse in range(before.shape[1]):
        axis.plot(
            before[:, pulse], after[:, pulse], "o", ms=3, color=COLORS[pulse],
            label=f"pulse {pulse + 1}",
        )  # fmt: skip
    ends = [before.min(), before.max()]
    axis.plot(ends, ends, color=COLORS[5], lw=1)
    axis.set_xlabel("planned after training with noise (V)")
    axis.set_ylabel("trained through films (V)")
    axis.legend()
    return fig


def _maps(config, writing, maps):
    names = {"fresh": "formed", "low": "fraction 0", "middle": "fraction 0.5", "high": "fraction 1"}
    fig, axes = aj.plotting.figure(1, 4, width=2.3, height=2.4)
    side = 1e6 * float(writing.device.side)
    arm = float(writing.device.electrode_arm)
    image = None
    for axis, (key, title) in zip(axes, names.items(), strict=True):
        image = aj.plotting.film_map(axis, maps[key], side, arm, vmin=0.0, vmax=3.0)
        axis.set_title(title)
        axis.set_xlabel("x (um)")
    axes[0].set_ylabel("y (um)")
    fig.colorbar(image, ax=list(axes), label="vacancies (1e26 / m$^3$)")
    return fig


def _rests(drift):
    fig, axis = aj.plotting.figure(width=5.0)
    labels = [f"{t:g} s" for t in drift["times"]]
    for j, arm in enumerate(ARMS):
        mean = drift["accuracy"][:, j].mean((0, 2))
        axis.plot(range(len(labels)), 100 * mean, "o-", ms=4, color=COLORS[j], label=NAMES[arm])
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlabel("time since writing")
    axis.set_ylabel("held-out accuracy (%)")
    axis.legend()
    return fig
