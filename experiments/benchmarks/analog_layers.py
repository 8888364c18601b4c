"""Analog layers against aihwkit and aihwkit-lightning: linear, LeNet-5 and ResNet-18.

One problem for all: DAC and ADC of 8 bits, the largest input of each vector as full scale, output
noise of 0.04 (of the largest weight at full input), an ADC that ends at 10, arrays of at most 512
rows with converters of their own; in training a fresh weight noise of 0.05 of the largest weight.
A forward pass has fixed weights and fresh output noise; a training step is a forward and a backward
pass by the weights (batch normalisation as in evaluation). What is not installed is skipped.

Differences that remain: aihwkit-lightning has no output noise outside training, so that its forward
pass is timed in training mode without weight noise; full scale of the noise is the largest
weight of the array there and in aihwkit, of each output here. torch is the digital network.

    python -m pip install -e ".[peers]"
    python experiments/benchmarks/analog_layers.py --cases linear lenet resnet18
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import interleaved, judged, parser, save, table, versions
from flax import nnx

from analogjax.crossbar import (
    Adc,
    CurrentDomain,
    Dac,
    DeviceStatistics,
    Hardware,
    Tile,
    WeightMapping,
)
from analogjax.crossbar.nonidealities import WeightNoise
from analogjax.networks import (
    LeNet5,
    ResNet18,
    convert_to_analog,
    keep_arrays,
    program_analog_weights,
    read_analog_weights,
)

WEIGHT_NOISE, OUTPUT_NOISE, OUTPUT_RANGE, ROWS, BITS = 0.05, 0.04, 10.0, 512, 8
CASES = {
    # Batch, shape of one input, rounds.
    "linear": (256, (512,), 60),
    "lenet": (256, (28, 28, 1), 20),
    "resnet18": (64, (32, 32, 3), 3),
}
Calls = dict[str, Callable[[], Any]]


def hardware(weight_noise: float) -> Hardware:
    """Return pairs of devices in arrays of current."""
    domain = CurrentDomain(
        dac=Dac(BITS), adc=Adc(BITS), output_noise=OUTPUT_NOISE, output_range=OUTPUT_RANGE
    )
    effects = (WeightNoise(weight_noise),) if weight_noise else ()
    return Hardware(
        DeviceStatistics(1e4, 1e6, effects=effects),
        WeightMapping("differential", "channel", space="G"),
        bits=None,
        tile=Tile(domain, rows=ROWS),
    )


class _Linear(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.layer = nnx.Linear(512, 512, rngs=rngs)

    def __call__(self, x):
        return self.layer(x)


def _our_model(case: str) -> nnx.Module:
    rngs = nnx.Rngs(0)
    if case == "linear":
        return _Linear(rngs)
    if case == "lenet":
        return LeNet5(rngs=rngs)
    model = ResNet18(input_shape=(32, 32, 3), classes=10, stem="small", rngs=rngs)
    model.eval()
    return model


def ours(case: str, x: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a forward pass and a training step of ours."""
    images, model = jnp.asarray(x), _our_model(case)
    kept = keep_arrays(convert_to_analog(model, hardware(0.0)))
    graph, state = nnx.split(kept)

    @jax.jit
    def forward(state, x, key):
        return read_analog_weights(nnx.merge(graph, state), key=key)(x)

    trained = convert_to_analog(model, hardware(WEIGHT_NOISE))
    graph_2, params, rest = nnx.split(trained, nnx.Param, ...)

    @jax.jit
    def step(params, rest, x, key):
        def loss(params):
            analog = nnx.merge(graph_2, params, rest)
            return jnp.sum(program_analog_weights(analog, key=key, trainable=True)(x) ** 2)

        return jax.value_and_grad(loss)(params)

    keys = iter(jax.random.split(jax.random.key(1), 10_000))
    return (
        lambda: forward(state, images, next(keys)),
        lambda: step(params, rest, images, next(keys)),
    )


def _torch_model(case: str) -> Any:
    import torch
    from torch import nn

    torch.manual_seed(0)
    if case == "linear":
        return nn.Linear(512, 512)
    if case == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(6, 16, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(784, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)
            self.past = nn.Identity()
            if stride != 1 or inputs != outputs:
                self.past = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            y = torch.relu(self.norm1(self.conv1(x)))
            return torch.relu(self.norm2(self.conv2(y)) + self.past(x))

    layers = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    before = 64
    for group, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            layers.append(Block(before, width, 2 if group > 0 and block == 0 else 1))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def _for_torch(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1) if x.ndim == 4 else x))


def _still(model: Any) -> Any:
    """Put batch normalisation, and nothing else, into evaluation."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


def _of_torch(
    model: Any, trained: Any, x: np.ndarray
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import torch

    images = _for_torch(x)

    def forward():
        with torch.no_grad():
            model(images)

    def step():
        trained.zero_grad()
        # aihwkit draws the weight noise of a step when the last one has ended.
        for module in trained.modules():
            for tile in getattr(module, "analog_tiles", list)():
                tile.post_update_step()
        torch.sum(trained(images) ** 2).backward()

    return forward, step


def digital(case: str, x: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the digital network in torch."""
    model = _still(_torch_model(case))
    return _of_torch(model, model, x)


def aihwkit(case: str, x: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the network in aihwkit (`InferenceRPUConfig`)."""
    from aihwkit.nn.conversion import convert_to_analog as convert
    from aihwkit.simulator.configs import InferenceRPUConfig
    from aihwkit.simulator.parameters.enums import (
        BoundManagementType,
        NoiseManagementType,
        WeightModifierType,
        WeightNoiseType,
    )

    config = InferenceRPUConfig()
    forward = config.forward
    forward.inp_res = forward.out_res = 1 / (2**BITS - 2)
    forward.out_noise, forward.out_bound = OUTPUT_NOISE, OUTPUT_RANGE
    forward.w_noise, forward.w_noise_type = 0.0, WeightNoiseType.NONE
    forward.noise_management = NoiseManagementType.ABS_MAX
    forward.bound_management = BoundManagementType.NONE
    config.mapping.max_input_size = ROWS
    config.mapping.max_output_size = 0
    config.mapping.weight_scaling_omega = 1.0
    config.mapping.weight_scaling_columnwise = True
    config.modifier.type = WeightModifierType.ADD_NORMAL
    config.modifier.std_dev = WEIGHT_NOISE
    model = convert(_torch_model(case), config).eval()
    return _of_torch(model, _still(convert(_torch_model(case), config).train()), x)


def lightning(case: str, x: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the network in aihwkit-lightning."""
    from aihwkit_lightning.nn.conversion import convert_to_analog as convert
    from aihwkit_lightning.simulator.configs import TorchInferenceRPUConfig
    from aihwkit_lightning.simulator.parameters import WeightNoiseInjectionType

    def config(noise: float) -> Any:
        result = TorchInferenceRPUConfig()
        result.forward.inp_res = result.forward.out_res = 2**BITS - 2
        result.forward.out_noise, result.forward.out_bound = OUTPUT_NOISE, OUTPUT_RANGE
        result.mapping.max_input_size = ROWS
        result.pre_post.input_range.enable = True
        result.pre_post.input_range.dynamic = True
        if noise:
            result.modifier.noise_type = WeightNoiseInjectionType.ADD_NORMAL_PER_CHANNEL
            result.modifier.std_dev = noise
        return result

    models = [
        _still(convert(_torch_model(case), config(noise)).train()) for noise in (0.0, WEIGHT_NOISE)
    ]
    return _of_torch(*models, x)


CONTESTANTS = {
    "torch": ("torch", digital),
    "aihwkit": ("aihwkit", aihwkit),
    "aihwkit-lightning": ("aihwkit_lightning", lightning),
    "analogjax": ("analogjax", ours),
}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    args = options.parse_args()
    present = {}
    for name, (module, make) in CONTESTANTS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed and is skipped.")
        else:
            present[name] = make
    numbers, rows, verdicts = {}, [], []
    for case in args.cases:
        batch, shape, rounds = CASES[case]
        x = np.random.default_rng(0).uniform(-1, 1, (batch, *shape)).astype(np.float32)
        made = {name: make(case, x) for name, make in present.items()}
        for which, kind in enumerate(("forward", "training step")):
            calls: Calls = {name: pair[which] for name, pair in made.items()}
            best = interleaved(calls, rounds)
            numbers[f"{case}, {kind}"] = best
            rows.append(
                (
                    f"{case}, {kind}",
                    *(f"{1e3 * best[n]:.3g}" if n in best else "-" for n in CONTESTANTS),
                )
            )
            print(rows[-1], "load", os.getloadavg()[0], flush=True)
            verdicts += _verdict(case, which, best)
    print(table(rows, ("ms", *CONTESTANTS)))
    if verdicts:
        print(judged(verdicts))
    print(f"load averages {os.getloadavg()}; {versions('jax', 'flax', *_installed(present))}")
    save(args.out, numbers)


def _installed(present: dict[str, Any]) -> list[str]:
    return [name for name in present if name != "analogjax"]


def _verdict(case: str, which: int, best: dict[str, float]) -> list[tuple]:
    """Return figures against targets; torch, the digital network, is no peer."""
    peers = {n: t for n, t in best.items() if n not in ("torch", "analogjax")}
    if not peers:
        return []
    share = best["analogjax"] / min(peers.values())
    what = f"{case}, {('forward', 'training step')[which]}"
    if case == "linear":
        return [(f"{what}: ours / fastest peer", share, "", (0.5, 0.6)[which], False)]
    return [(f"{what}: fastest peer / ours", 1 / share, "", 4.0, True)]


if __name__ == "__main__":
    main()
