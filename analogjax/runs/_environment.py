"""What a run ran on: versions, device, git commit."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from typing import Any

from . import _library

_PACKAGES = (
    "analogjax jax jaxlib flax optax diffrax equinox optimistix lineax jaxtyping "
    "numpy hydra-core omegaconf xarray zarr matplotlib"
).split()


def versions() -> dict[str, str]:
    """Return the versions of the packages that can change a number."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            # analogjax itself, when it is used from a checkout that was never installed.
            found[package] = "not installed"
    return found


def git_commit() -> str | None:
    """Return the commit of the checkout the package lies in, "+changes" if it is not clean.

    Returns:
        None if the package does not lie in a git checkout, or git is missing.
    """
    root = _library.PACKAGE.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def environment(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Describe the environment of a run.

    Args:
        config: The resolved configuration, for seed and precision.
        name: Name of the configuration.

    Returns:
        A nested dictionary that JSON can hold.
    """
    import jax

    device = jax.devices()[0]
    return {
        "configuration": name,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions(),
        "device": device.device_kind,
        "device_count": jax.device_count(),
        "platform": device.platform,
        "precision": config.get("precision"),
        "x64": bool(jax.config.read("jax_enable_x64")),
        "seed": config.get("seed"),
        "git_commit": git_commit(),
    }
