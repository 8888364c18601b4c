"""Settings of every test: float64, CPU, a compilation cache that outlives the process."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# All before JAX is imported, and inherited by the subprocesses that some tests start.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / f"jax-{metadata.version('jaxlib')}")
)
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Processes side by side (`-n`): a core each, or their threads wait for one another, and a cache
    # each, because JAX writes an entry while another process may read it.
    os.environ["JAX_COMPILATION_CACHE_DIR"] += f"-{worker}"
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax  # noqa: E402 (the environment comes first)
import pytest  # noqa: E402

if importlib.util.find_spec("submitit"):
    # At its import it closes all handlers of logging, absl's with the stream that is stderr when
    # orbax comes first: in the middle of the tests that would be pytest's own.
    import submitit  # noqa: F401

jax.config.update("jax_enable_x64", True)
# A silent broadcast between ranks is a mistake in physics more often than a wish.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs():
    """Drop the compiled programs of a test file when it is done.

    Every program holds memory maps, of which a process may have 65,530; past that, the compiler
    dies of a segmentation fault.
    """
    yield
    jax.clear_caches()


@pytest.fixture
def project(tmp_path_factory, monkeypatch):
    """Use a tiny project of two experiments in place of the checkout's; return its folder."""
    from analogjax.runs import _library

    root = tmp_path_factory.mktemp("project")
    monkeypatch.setattr(_library, "PACKAGE", _module("fake_project").make(root))
    return root


@pytest.fixture(scope="module")
def module_project(tmp_path_factory):
    """The same for all tests of a file."""
    from analogjax.runs import _library

    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_library, "PACKAGE", _module("fake_project").make(root))
        yield root


@pytest.fixture(scope="session")
def toy_device():
    """Return the class `ToyDevice`: one number for a state, closed forms, quick to compile."""
    return _module("toy_device").ToyDevice


@pytest.fixture(scope="session")
def reduced_device():
    """Return a reduced device made by hand."""
    return _module("reduced_device").made()


@pytest.fixture(scope="session")
def Curve():
    """Return the class `Curve`: a measurement whose prediction is a formula."""
    return _module("fitted_curve").Curve


@pytest.fixture(scope="session")
def curves():
    """Return the module of `Curve`, a measurement that costs nothing to predict."""
    return _module("curve_objective")


def _module(name):
    # By path, because the tests are no package.
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
