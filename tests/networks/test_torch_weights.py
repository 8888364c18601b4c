"""Weights by torchvision's names: file formats, hostile files, mapping, and the same logits.

Once, outside these tests, files written by torch 2.15 (`torch.save`, `safetensors.torch`) from
torchvision 0.29's resnet18 gave torch's own logits to 5e-7 of 0.84, and the names and shapes below
were those of its resnet34.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax import runs
from analogjax.data import Dataset, Split
from analogjax.networks import (
    NetworkConfig,
    ResNet18,
    ResNet34,
    load_torch_weights,
    put_torch_weights,
)
from analogjax.networks._state_files import read_state
from analogjax.training import TrainingConfig, train_cached
from analogjax.training.digital import identity


def shapes(blocks, classes=1000):
    """Names and shapes of torchvision's ResNet, written down from its layout."""
    found = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name, width):
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (width,)
        found[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for layer, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), 1):
        for block in range(count):
            base = f"layer{layer}.{block}"
            found[f"{base}.conv1.weight"] = (width, before, 3, 3)
            norm(f"{base}.bn1", width)
            found[f"{base}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{base}.bn2", width)
            if layer > 1 and block == 0:
                found[f"{base}.downsample.0.weight"] = (width, before, 1, 1)
                norm(f"{base}.downsample.1", width)
            before = width
    found["fc.weight"] = (classes, 512)
    found["fc.bias"] = (classes,)
    return found


def draw(shapes, seed=0):
    """A state whose every number is its own, of a size that keeps the signal alive."""
    random = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = np.array(7)
            continue
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 1
        x = random.normal(size=shape) * (2 / fan_in) ** 0.5
        if len(shape) == 1 and name.endswith(("running_var", "weight")):
            x = random.uniform(0.5, 1.5, shape)
        state[name] = x.astype(np.float32)
    return state


def logits_in_torch_layout(state, x, blocks, normalise):
    """ResNet in evaluation on images (n, 3, height, width), from PyTorch's documentation."""
    if normalise:
        mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).reshape(2, 1, 3, 1, 1)
        x = (x - mean) / std
    x = jnp.asarray(x, jnp.float32)

    def conv(x, name, stride, padding):
        return jax.lax.conv_general_dilated(
            x, state[f"{name}.weight"], (stride, stride), [(padding, padding)] * 2
        )

    def norm(x, name):
        scale, shift, mean, var = (
            jnp.asarray(state[f"{name}.{part}"])[None, :, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / jnp.sqrt(var + 1e-5) * scale + shift

    x = jax.nn.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-jnp.inf)
    height, width = (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2
    x = jnp.stack(
        [
            padded[:, :, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2]
            for i in range(3)
            for j in range(3)
        ]
    ).max(0)
    for layer, count in enumerate(blocks, 1):
        for block in range(count):
            base = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = jax.nn.relu(norm(conv(x, f"{base}.conv1", stride, 1), f"{base}.bn1"))
            y = norm(conv(y, f"{base}.conv2", 1, 1), f"{base}.bn2")
            if f"{base}.downsample.0.weight" in state:
                x = norm(conv(x, f"{base}.downsample.0", stride, 0), f"{base}.downsample.1")
            x = jax.nn.relu(x + y)
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"][None]


# What torch.save writes, by hand: torch is no dependency


class _Global:
    """Pickled as a name that is looked up."""

    def __init__(self, name):
        self.name = name


class _Call:
    """Pickled as a call of a name."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments


class _Reference:
    def __init__(self, *pid):
        self.pid = pid


class _Pickler(pickle._Pickler):
    """Writes names of modules that are not there."""

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, _Reference) else None

    def save(self, obj, *args, **options):
        if isinstance(obj, _Global):
            self.write(b"c" + "\n".join(obj.name.rsplit(".", 1)).encode() + b"\n")
        elif isinstance(obj, _Call):
            self.save(_Global(obj.name))
            self.save(obj.arguments)
            self.write(b"R")
        else:
            super().save(obj, *args, **options)


def tensor(key, x, storage="FloatStorage", **changes):
    """A tensor as torch describes it: contiguous, in a storage of its own."""
    steps = tuple(int(np.prod(x.shape[i + 1 :])) for i in range(x.ndim))
    told = {"size": x.size, "offset": 0, "shape": x.shape, "strides": steps} | changes
    pid = _Reference("storage", _Global(f"torch.{storage}"), key, "cpu", told["size"])
    return _Call(
        "torch._utils._rebuild_tensor_v2",
        pid, told["offset"], told["shape"], told["strides"], False, OrderedDict(),
    )  # fmt: skip


def write_pth(path, entries, data, compression=zipfile.ZIP_STORED, more=()):
    import io

    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(entries)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", b"little")
        for key, content in data.items():
            archive.writestr(f"archive/data/{key}", content)
        for name, content in more:
            archive.writestr(name, content)


def save_pth(path, state):
    """As `torch.save(model.state_dict(), path)`."""
    entries, data = {}, {}
    for number, (name, x) in enumerate(state.items()):
        x = np.asarray(x)
        storage = "LongStorage" if x.dtype.kind == "i" else "FloatStorage"
        entries[name] = tensor(str(number), x, storage)
        data[str(number)] = x.tobytes()
    write_pth(path, entries, data)


def save_safetensors(path, state):
    """The format's own description: length, JSON, numbers."""
    import json

    header, data = {}, b""
    for name, x in state.items():
        kind = {"f4": "F32", "f2": "F16", "i8": "I64"}[x.dtype.str[1:]]
        end = len(data) + x.nbytes
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [len(data), end]}
        data += x.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def network(cls=ResNet18, classes=10, size=32, **options):
    return cls(input_shape=(size, size, 3), classes=classes, rngs=nnx.Rngs(1), **options)


@pytest.fixture(scope="module")
def state():
    return draw(shapes((2, 2, 2, 2), classes=10))


def test_logits_are_those_of_torch_layout(state):
    model = network(size=33)  # odd sizes, where paddings differ most
    assert put_torch_weights(model, state) == []
    model.normalise_inputs((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    model.eval()
    x = np.random.default_rng(2).uniform(size=(2, 33, 33, 3)).astype(np.float32)
    expected = logits_in_torch_layout(state, x.transpose(0, 3, 1, 2), (2, 2, 2, 2), True)
    # Single precision through 20 layers; sums in another order.
    np.testing.assert_allclose(model(jnp.asarray(x)), expected, rtol=2e-4, atol=2e-4)
    # And it matters: without the normalisation the answers are others.
    plain = logits_in_torch_layout(state, x.transpose(0, 3, 1, 2), (2, 2, 2, 2), False)
    assert float(jnp.max(jnp.abs(plain - expected))) > 0.01


def test_all_names_of_resnet34():
    from analogjax.networks.torch_weights import _entries

    model = nnx.eval_shape(lambda: network(ResNet34, classes=1000))
    expected = {
        name: shape
        for name, shape in shapes((3, 4, 6, 3)).items()
        if not name.endswith("num_batches_tracked")
    }
    assert {name: entry.shape for name, entry in _entries(model).items()} == expected


@pytest.mark.parametrize("suffix", [".npz", ".pth", ".safetensors"])
def test_formats_hold_the_same(tmp_path, suffix):
    state = {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b.num_batches_tracked": np.array(3),
        "c": np.zeros((0, 4), np.float32),
    }
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **state)
    elif suffix == ".pth":
        save_pth(path, state)
    else:
        pytest.importorskip("safetensors")
        save_safetensors(path, state)
    found = read_state(path)
    assert sorted(found) == sorted(state)
    for name, x in state.items():
        np.testing.assert_array_equal(found[name], x)
        assert found[name].dtype == x.dtype


def test_short_floats_and_parameters(tmp_path):
    # bfloat16 is the upper half of float32: 1.0, -2.0 and 3.140625.
    upper = np.array([0x3F80, 0xC000, 0x4049], "<u2")
    half = np.array([1.5, -0.25], np.float16)
    part = np.arange(12, dtype=np.float32)
    entries = {
        "b": tensor("0", upper, "BFloat16Storage"),
        "h": tensor("1", half, "HalfStorage"),
        "p": _Call("torch._utils._rebuild_parameter", tensor("1", half, "HalfStorage"), True, None),
        # A transposed view into the middle of a shared storage.
        "v": tensor("2", part, offset=2, shape=(3, 2), strides=(1, 3)),
    }
    path = tmp_path / "short.pth"
    write_pth(path, entries, {"0": upper.tobytes(), "1": half.tobytes(), "2": part.tobytes()})
    found = read_state(path)
    np.testing.assert_array_equal(found["b"], np.float32([1.0, -2.0, 3.140625]))
    np.testing.assert_array_equal(found["h"], half)
    np.testing.assert_array_equal(found["p"], half)
    np.testing.assert_array_equal(found["v"], part[2:8].reshape(2, 3).T)


def test_bfloat16_in_safetensors(tmp_path):
    pytest.importorskip("safetensors")
    text = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path = tmp_path / "b.safetensors"
    path.write_bytes(
        struct.pack("<Q", len(text)) + text + np.array([0x3F80, 0xC000], "<u2").tobytes()
    )
    np.testing.assert_array_equal(read_state(path)["x"], np.float32([1.0, -2.0]))
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(runs.UsageError, match="must be a whole safetensors file"):
        read_state(path)


X = np.ones(4, np.float32)
HOSTILE = {
    "runs a command": ({"x": _Call("os.system", "touch {marker}")}, "it asks for os.system"),
    "evaluates": ({"x": _Call("builtins.eval", "open('{marker}', 'w')")}, "builtins.eval"),
    "attribute of the known": (
        {"x": _Call("torch._utils._rebuild_tensor_v2.__globals__")},
        "it asks for torch._utils._rebuild_tensor_v2.__globals__",
    ),
    "calls a storage": ({"x": _Call("torch.FloatStorage", 4)}, "cannot be read (TypeError"),
    "beyond its storage": ({"x": tensor("0", X, shape=(5,))}, "reaches beyond its numbers"),
    "offset": ({"x": tensor("0", X, offset=1)}, "reaches beyond its numbers"),
    "negative": ({"x": tensor("0", X, strides=(-1,))}, "is malformed"),
    "endless": ({"x": tensor("0", X, shape=(10**9,), strides=(0,))}, "reaches beyond"),
    "short": ({"x": tensor("0", X, size=400)}, "are cut off"),
    "another file": ({"x": tensor("../data.pkl", X)}, "cannot be read (KeyError"),
    "no tensor": ({"x": 3}, "its entry 'x' is no tensor"),
    "a list": ([1], "it holds something else"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_file_is_refused(tmp_path, kind):
    entries, message = HOSTILE[kind]
    marker = tmp_path / "marker"
    if kind in ("runs a command", "evaluates"):
        call = entries["x"]
        entries = {"x": _Call(call.name, call.arguments[0].format(marker=marker))}
    path = tmp_path / "hostile.pth"
    write_pth(path, entries, {"0": X.tobytes()})
    with pytest.raises(runs.UsageError) as caught:
        read_state(path)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert not marker.exists()


def test_what_is_set_on_known_functions_is_forgotten(tmp_path):
    """BUILD sets attributes of whatever lies on the pickle's stack."""
    code = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x09\x00\x00\x00_functionK\x03s\x86b."
    path = tmp_path / "build.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", code)
    with pytest.raises(runs.UsageError, match="holds something else"):
        read_state(path)
    save_pth(tmp_path / "good.pth", {"x": X})
    np.testing.assert_array_equal(read_state(tmp_path / "good.pth")["x"], X)


def test_packed_and_damaged_archives_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    write_pth(path, {"x": tensor("0", X)}, {"0": X.tobytes()}, zipfile.ZIP_DEFLATED)
    with pytest.raises(runs.UsageError, match="is packed or too large"):
        read_state(path)
    write_pth(path, {"x": tensor("0", X)}, {"0": X.tobytes()}, more=[("b/data.pkl", b"")])
    with pytest.raises(runs.UsageError, match=r"it holds 2 files data\.pkl"):
        read_state(path)
    # What torch wrote before 1.6: a pickle by itself.
    path.write_bytes(pickle.dumps({"x": 1}, protocol=2))
    with pytest.raises(runs.UsageError, match=r"read it with torch\.load"):
        read_state(path)
    objects = tmp_path / "o.npz"
    np.savez(objects, x=np.array([{}], dtype=object))
    with pytest.raises(runs.UsageError, match=r"must be an \.npz archive of arrays"):
        read_state(objects)
    for name, message in (("no.pth", "there is none"), ("w.bin", "must end in one of")):
        with pytest.raises(runs.UsageError, match=message):
            read_state(tmp_path / name)


def test_every_wrong_entry_is_named(state):
    model = network()
    before = np.asarray(model.conv.kernel[...])
    wrong = dict(state)
    del wrong["bn1.bias"], wrong["layer4.1.conv2.weight"]
    wrong["layer9.0.conv1.weight"] = X
    wrong["layer2.0.downsample.0.weight"] = X
    wrong["layer1.0.bn1.bias"] = np.full(64, np.nan, np.float32)
    wrong["layer1.0.bn2.bias"] = np.zeros(64, np.int64)
    with pytest.raises(runs.UsageError) as caught:
        put_torch_weights(model, wrong, "w.pth")
    assert str(caught.value) == (
        "Weights 'w.pth' must fit the network, but the file lacks bn1.bias, layer4.1.conv2.weight; "
        "holds what the network has not: layer9.0.conv1.weight; "
        "holds other shapes: layer2.0.downsample.0.weight (4,) instead of (128, 64, 1, 1); "
        "holds what is no finite floating-point number in layer1.0.bn1.bias, layer1.0.bn2.bias."
    )
    np.testing.assert_array_equal(model.conv.kernel[...], before)  # nothing was changed
    with pytest.raises(runs.UsageError, match=r"conv1.weight \(64, 3, 7, 7\) instead of"):
        put_torch_weights(network(stem="small"), state)


def test_head_of_other_classes_is_drawn_anew_or_refused(state):
    model = network(classes=4)
    drawn = np.asarray(model.head.kernel[...])
    with pytest.raises(runs.UsageError, match=r"fc.weight \(10, 512\) instead of \(4, 512\)"):
        put_torch_weights(model, state)
    assert put_torch_weights(model, state, new_head=True) == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(model.head.kernel[...], drawn)
    np.testing.assert_array_equal(
        model.conv.kernel[...], state["conv1.weight"].transpose(2, 3, 1, 0)
    )
    # One that fits is taken, also where another would be drawn.
    same = network()
    assert put_torch_weights(same, state, new_head=True) == []
    np.testing.assert_array_equal(same.head.kernel[...], state["fc.weight"].T)


def test_configuration_reads_the_file_and_is_known_by_its_contents(state, tmp_path):
    path = tmp_path / "w.pth"
    save_pth(path, state)
    config = NetworkConfig("resnet18", weights=str(path))
    model = config.build(input_shape=(32, 32, 3), classes=4)
    np.testing.assert_array_equal(
        model.conv.kernel[...], state["conv1.weight"].transpose(2, 3, 1, 0)
    )
    assert model.normalisation == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    from analogjax.data import load

    def key(**options):
        return identity(NetworkConfig("resnet18", **options), digits, TrainingConfig(), 0)

    digits = load("digits")
    first = key(weights=str(path))
    again = tmp_path / "elsewhere.pth"
    again.write_bytes(path.read_bytes())
    assert key(weights=str(again)) == first
    again.write_bytes(path.read_bytes() + b"x")
    assert key(weights=str(again)) != first
    # Without weights the identity is what it was before there were any to import.
    assert key()["network"] == {"name": "resnet18", "options": {}}

    path.unlink()
    structure = config.build(input_shape=(32, 32, 3), classes=4, weights=False)
    assert structure.normalisation == model.normalisation
    with pytest.raises(runs.UsageError, match="there is none"):
        config.build(input_shape=(32, 32, 3), classes=4)
    with pytest.raises(runs.UsageError, match=r"must come with network\.name=resnet18"):
        NetworkConfig("mlp", weights=str(path)).build(input_shape=(8, 8, 1), classes=4)


@pytest.mark.slow
def test_trained_on_from_a_file(state, tmp_path, monkeypatch):
    """Three classes, a few steps, and the weights back from the cache without the file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "w.pth"
    save_pth(path, state)
    random = np.random.default_rng(3)

    def split(n):
        images = random.integers(0, 256, (n, 32, 32, 3), np.uint8)
        return Split(images, np.arange(n, dtype=np.int32) % 3)

    dataset = Dataset("noise", ("a", "b", "c"), split(16), split(4), split(4))
    config = NetworkConfig("resnet18", weights=str(path))
    recipe = TrainingConfig(epochs=1, batch=8, learning_rate=1e-5, warmup=0.0)
    trained = train_cached(config, dataset, recipe)
    kernel = np.asarray(trained.model.conv.kernel[...])
    begun = state["conv1.weight"].transpose(2, 3, 1, 0)
    # Two steps of Adam move a weight by at most about the learning rate each.
    assert 0 < np.abs(kernel - begun).max() < 1e-4
    again = train_cached(config, dataset, recipe)
    assert again.cached
    np.testing.assert_array_equal(again.model.conv.kernel[...], kernel)
    assert again.model.normalisation == trained.model.normalisation is not None


def test_normalisation_is_checked():
    model = network()
    with pytest.raises(ValueError, match="`mean` must have 3 values, one a channel, but has 1"):
        model.normalise_inputs((0.5,), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="`std` must be finite and above 0"):
        model.normalise_inputs((0.5,) * 3, (1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="`input_mean` must come with `input_std`"):
        NetworkConfig("resnet18", input_mean=[0.5] * 3)


def test_load_from_a_file(state, tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, **state)
    model = network()
    assert load_torch_weights(model, path) == []
    block = model.blocks[2]  # the first of the second group
    np.testing.assert_array_equal(
        block.shortcut.kernel[0, 0], state["layer2.0.downsample.0.weight"][:, :, 0, 0].T
    )
    np.testing.assert_array_equal(
        block.shortcut_norm.var[...], state["layer2.0.downsample.1.running_var"]
    )
