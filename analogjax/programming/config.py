"""How a configuration file spells level tables; the border between YAML and programming."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
from jaxtyping import PRNGKeyArray, PyTree

from .._checks import check_whole
from ..devices import AbstractDevice, AbstractProgrammedDevice, DeviceConfig
from .controllers import WriteVerify
from .levels import LevelTable, fingerprint
from .noise import ProgrammingNoise
from .program import DELAYS, make_programmer, program_levels, raise_if_all_failed
from .targets import Window, check_space, condition_and_window, level_coordinates

if TYPE_CHECKING:
    from ..runs import RunFolder

_CODE = (
    "constants.py",
    "physics",
    "devices",
    "stimuli",
    "simulation",
    *(
        f"programming/{name}.py"
        for name in (
            "config",
            "controllers",
            "direct",
            "levels",
            "noise",
            "program",
            "reading",
            "targets",
        )
    ),
)
"""The source that a level table depends on."""


@dataclass
class NoiseConfig:
    """Noise of programming; the defaults are the standard noise."""

    pulse_spread: float = 0.01
    """Log-normal spread of the effective D t of a pulse."""
    read_bandwidth: float = 1000.0
    """[Hz]"""
    source_step: float = 1e-3
    """[V]"""
    temperature_wander: float = 0.01
    """[K]"""
    thermal: bool = True
    """Whether a read has thermal noise."""
    counting: bool = True
    """Whether the device shows its own randomness: counted particles, cycles, reads."""

    def build(self) -> ProgrammingNoise:
        """Return the noise."""
        return ProgrammingNoise(**dataclasses.asdict(self))


@dataclass
class ControllerConfig:
    """Write-verify with feedback."""

    amplitude: float = 5.0
    """Nominal amplitude [V]."""
    amplitude_down: float | None = None
    """That of pulses which raise the resistance [V]; null: the same."""
    width: float = 0.05
    """First pulse, and every pulse with the knob `amplitude` [s]."""
    tolerance: float = 4e-4
    """Accepted error, as a fraction of the window (0.2 pitch of 512 levels), whatever the number of
    levels: what limits it is the noise of a reading."""
    most_pitches: float = 0.25
    """Accepted error in pitches where that is less."""
    shortest: float = 1e-4
    """[s]"""
    longest: float = 0.25
    """[s]"""
    max_pulses: int = 20
    gain: float = 0.5
    """How quickly estimated rates follow the readings, 0 to 1."""
    largest_factor: float = 3.0
    """How far a reading may differ from an estimated rate and be believed."""
    aim: float = 1.0
    """Share of what is missing that a pulse aims at; about 0.5 where the response runs away."""
    knob: str = "width"
    """What feedback chooses: `width` or `amplitude`."""
    v_scale: float = 0.25
    """Volts per e-fold of the rate (knob `amplitude`)."""
    v_range: float = 0.5
    """Largest departure from the nominal amplitude [V] (knob `amplitude`)."""

    def build(self, n_levels: int) -> WriteVerify:
        """Return the controller for a number of levels."""
        values = dataclasses.asdict(self)
        most = values.pop("most_pitches")
        values["tolerance"] = min(self.tolerance * (n_levels - 1), most)
        return WriteVerify(**values)


@dataclass
class ProgrammingConfig:
    """A device, its window, and which level tables to make of it."""

    device: DeviceConfig = field(default_factory=DeviceConfig)
    """Neutral, so that a configuration that names another device need not undo anything."""
    levels: list[int] = field(default_factory=lambda: [32, 128, 512])
    spaces: list[str] = field(default_factory=lambda: ["R", "G"])
    """Levels linear in resistance, in conductance, or tables of both."""
    repeats: int = 10
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    amplitude: float = 5.0
    """Amplitude of conditioning and of the train that opens the window [V]."""
    amplitude_down: float | None = None
    """That of the pulses which raise the resistance [V]; null: the same."""
    window_pulses: int = 100
    """Pulses of conditioning (each polarity) and of that train."""
    window_width: float = 0.25
    """Their duration [s]."""
    margin: float = 0.02
    """Share of that window left out at each end."""
    r_high: float | None = None
    """First level [ohm]; null: the end of that window."""
    r_low: float | None = None
    """Last level [ohm]; null: the end of that window."""
    delays: list[float] = field(default_factory=lambda: list(DELAYS))
    """When every level is read again [s]."""
    storage_temperature: float | None = None
    """Ambient temperature until then [K]; null: that of writing and reading."""

    def __post_init__(self) -> None:
        """Check what nothing else checks."""
        for name in ("levels", "spaces", "delays"):
            if not getattr(self, name):
                raise ValueError(f"Argument `{name}` must name at least one, but is empty.")
        for n_levels in self.levels:
            level_coordinates(n_levels)
        for space in self.spaces:
            check_space(space)
        check_whole("repeats", self.repeats, 2)


def level_tables(
    config: ProgrammingConfig, run: RunFolder, *, name: str = "levels"
) -> dict[tuple[int, str], LevelTable]:
    """Return the level tables of a configuration: from the cache, a stored stage, or the device.

    Args:
        config: The configuration.
        run: The run folder: stages, progress and seed.
        name: Prefix of the stages.

    Returns:
        Tables by number of levels and space.
    """
    from ..runs import cache_file, cached, from_arrays

    device = config.device.build()
    key = {"seed": run.seed, "device": fingerprint(device), **dataclasses.asdict(config)}
    # One table does not depend on which others are made.
    for other in ("levels", "spaces"):
        del key[other]

    def keep(stage: str, extra: dict[str, Any], compute: Any) -> dict[str, Any]:
        def once() -> dict[str, Any]:
            arrays, hit = cached("levels", key | extra, compute, code=_CODE)
            if hit:
                run.log(f"stage {stage}: from the cache")
            return arrays

        return run.stage(stage, once)

    # The leaves by number, then the window: any tree of arrays can be a state.
    structure = jax.eval_shape(device.init_state)
    prepared = keep(f"{name}_window", {"what": "window"}, lambda: _prepare(config, device))
    window = Window(prepared.pop("r_high").item(), prepared.pop("r_low").item())
    state = from_arrays(prepared, structure)
    tables = {}
    for n_levels in config.levels:
        for space in config.spaces:
            stage = f"{name}_{n_levels}{space}"
            extra = {"what": [n_levels, space]}
            # What was begun by other code, or for another key, is not gone on with.
            version = cache_file("levels", key | extra, code=_CODE).stem
            make = _write_table if isinstance(device, AbstractProgrammedDevice) else _make_table
            task = _Task(config, device, state, window, n_levels, space)
            arrays = keep(
                stage,
                extra,
                lambda stage=stage, make=make, task=task, version=version: make(
                    task, run, stage, version
                ),
            )
            table = LevelTable.from_arrays(arrays)
            if table.failed:
                run.log(f"note: {table.failed} levels of {stage} were not reached and are left out")
            tables[n_levels, space] = table
    return tables


def _prepare(config: ProgrammingConfig, device: Any) -> dict[str, Any]:
    """Condition the device and find its window."""
    from ..runs import to_arrays

    state, window = condition_and_window(
        device,
        v=config.amplitude,
        v_down=config.amplitude_down,
        pulses=config.window_pulses,
        width=config.window_width,
        margin=config.margin,
        r_high=config.r_high,
        r_low=config.r_low,
    )
    return {**to_arrays(state), "r_high": window.r_high, "r_low": window.r_low}


@dataclass
class _Task:
    """One table to make."""

    config: ProgrammingConfig
    device: AbstractDevice
    state: PyTree
    window: Window
    n_levels: int
    space: str

    def key(self, run: RunFolder) -> PRNGKeyArray:
        """Return the random key of this table, whatever other tables are made."""
        key = jax.random.fold_in(jax.random.key(run.seed), self.n_levels)
        return jax.random.fold_in(key, self.space == "G")


def _make_table(task: _Task, run: RunFolder, stage: str, version: str) -> dict[str, Any]:
    """Take the device from level to level by pulses."""
    config = task.config
    programmer = make_programmer(
        task.device,
        task.n_levels,
        space=task.space,
        controller=config.controller.build(task.n_levels),
        noise=config.noise.build(),
        state=task.state,
        window=task.window,
    )
    key_lanes, key_reads = jax.random.split(task.key(run))
    lanes = run.portions(
        stage,
        lambda: programmer.start(config.repeats, key=key_lanes),
        lambda lanes: programmer.advance(lanes, 16),
        lambda lanes: int(programmer.done(lanes).sum()),
        config.repeats * programmer.n_levels,
        version=version,
    )
    raise_if_all_failed(programmer, lanes)
    table = programmer.finish(
        lanes,
        key=key_reads,
        delays=tuple(config.delays),
        storage_temperature=config.storage_temperature,
    )
    return table.to_arrays()


def _write_table(task: _Task, run: RunFolder, stage: str, version: str) -> dict[str, Any]:
    """Write every level directly: a moment's work."""
    config = task.config
    table = program_levels(
        task.device,
        task.n_levels,
        space=task.space,
        repeats=config.repeats,
        noise=config.noise.build(),
        key=task.key(run),
        window=task.window,
        delays=tuple(config.delays),
        storage_temperature=config.storage_temperature,
    )
    return table.to_arrays()
