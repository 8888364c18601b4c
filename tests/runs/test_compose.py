"""Composition: files, groups and overrides onto a typed configuration; one sentence a mistake."""

from __future__ import annotations

import dataclasses
import os
import sys

import jax
import pytest

from analogjax import runs
from analogjax.runs import _library, _schema, _setup


def test_layers_in_order(project):
    assert runs.compose("decay").config.device.resistance == 500.0
    assert runs.compose("decay").config.device.capacitance == 1e-6
    assert runs.compose("decay", ["device=large"]).config.device.resistance == 5000.0
    both = runs.compose("decay", ["device.resistance=7", "device=large"]).config
    assert both.device.resistance == 7.0
    assert both.points == 12


def test_values_are_typed(project):
    config = runs.compose(
        "decay", ["shape=RAMP", "times=[3,4]", "limit=2", "label='a, b'", "device.resistance=1e3"]
    ).config
    assert type(config).__name__ == "Config"
    assert config.shape.name == "RAMP"
    assert config.times == [3.0, 4.0]
    assert isinstance(config.limit, float)
    assert config.label == "a, b"
    assert isinstance(config.device.resistance, float)


def test_resolved_holds_common_keys_and_plain_values(project):
    resolved = runs.compose("decay", ["seed=5", "shape=RAMP"]).resolved
    assert list(resolved)[:4] == ["experiment", "seed", "precision", "platform"]
    assert resolved["seed"] == 5
    assert resolved["shape"] == "RAMP"
    assert resolved["device"] == {"resistance": 500.0, "capacitance": 1e-6}


def test_common_keys_reach_the_experiment_if_it_has_them(project):
    assert runs.compose("decay", ["seed=5"]).config.seed == 5
    plain = runs.compose("plain", ["seed=5"])
    assert not hasattr(plain.config, "seed")
    assert plain.resolved["seed"] == 5


def test_interpolation_is_resolved(project):
    config = runs.compose("decay", ["label=points_${points}"]).config
    assert config.label == "points_12"


def test_configurations_may_share_an_experiment(project):
    slow = runs.compose("decay_slow")
    assert slow.config.device.capacitance == 1e-5
    assert slow.resolved["experiment"] == "decay"


MISTAKES = {
    "pionts=3": "Key `pionts` (on the command line, for configs/decay.yaml) must be a key of "
    "experiments/decay.py, which has none of this name (did you mean `points`?).",
    "device.resistence=3": "Key `device.resistence` (on the command line, for configs/decay.yaml) "
    "must be a key of experiments/decay.py, which has none of this name "
    "(did you mean `device.resistance`?).",
    "zzz=3": "Key `zzz` (on the command line, for configs/decay.yaml) must be a key of "
    "experiments/decay.py, which has none of this name (keys: seed, points, label, shape, times, "
    "limit, device, experiment, precision, platform, accelerators).",
    "precison=float32": "Key `precison` (on the command line, for configs/decay.yaml) must be a "
    "key of experiments/decay.py, which has none of this name (did you mean `precision`?).",
    "points=abc": "Key `points` (on the command line, for configs/decay.yaml) must be int, "
    "but is 'abc'.",
    "points=1.5": "Key `points` (on the command line, for configs/decay.yaml) must be int, "
    "but is 1.5.",
    "times=3": "Key `times` (on the command line, for configs/decay.yaml) must be list[float], "
    "but is 3.",
    "limit=x": "Key `limit` (on the command line, for configs/decay.yaml) must be float or null, "
    "but is 'x'.",
    "shape=RMAP": "Key `shape` (on the command line, for configs/decay.yaml) must be one of "
    "STEP, RAMP, but is 'RMAP'.",
    "points.x=1": "Key `points.x` (on the command line, for configs/decay.yaml) must be a key of "
    "experiments/decay.py, but `points` has none below it.",
    "device=smal": "Group `device` must be one of large, small, but is 'smal' "
    "(did you mean `small`?).",
    "device=3": "Group `device` must be one of large, small, but is 3.",
    "points=1": "Argument `points` must be at least 2, but is 1.",
    "points=1,2": "Override 'points=1,2' must come with -m, since it names several values.",
    "points": "An override must have the form key=value (quote values with spaces or commas), "
    "but is 'points'.",
    "~points": "An override must set a key, but '~points' deletes one.",
    "precision=float16": "Key `precision` must be one of float64, float32, but is 'float16' "
    "(did you mean `float64`?).",
    "platform=gpux": "Key `platform` must be one of auto, cpu, gpu, tpu, but is 'gpux' "
    "(did you mean `gpu`?).",
    "experiment=dekay": "Key `experiment` in configs/decay.yaml must be one of decay, plain, "
    "but is 'dekay' (did you mean `decay`?).",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_wrong_override_gets_one_sentence(project, override):
    with pytest.raises(runs.UsageError) as caught:
        runs.compose("decay", [override])
    assert str(caught.value) == MISTAKES[override]


FILES = {
    (
        "bad.yaml",
        "experiment: decay\npionts: 3\n",
    ): "Key `pionts` in configs/bad.yaml must be a key "
    "of experiments/decay.py, which has none of this name (did you mean `points`?).",
    ("bad.yaml", "experiment: decay\ndevice: {capacitance: much}\n"): "Key `device.capacitance` in "
    "configs/bad.yaml must be float, but is 'much'.",
    ("bad.yaml", "points: 3\n"): "Key `experiment` in configs/bad.yaml must name a file of "
    "experiments/, but is missing.",
    ("bad.yaml", "experiment: decay\ndevice: 3\n"): "Key `device` in configs/bad.yaml must be set "
    "by its own keys (device.resistance, device.capacitance), but is 3.",
    ("bad.yaml", "experiment: decay\npoints: ???\n"): "Key `points` must be given (points=VALUE), "
    "but has no value.",
    ("bad.yaml", "experiment: decay\nlabel: ${nowhere}\n"): "Key `label` must have a value, "
    "but has none: Interpolation key 'nowhere' not found.",
}


@pytest.mark.parametrize(("file", "text"), FILES)
def test_a_wrong_file_gets_one_sentence(project, file, text):
    (project / "configs" / file).write_text(text)
    with pytest.raises(runs.UsageError) as caught:
        runs.compose("bad")
    assert str(caught.value) == FILES[file, text]


def test_a_mistake_in_a_group_names_the_group_file(project):
    (project / "configs" / "device" / "odd.yaml").write_text("resistanse: 1\n")
    with pytest.raises(runs.UsageError, match=r"`device\.resistanse` in configs/device/odd\.yaml"):
        runs.compose("decay", ["device=odd"])


def test_broken_yaml_is_told_in_one_sentence(project):
    (project / "configs" / "bad.yaml").write_text("experiment: [decay\n")
    with pytest.raises(runs.UsageError, match=r"File configs/bad\.yaml must be YAML, but .*line 2"):
        runs.compose("bad")


def test_missing_option_in_defaults(project):
    (project / "configs" / "bad.yaml").write_text(
        "defaults: [device: tiny, _self_]\nexperiment: decay\n"
    )
    with pytest.raises(runs.UsageError, match="Group `device` must be one of large, small"):
        runs.compose("bad")


def test_defaults_must_say_their_order(project):
    (project / "configs" / "bad.yaml").write_text("defaults: [device: small]\nexperiment: decay\n")
    with pytest.raises(runs.UsageError, match=r"configs/bad\.yaml must hold `_self_`"):
        runs.compose("bad")


def test_sweep_gives_all_combinations():
    assert runs.sweep(["a=1,2", "b=x", "c=choice(u,v)"]) == [
        ["a=1", "b=x", "c=u"],
        ["a=1", "b=x", "c=v"],
        ["a=2", "b=x", "c=u"],
        ["a=2", "b=x", "c=v"],
    ]
    assert runs.sweep(["a=range(1,4)"]) == [["a=1"], ["a=2"], ["a=3"]]
    assert runs.sweep([]) == [[]]
    assert runs.swept_keys(["a=1,2", "b=x"]) == ["a"]


def test_where_the_library_is(tmp_path, monkeypatch):
    monkeypatch.setattr(_library, "PACKAGE", tmp_path / "analogjax")
    assert runs.locate().configs == tmp_path / "analogjax" / "_shipped" / "configs"
    (tmp_path / "pyproject.toml").write_text("")
    assert runs.locate().configs == tmp_path / "configs"


def test_set_up_sets_precision_and_keeps_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    before = jax.config.jax_compilation_cache_dir
    try:
        runs.set_up("float32", "cpu")
        assert jax.numpy.ones(1).dtype == "float32"
        assert jax.config.jax_compilation_cache_dir == str(tmp_path)
        runs.set_up("float64")
        assert jax.numpy.ones(1).dtype == "float64"
    finally:
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize(
    ("cores", "given", "threads"), [(2, None, "8"), (2, "3", "3"), (16, None, None)]
)
def test_few_cores_get_more_threads(monkeypatch, cores, given, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    # Set first, so that it is as it was afterwards.
    monkeypatch.setenv("NPROC", given or "")
    if given is None:
        monkeypatch.delenv("NPROC")
    runs.set_up()
    assert os.environ.get("NPROC") == threads


def test_absent_platform_is_refused(project):
    if jax.default_backend() == "tpu":
        pytest.skip("this machine has what the test takes to be absent")
    before = os.environ.get("JAX_PLATFORMS")
    try:
        with pytest.raises(runs.UsageError, match="but is 'tpu' and JAX runs on"):
            runs.compose("decay", ["platform=tpu"])
    finally:
        os.environ.pop("JAX_PLATFORMS", None)
        if before is not None:
            os.environ["JAX_PLATFORMS"] = before
        jax.config.update("jax_platforms", before)


@pytest.mark.skipif(sys.platform != "linux", reason="the folder follows the platform's custom")
def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _setup.cache_folder() == tmp_path / "analogjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _setup.cache_folder().parts[-2:] == (".cache", "analogjax")


def test_experiment_without_config_is_told(project):
    (project / "experiments" / "odd.py").write_text('"""Odd."""\n')
    (project / "configs" / "odd.yaml").write_text("experiment: odd\n")
    with pytest.raises(TypeError, match=r"experiments/odd\.py must define a dataclass `Config`"):
        runs.compose("odd")


def test_an_experiment_may_be_a_folder_of_sections(project):
    folder = project / "experiments" / "big"
    folder.mkdir()
    (project / "configs" / "big.yaml").write_text("experiment: big\n")
    (folder / "__init__.py").write_text(
        '"""Big."""\nfrom .section import Config\n\ndef run(config, run): pass\n'
    )
    section = "import dataclasses\n\n@dataclasses.dataclass\nclass Config:\n    size: int = {}\n"
    library = runs.locate()
    assert library.experiment_names() == ["big", "decay", "plain"]
    assert runs.descriptions(library)["big"] == "Big"
    for size in (3, 14):
        # Read anew every time, like an experiment of one file.
        (folder / "section.py").write_text(section.format(size))
        assert runs.compose("big").config.size == size
    with pytest.raises(runs.UsageError, match=r"must be one of big, decay, plain, but is 'bigg'"):
        runs.compose("big", ["experiment=bigg"])


@dataclasses.dataclass
class Part:
    size: int = 1
    names: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Whole:
    parts: dict[str, Part] = dataclasses.field(default_factory=dict)


def test_a_dictionary_of_dataclasses_is_checked_below_its_keys():
    node = _schema.structured(Whole, "x.py")
    for key, value in (("parts.a.names.k", 2), ("parts.a.size", 3), ("parts.b.size", 4)):
        _schema.assign(node, key, value, "in x.yaml", "x.py")
    common = _schema.common()
    common.experiment = "x"
    typed, _ = _schema.finish(node, common)
    assert typed.parts == {"a": Part(3, {"k": 2.0}), "b": Part(4)}
    with pytest.raises(runs.UsageError, match=r"did you mean `parts\.a\.size`\?"):
        _schema.assign(node, "parts.a.siez", 1, "in x.yaml", "x.py")
    with pytest.raises(runs.UsageError, match=r"`parts\.a\.size` in x\.yaml must be int"):
        _schema.assign(node, "parts.a.size", "many", "in x.yaml", "x.py")
