"""Train a network with the noise of the hardware it will be written into.

Three questions. Does training with noise give what a known simulator reports of it? What if the
noise of the training is not that of the hardware? And what is left after a year of drift? All
networks are judged on the same chips, which no training saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

import analogjax as aj
from analogjax._checks import check_whole
from analogjax.crossbar import DeviceStatistics, GaussianError, Hardware, WeightMapping
from analogjax.crossbar.nonidealities import NormalVariation, ProgrammedCells, WeightNoise
from analogjax.data import DataConfig, Split
from analogjax.devices import PCM
from analogjax.networks import NetworkConfig, convert_to_analog, with_hardware
from analogjax.runs import RunFolder
from analogjax.training import (
    AnalogTraining,
    NoiseInjection,
    TrainingConfig,
    accuracy,
    accuracy_on_chips,
    held_out_keys,
    iso_accuracy,
    mismatch_matrix,
    paired_difference,
    train_cached,
    tune_in_run,
)

BITS = 8
REPORTED = {"digital": 0.9898, "written": 0.9374, "trained": 0.9762}
"""What the known simulator reports: digital, written, and written after training in the loop."""
NAMES = {"s": 1.0, "h": 3600.0, "day": 86400.0, "year": 31536000.0}
NETWORKS = {"plain": "written as it is", "noise": "noise", "horizon": "noise and horizon"}


@dataclass
class Config:
    """Data, network, noise, and the training with it."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Of the digital network, from which the training with noise starts."""
    seeds: int = 3
    """Digital networks and trainings with noise; differences are paired over them."""
    chips: int = 10
    """Held-out chips of every evaluation, the same for all networks."""
    noise: float = 0.3
    """Standard deviation of the programming noise of each device: relative, or of the window."""
    ratio: float = 1e3
    """Highest over lowest conductance of a device (PCM has its own)."""
    steps: int = 2000
    """Steps with noise in the known simulator's check, from a digital network."""
    matrix_steps: int = 400
    """Steps of each training of mismatch matrix and ablation."""
    batch: int = 128
    """Inputs per step."""
    learning_rate: float = 5e-3
    """Largest learning rate with noise."""
    ramp: float = 0.3
    """Share of the steps over which the noise rises."""
    clip_sigma: float | None = 2.0
    """Kernels are clipped to this many standard deviations after each step with noise."""
    levels: list[float] = field(default_factory=lambda: [0.0, 0.05, 0.1, 0.2])
    """Noise in training and in test of the mismatch matrix [window]."""
    pcm_steps: int = 300
    """Steps on PCM."""
    ablation: bool = False
    """Whether training is repeated without ramp and clipping (three minutes more)."""
    inputs: int = 2000
    """Test inputs of mismatch matrix, ablation and drift; the known simulator's check has all."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("seeds", "chips", "steps", "matrix_steps", "batch", "pcm_steps", "inputs"):
            check_whole(name, getattr(self, name))


def run(config: Config, run: RunFolder) -> None:
    """Check against a known simulator, vary the noise, wait a year, report."""
    dataset = config.data.load()
    digital = [
        train_cached(
            config.network, dataset, config.training, seed=run.seed + k,
            progress=run.progress, log=run.log,
        ).model
        for k in range(config.seeds)
    ]  # fmt: skip
    some = Split(dataset.test.x[: config.inputs], dataset.test.y[: config.inputs])
    known = known_simulator(config, run, dataset, digital)
    drift = a_year(config, run, dataset, digital, some)
    matrix = mismatch(config, run, dataset, digital[0], some)
    parts = ablation(config, run, dataset, digital[0], some) if config.ablation else {}
    report_known(config, run, known)
    report_mismatch(config, run, matrix, parts)
    report_year(config, run, drift)
    run.summary(
        f"Written with programming noise of {config.noise:g} of each conductance, the network "
        f"falls from {_percent(known['digital'])} to {_percent(known['proportional_written'])}; "
        f"after training with this noise it reaches {_percent(known['proportional_trained'])} on "
        f"held-out chips. With the same number in units of the window it is "
        f"{_percent(known['window_written'])} and {_percent(known['window_trained'])}. After a "
        f"year of drift of PCM, compensated: {_percent(drift['plain'][:, 1, -1])} written as it "
        f"is, {_percent(drift['noise'][:, 1, -1])} trained with noise, "
        f"{_percent(drift['horizon'][:, 1, -1])} trained for the whole year."
    )
    run.dataset(
        "drift",
        xr.Dataset(
            {
                name: (("seed", "compensated", "time", "chip"), values, {"units": "1"})
                for name, values in drift.items()
                if name != "digital"
            },
            coords={"time": ("time", list(NAMES.values()), {"units": "s"})},
        ),
    )


# What is computed.


def hardware(config, kind: str, size: float, *, per: str = "layer") -> Hardware:
    """Pairs of devices of 8 bits: noise of each in the window (cut at 0, or not), or relative."""
    error, effects = None, ()
    if kind == "window":
        error = GaussianError(size, space="G")
    elif kind == "uncut":
        effects = (WeightNoise(np.sqrt(2) * size),)
    else:
        effects = (NormalVariation(size),)
    device = DeviceStatistics(1e4, 1e4 * config.ratio, error, effects=effects)
    return Hardware(device, WeightMapping("differential", per, "max", space="G"), bits=BITS)


def pcm_hardware() -> Hardware:
    """Phase-change memory: write error and drift; noise of reads is left out."""
    r_high, r_low = PCM().window
    device = DeviceStatistics(r_low, r_high, effects=(ProgrammedCells(PCM(), reads=False),))
    return Hardware(device, WeightMapping("differential", "channel", "max", space="G"), bits=None)


def tuned(config, run, name, dataset, digital, made, family, *, seed=0, **options):
    """The analog model after training with noise."""
    values = {
        "steps": config.steps,
        "learning_rate": config.learning_rate,
        "clip_sigma": config.clip_sigma,
    } | options
    training = AnalogTraining(
        convert_to_analog(digital, made), dataset.train, family=family, seed=run.seed + seed,
        batch=min(config.batch, len(dataset.train.y)), **values,
    )  # fmt: skip
    return training.model(tune_in_run(run, name, training))


def judge(config, run, model, split, **options) -> np.ndarray:
    """Accuracy (times, chips) on the held-out chips."""
    chips = held_out_keys(run.seed, config.chips)
    return accuracy_on_chips(model, NoiseInjection(), (), split, chips=chips, **options)


def known_simulator(config, run, dataset, digital) -> dict:
    """Accuracy (seeds, chips) as written and as trained, under each reading of the noise."""

    def plain():
        found = {"digital": np.asarray([accuracy(model, dataset.test) for model in digital])}
        cases = {
            "window_channel": hardware(config, "window", config.noise, per="channel"),
            "uncut_layer": hardware(config, "uncut", config.noise),
            "window_sixth": hardware(config, "window", config.noise / 6),
        }
        with run.progress("written", len(cases) + 2 * len(digital)) as progress:
            for name, made in cases.items():
                model = convert_to_analog(digital[0], made)
                found[name] = judge(config, run, model, dataset.test)
                progress.advance()
            for kind in ("proportional", "window"):
                made, rows = hardware(config, kind, config.noise), []
                for model in digital:
                    rows.append(judge(config, run, convert_to_analog(model, made), dataset.test)[0])
                    progress.advance()
                found[f"{kind}_written"] = np.stack(rows)
        return found

    found = dict(run.stage("written", plain))
    for kind in ("proportional", "window"):
        made, family = hardware(config, kind, config.noise), NoiseInjection(ramp=config.ramp)
        models = [
            tuned(config, run, f"{kind}_{k}", dataset, model, made, family, seed=k)
            for k, model in enumerate(digital)
        ]
        name = f"{kind}_trained"
        kept = run.stage(
            name,
            lambda models=models: {
                "chips": np.stack([judge(config, run, m, dataset.test)[0] for m in models])
            },
        )
        found[name] = kept["chips"]
    return found


def mismatch(config, run, dataset, digital, split) -> np.ndarray:
    """Accuracy (training, test, chips) of noise in training against noise in test."""
    made = [hardware(config, "window", level) for level in config.levels]
    family = NoiseInjection(ramp=config.ramp)
    models = [
        (
            tuned(
                config, run, f"level_{k}", dataset, digital, h, family, steps=config.matrix_steps
            ),
            (),
        )
        for k, h in enumerate(made)
    ]
    chips = held_out_keys(run.seed, config.chips)
    puts = [lambda model, h=h: with_hardware(model, h) for h in made]

    def compute():
        found = mismatch_matrix(models, NoiseInjection(), puts, split, chips=chips)
        return {"accuracy": found}

    return run.stage("mismatch", compute)["accuracy"]


def ablation(config, run, dataset, digital, split) -> dict:
    """Accuracy (chips) of training with the noise of the window, without one part or another."""
    made = hardware(config, "window", config.noise)
    plain, ramped = NoiseInjection(), NoiseInjection(ramp=config.ramp)
    cases = {
        "ramp and clipping": (ramped, config.clip_sigma),
        "clipping alone": (plain, config.clip_sigma),
        "ramp alone": (ramped, None),
        "neither": (plain, None),
    }
    models = {
        name: tuned(
            config, run, f"ablation_{k}", dataset, digital, made, family,
            steps=config.matrix_steps, clip_sigma=clip,
        )
        for k, (name, (family, clip)) in enumerate(cases.items())
    }  # fmt: skip

    def compute():
        return {name: judge(config, run, m, split)[0] for name, m in models.items()}

    return run.stage("ablation", compute)


def a_year(config, run, dataset, digital, split) -> dict:
    """Accuracy (seeds, compensated, times, chips) on PCM of each kind of training."""
    made, times = pcm_hardware(), tuple(NAMES.values())
    families = {
        "noise": NoiseInjection(),
        "horizon": NoiseInjection(horizon=(times[0], times[-1]), compensate=True),
    }
    models: dict[str, list] = {"plain": [convert_to_analog(model, made) for model in digital]}
    for name, family in families.items():
        models[name] = [
            tuned(
                config, run, f"pcm_{name}_{k}", dataset, model, made, family, seed=k,
                steps=config.pcm_steps, clip_sigma=None,
            )
            for k, model in enumerate(digital)
        ]  # fmt: skip
    found = {}
    for name, of_seeds in models.items():

        def compute(of_seeds=of_seeds):
            with run.progress("drift", 2 * len(of_seeds) * len(times) * config.chips) as progress:
                values = [
                    [
                        judge(
                            config, run, model, split, times=times, compensate=compensate,
                            advance=progress.advance,
                        )
                        for compensate in (False, True)
                    ]
                    for model in of_seeds
                ]  # fmt: skip
            return {"accuracy": np.asarray(values)}

        found[name] = run.stage(f"drift_{name}", compute)["accuracy"]
    found["digital"] = np.asarray([accuracy(model, split) for model in digital])
    return found


# What is reported.


def _percent(values) -> str:
    """Mean over seeds and chips."""
    return f"{100 * float(np.mean(values)):.2f} %"


def _spread(values) -> str:
    """Mean over all, and standard deviation over chips, averaged over seeds."""
    values = np.atleast_2d(values)
    spread = values.std(-1, ddof=min(1, values.shape[-1] - 1)).mean()
    return f"{100 * values.mean():.2f} ± {100 * spread:.2f}"


def _paired(a, b) -> str:
    """Difference of means over chips, paired over seeds, with its interval."""
    found = paired_difference(np.mean(a, -1), np.mean(b, -1))
    half = "" if found.pairs < 2 else f" ± {100 * found.half_width:.2f}"
    return f"{100 * found.mean:+.2f}{half}"


def report_known(config, run, known) -> None:
    """The known simulator's numbers beside ours."""
    for name in ("digital", "proportional_written", "proportional_trained", "window_written",
                 "window_trained"):  # fmt: skip
        run.metric(f"accuracy_{name}", float(np.mean(known[name])), "mean of seeds and chips")
    gain = {
        kind: paired_difference(
            known[f"{kind}_trained"].mean(-1), known[f"{kind}_written"].mean(-1)
        )
        for kind in ("proportional", "window")
    }
    for kind, found in gain.items():
        run.metric(f"gain_{kind}", found.mean, "trained minus written, paired over seeds")
        if np.isfinite(found.half_width):
            run.metric(f"gain_{kind}_half_width", found.half_width, "of its 95 % interval")
    noise, sixth = config.noise, config.noise / 6
    rows = [
        ["digital", f"{100 * known['digital'].mean():.2f}", f"{100 * REPORTED['digital']:.2f}"],
        [f"{noise:g} of the conductance, per layer", _spread(known["proportional_written"]),
         f"{100 * REPORTED['written']:.2f}"],
        ["the same, after training", _spread(known["proportional_trained"]),
         f"{100 * REPORTED['trained']:.2f}"],
        [f"{noise:g} of the window, per layer, cut at 0", _spread(known["window_written"]), ""],
        ["the same, after training", _spread(known["window_trained"]), ""],
        [f"{noise:g} of the window, per channel, cut at 0", _spread(known["window_channel"]), ""],
        [f"{noise:g} of the window, per layer, not cut", _spread(known["uncut_layer"]), ""],
        [f"{sixth:g} of the window, per layer, cut at 0", _spread(known["window_sixth"]), ""],
    ]  # fmt: skip
    off = 100 * (known["proportional_written"].mean() - REPORTED["written"])
    enough = known["proportional_trained"].mean() >= 0.976
    run.section(
        "A known simulator",
        f"Two convolutions of 3 x 3 (8 and 16 channels, two pixels a step, no padding: one of the "
        f"ways to 16 x 6 x 6 = 576 inputs of the head; assumed) on MNIST, {BITS} bits a device in "
        f"differential pairs, ratio {config.ratio:g}. The known simulator reports "
        f"{100 * REPORTED['digital']:.2f} % digital, {100 * REPORTED['written']:.2f} % written "
        f"with programming noise of standard deviation 0.3 of G_max on both devices of a pair, and "
        f"{100 * REPORTED['trained']:.2f} % after training in the loop. Taken by the word, that "
        f"noise leaves {_percent(known['window_written'])} of this network, so that the two noises "
        f"are not the same. In proportion to each device's own conductance ({noise:g} of G_max "
        f"for a device at G_max) it is {_percent(known['proportional_written'])}, {off:+.2f} "
        f"points from the reported figure; so is {_percent(known['window_sixth'])} with "
        f"{sixth:.2g} of the window. Which of them the simulator draws is not known: the first "
        "was chosen because it fits, and keeps the number. "
        f"After {config.steps} steps with it: {_percent(known['proportional_trained'])} on chips "
        f"that no training saw, {'above' if enough else 'below'} 97.6 %; trained minus written is "
        f"{_paired(known['proportional_trained'], known['proportional_written'])} points (mean "
        f"of {config.seeds} seeds, 95 % interval of a Student t), and "
        f"{_paired(known['window_trained'], known['window_written'])} points with the noise taken "
        f"by the word.",
    )
    run.table(
        "Test accuracy (%)",
        ["programming noise (standard deviation)", "here", "reported"],
        rows,
        f"Mean and standard deviation over {config.chips} chips; the first five rows over "
        f"{config.seeds} seeds, the others of one network, written as it is.",
    )


def report_mismatch(config, run, matrix, parts) -> None:
    """Noise in training against noise in test."""
    mean = 100 * matrix.mean(-1)
    for i, a in enumerate(config.levels):
        for j, b in enumerate(config.levels):
            run.metric(f"mismatch_{a:g}_{b:g}", mean[i, j] / 100, "noise in training, in test")
    best = [config.levels[int(k)] for k in mean.argmax(0)]
    lost = mean[:, 0].max() - mean[-1, 0]
    run.section(
        "The wrong noise",
        "Noise of the window in training (rows) and in test (columns). Best for tests at "
        f"{', '.join(f'{b:g}' for b in config.levels)} is training at "
        f"{', '.join(f'{b:g}' for b in best)}. Training at {config.levels[-1]:g} costs "
        f"{lost:.2f} points where there is no noise in the test. One network; "
        f"{config.chips} chips; {config.inputs} test inputs.",
    )
    run.figure("mismatch", _matrix(mean, config.levels), "Test accuracy (%), mean of chips.")
    if not parts:
        return
    for name, values in parts.items():
        run.metric(f"ablation_{name.replace(' ', '_')}", float(values.mean()), "mean of chips")
    run.table(
        "What ramp and clipping do",
        ["training", "test accuracy (%)"],
        [[name, _spread(values)] for name, values in parts.items()],
        f"Noise of {config.noise:g} of the window in training and test; one network.",
    )


def report_year(config, run, drift) -> None:
    """Accuracy against time."""
    iso = {
        name: iso_accuracy(
            drift[name].mean(-1), digital=float(drift["digital"].mean()), chance=0.1
        ).mean(0)
        for name in NETWORKS
    }
    rows = []
    for k, kept in enumerate(("no", "yes")):
        for name, label in NETWORKS.items():
            rows.append([label, kept, *(_spread(drift[name][:, k, j]) for j in range(len(NAMES)))])
            for j, unit in enumerate(NAMES):
                run.metric(
                    f"pcm_{name}_{'compensated' if k else 'plain'}_1_{unit}",
                    float(drift[name][:, k, j].mean()), "mean of seeds and chips",
                )  # fmt: skip
    last = {name: drift[name][:, 1, -1] for name in NETWORKS}
    first = {name: drift[name][:, 1, 0] for name in NETWORKS}
    run.section(
        "A year of drift",
        "Phase-change memory with its published write error and drift (noise of reads and "
        "converters left out), a full scale per channel. Trained with noise: at the first read; "
        "trained for a horizon: at times log-uniform between a second and a year, drift "
        f"compensated. {config.pcm_steps} steps each. Compensated, after a year, noise minus "
        f"plain is {_paired(last['noise'], last['plain'])} points, horizon minus noise "
        f"{_paired(last['horizon'], last['noise'])} (at a second "
        f"{_paired(first['horizon'], first['noise'])}), paired over {config.seeds} seeds with 95 % "
        "intervals. Iso-accuracy (1 is digital, 0 chance) after a year, compensated: "
        + ", ".join(f"{NETWORKS[n]} {iso[n][1, -1]:.3f}" for n in NETWORKS)
        + "; not compensated: "
        + ", ".join(f"{NETWORKS[n]} {iso[n][0, -1]:.3f}" for n in NETWORKS)
        + ".",
    )
    run.table(
        "Test accuracy (%)", ["trained", "compensated", *(f"1 {u}" for u in NAMES)], rows,
        f"Mean over {config.seeds} seeds and {config.chips} chips, standard deviation over chips.",
    )  # fmt: skip
    run.figure("year", _times(drift), "Test accuracy against the time since programming.")


def _matrix(mean, levels):
    fig, axis = aj.plotting.figure(width=4.6, height=3.6)
    image = axis.imshow(mean, vmin=min(90.0, mean.max() - 5), vmax=mean.max())
    middle = 0.5 * sum(image.get_clim())
    for i in range(len(levels)):
        for j in range(len(levels)):
            color = "white" if mean[i, j] < middle else "black"
            axis.text(j, i, f"{mean[i, j]:.1f}", ha="center", va="center", color=color)
    names = [f"{level:g}" for level in levels]
    axis.set_xticks(range(len(levels)), names)
    axis.set_yticks(range(len(levels)), names)
    axis.grid(visible=False)
    axis.set_xlabel("noise in test (window)")
    axis.set_ylabel("noise in training (window)")
    fig.colorbar(image, ax=axis, label="test accuracy (%)", extend="min")
    return fig


def _times(drift):
    fig, axes = aj.plotting.figure(1, 2, width=4.4, height=3.4, sharey=True)
    times = np.asarray(list(NAMES.values()))
    for axis, k, title in zip(axes, (0, 1), ("not compensated", "compensated"), strict=True):
        axis.axhline(100 * drift["digital"].mean(), color=aj.plotting.COLORS[5], label="digital")
        for shift, (name, label) in enumerate(NETWORKS.items()):
            values = 100 * drift[name][:, k]
            axis.errorbar(
                times * 1.15 ** (shift - 1), values.mean((0, 2)), values.std(2).mean(0),
                fmt="o-", ms=4, capsize=2, color=aj.plotting.COLORS[shift], label=label,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_xticks(times, [f"1 {unit}" for unit in NAMES])
        axis.minorticks_off()
        axis.set_title(title)
        axis.set_xlabel("time since programming")
    axes[0].set_ylabel("test accuracy (%)")
    axes[0].legend(loc="lower left")
    return fig
