"""The digital models: published sizes, float32 throughout, one program for every platform."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from analogjax import networks
from analogjax.networks._layers import _FEW_PLACES, _by_products, _convolve_by_shape, max_pool

# Every ResNet is the same code: one block in each group keeps the tests fast.
CASES = {
    "mlp": (28, 28, 1),
    "lenet5": (28, 28, 1),
    "lenet5_classic": (28, 28, 1),
    "resnet": (16, 16, 3),
}


def build(name, classes=10, **options):
    if name == "resnet":
        options = {"input_shape": CASES[name], "rngs": nnx.Rngs(0), **options}
        return networks.ResNet((1, 1, 1, 1), classes=classes, **options)
    return networks.build(
        name, input_shape=CASES[name], classes=classes, rngs=nnx.Rngs(0), **options
    )


def images(name, batch=4):
    return jax.random.uniform(jax.random.key(1), (batch, *CASES[name]), jnp.float32)


def loss_of(name):
    """Return the loss as a pure function of parameters and other state, and these two."""
    graph, parameters, rest = nnx.split(build(name), nnx.Param, ...)
    x, y = images(name), jnp.arange(4)

    def loss(parameters, rest):
        model = nnx.merge(graph, parameters, rest, copy=True)
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    return loss, parameters, rest


@pytest.mark.parametrize(
    ("name", "input_shape", "classes", "count"),
    [
        # 784*256 + 256 + 256*10 + 10
        ("mlp", (28, 28, 1), 10, 203_530),
        # (9*1 + 1)*6 + (9*6 + 1)*16 + 785*100 + 101*10
        ("lenet5", (28, 28, 1), 10, 80_450),
        # (25*1 + 1)*6 + (25*6 + 1)*16 + 785*100 + 101*10
        ("lenet5_5x5", (28, 28, 1), 10, 82_082),
        # 156 + 2,416 + 401*120 + 121*84 + 85*10
        ("lenet5_classic", (28, 28, 1), 10, 61_706),
        # (9*1 + 1)*8 + (9*8 + 1)*16 + 577*10
        ("convnet", (28, 28, 1), 10, 7_018),
        # torchvision's resnet18 and resnet34: 11,689,512 and 21,797,672 with 1000 classes
        ("resnet18", (224, 224, 3), 1000, 11_689_512),
        ("resnet34", (224, 224, 3), 1000, 21_797_672),
        ("resnet34", (64, 64, 3), 101, 21_336_485),
    ],
)
def test_parameter_counts(name, input_shape, classes, count):
    model = nnx.eval_shape(
        lambda: networks.build(name, input_shape=input_shape, classes=classes, rngs=nnx.Rngs(0))
    )
    assert networks.parameter_count(model) == count


@pytest.mark.smoke
def test_defaults_are_the_published_networks():
    assert networks.parameter_count(networks.LeNet5(rngs=nnx.Rngs(0))) == 80_450
    assert networks.parameter_count(networks.MLP(rngs=nnx.Rngs(0))) == 203_530
    shapes = nnx.eval_shape(lambda: networks.ResNet34(rngs=nnx.Rngs(0)))
    assert networks.parameter_count(shapes) == 21_336_485


@pytest.mark.parametrize("name", CASES)
def test_logits_and_parameters_are_float32(name):
    model = build(name, classes=7)
    logits = model(images(name))
    assert logits.shape == (4, 7)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype("float32")}
    # A float64 image must not lift the network.
    assert model(images(name).astype(jnp.float64)).dtype == jnp.float32


@pytest.mark.parametrize("name", CASES)
def test_no_float64_in_a_training_step(name):
    loss, parameters, rest = loss_of(name)
    optimiser = optax.adamw(1e-3)
    state = optimiser.init(parameters)

    def step(parameters, rest, state):
        value, gradient = jax.value_and_grad(loss)(parameters, rest)
        updates, state = optimiser.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    text = str(jax.make_jaxpr(step)(parameters, rest, state))
    # Weakly typed Python scalars are arguments of float32 operations, not arrays.
    assert not re.findall(r"f64\[\d", text)
    out = jax.eval_shape(step, parameters, rest, state)
    assert not [leaf for leaf in jax.tree.leaves(out) if leaf.dtype == jnp.float64]


@pytest.mark.parametrize("name", ["mlp", "lenet5", "lenet5_classic"])
def test_jit_is_eager(name):
    model = build(name)
    x = images(name, 32)
    eager, jitted = model(x), nnx.jit(lambda m, x: m(x))(model, x)
    # Sums of up to 784 float32 products in another order: a few ulp of the largest logit.
    np.testing.assert_allclose(jitted, eager, rtol=0, atol=2e-6 * float(jnp.abs(eager).max()))


def test_jit_is_eager_at_a_large_batch():
    # jax issue 39103: fused reductions were silently wrong from 32,769 rows of float32.
    model = networks.MLP(input_shape=(16,), hidden=8, rngs=nnx.Rngs(0))
    x = jax.random.uniform(jax.random.key(0), (40_000, 16), jnp.float32)

    def total(model, x):
        return jnp.sum(model(x) ** 2, dtype=jnp.float32)

    parts = sum(float(total(model, part)) for part in jnp.split(x, 40))
    # float32 sums of 4e5 terms, in two orders.
    assert float(nnx.jit(total)(model, x)) == pytest.approx(parts, rel=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (8, 6), (9, 7)], ids=str)
def test_pooling_is_the_windowed_maximum(size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3), jnp.float32)
    np.testing.assert_array_equal(max_pool(x), nnx.max_pool(x, (2, 2), strides=(2, 2)))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_convolution_by_products_is_the_convolution(size, padding):
    x = jax.random.normal(jax.random.key(0), (2, 9, 7, 3), jnp.float32)
    kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 4), jnp.float32)
    for strides in ((1, 1), (2, 2)):
        own = _by_products(x, kernel, strides, padding)
        lax = jax.lax.conv_general_dilated(
            x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        # float32 sums of up to 75 products in another order.
        np.testing.assert_allclose(own, lax, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("pixels", "size", "patches"), [(4, 3, True), (6, 3, False), (6, 1, True)])
def test_the_form_of_a_convolution_follows_its_shape(pixels, size, patches):
    around = ((size // 2, size // 2),) * 2
    assert (pixels**2 <= _FEW_PLACES or size == 1) is patches
    x = jax.random.normal(jax.random.key(0), (2, pixels, pixels, 8), jnp.float32)
    kernel = jax.random.normal(jax.random.key(1), (size, size, 8, 4), jnp.float32)

    def loss(form, x, kernel):
        return jnp.sum(form(x, kernel, (1, 1), around, dimension_numbers=_IMAGES) ** 2)

    own, lax = (
        jax.grad(loss, argnums=(1, 2))(form, x, kernel)
        for form in (_convolve_by_shape, jax.lax.conv_general_dilated)
    )
    for ours, theirs in zip(own, lax, strict=True):
        # float32 sums of up to 72 squares in another order.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6 * float(jnp.abs(theirs).max()))
    text = jax.jit(partial(loss, _convolve_by_shape)).lower(x, kernel).as_text()
    # Lowered for the CPU that the tests run on.
    assert ("stablehlo.convolution" not in text) is patches


_IMAGES = ("NHWC", "HWIO", "NHWC")


def test_activations_of_one_width():
    model = networks.build(
        "resnet", input_shape=(16, 16, 3), classes=10, rngs=nnx.Rngs(0), blocks=(3,), widths=(8,)
    )
    model.eval()
    found = model.activations(images("resnet"))
    assert [a.shape for a in found] == [(4, 4, 4, 8)] * 4 + [(4, 10)]
    np.testing.assert_array_equal(found[-1], model(images("resnet")))


@pytest.mark.slow
@pytest.mark.parametrize("reduce", ["stride", "pool"])
def test_convnet_has_576_inputs_to_its_head(reduce):
    model = networks.build(
        "convnet", input_shape=(28, 28, 1), classes=10, rngs=nnx.Rngs(0), reduce=reduce
    )
    assert model.head.kernel.shape == (576, 10)
    assert model(images("lenet5")).shape == (4, 10)
    with pytest.raises(ValueError, match="large enough for 2 convolutions"):
        networks.ConvNet(input_shape=(4, 4, 1), reduce=reduce, rngs=nnx.Rngs(0))


def test_batch_normalisation_has_two_modes():
    model = build("resnet")
    x = images("resnet")
    model.eval()
    alone, together = model(x[:1]), model(x)[:1]
    # In evaluation an image's answer does not depend on its neighbours (float32 sums differ).
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-4 * float(jnp.abs(alone).max()))
    before = np.asarray(model.norm.mean[...])
    model.train()
    model(x)
    assert np.abs(np.asarray(model.norm.mean[...]) - before).max() > 0


def test_stems():
    x = images("resnet")
    small = build("resnet", stem="small")
    # Before the first group the small stem keeps all 16 x 16 pixels.
    assert small.conv(x).shape == (4, 16, 16, 64)
    assert build("resnet").conv(x).shape == (4, 8, 8, 64)
    assert small(x).shape == (4, 10)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("which", ["forward", "gradient"])
def test_lowers_for_every_platform_without_the_host(name, which):
    loss, *state = loss_of(name)
    function = jax.jit(loss if which == "forward" else jax.grad(loss))
    leaves, tree = jax.tree.flatten(state)
    flat = jax.jit(lambda *leaves: jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves))))
    exported = jax.export.export(flat, platforms=["cpu", "cuda", "tpu"])(*leaves)
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    targets = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
    assert not {target for target in targets if "callback" in target}


def test_the_same_seed_gives_the_same_weights():
    def weights(seed):
        model = networks.LeNet5(rngs=nnx.Rngs(seed))
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(nnx.state(model))])

    np.testing.assert_array_equal(weights(0), weights(0))
    assert np.abs(weights(0) - weights(1)).max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda r: networks.build("lenet", input_shape=(28, 28, 1), classes=10, rngs=r),
            r"Argument `name` must be one of .*, but is 'lenet' \(did you mean 'lenet5'\?\)\.",
        ),
        (
            lambda r: networks.LeNet5(variant="90k", rngs=r),
            r"Argument `variant` must be one of .*, but is '90k' \(did you mean '80k'\?\)\.",
        ),
        (
            lambda r: networks.LeNet5(rngs=r)(jnp.ones((2, 32, 32, 1), jnp.float32)),
            r"Argument `x` must have shape \(any, 28, 28, 1\), "
            r"but has shape \(2, 32, 32, 1\)\.",
        ),
        (
            lambda r: networks.LeNet5(variant="classic", input_shape=(8, 8, 1), rngs=r),
            r"Argument `input_shape` must be large enough .*, but is \(8, 8, 1\)\.",
        ),
        (
            lambda r: networks.LeNet5(input_shape=(784,), rngs=r),
            r"Argument `input_shape` must be \(height, width, channels\) .*, but is \(784,\)\.",
        ),
        (
            lambda r: networks.MLP(hidden=0, rngs=r),
            r"Argument `hidden` must be a whole number of at least 1, but is 0\.",
        ),
        (
            lambda r: networks.MLP(classes=0, rngs=r),
            r"Argument `classes` must be a whole number of at least 1, but is 0\.",
        ),
        (
            lambda r: networks.ResNet34(stem="tiny", rngs=r),
            r"Argument `stem` must be one of .*, but is 'tiny'.*\.",
        ),
        (
            lambda r: networks.ResNet((1, 1), widths=(8,), rngs=r),
            r"Argument `widths` must be one for each of the 2 groups of blocks, but is \(8,\)\.",
        ),
    ],
)
def test_wrong_input_is_told_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call(nnx.Rngs(0))


def test_remeasured_statistics_are_those_of_the_inputs():
    model = build("resnet")
    model.eval()
    x = images("resnet", 8)
    new = networks.remeasure_statistics(model, x)
    # The stem's normalisation sees its convolution; the variance of flax is the biased one.
    # Sums in float32, in another order.
    seen = np.asarray(model.conv(x)).reshape(-1, model.conv.out_features)
    np.testing.assert_allclose(new.norm.mean[...], seen.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(new.norm.var[...], seen.var(0), rtol=1e-4, atol=1e-6)
    # Evaluated, it is what training saw of this batch; nothing else has changed.
    trained = nnx.clone(model)
    trained.train()
    np.testing.assert_allclose(new(x), trained(x), rtol=1e-4, atol=1e-5)
    assert new.norm.momentum == model.norm.momentum
    assert new.norm.use_running_average
    assert not np.array_equal(new.norm.mean[...], model.norm.mean[...])
    mlp = build("mlp")
    assert networks.remeasure_statistics(mlp, images("mlp")) is mlp
