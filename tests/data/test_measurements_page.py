"""The page on one's own data: its example runs, and its tables say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from analogjax import data

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "your_own_data.md"


@pytest.fixture(scope="module")
def page():
    if not PAGE.is_file():
        pytest.skip("the documentation is not beside the tests")
    return PAGE.read_text(encoding="utf-8")


def block(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def test_the_example(page, tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    monkeypatch.chdir(tmp_path)
    Path("sweeps.csv").write_text(block(page, "csv")[0])
    Path("sweeps.yaml").write_text(block(page, "yaml")[0])
    names = {}
    exec(block(page, "python")[0], names)
    plt.close("all")
    sweeps = names["sweeps"]
    np.testing.assert_allclose(
        sweeps["current"], 1e-6 * np.array([[0, 1.2, 5.1], [0, 0.9, np.nan]]), rtol=1e-15
    )
    np.testing.assert_array_equal(sweeps["voltage"], [[0, 0.5, 1], [0, 0.5, 1]])
    assert sweeps["current"].attrs["missing"] == 1
    assert list(sweeps["device"].values) == ["A", "B"]
    assert len(names["mine"].iv_sweeps) == 1


def test_the_tables(page):
    for name, protocol in data.PROTOCOLS.items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", page, re.MULTILINE)
        common = {"device", "cycle", "temperature", "read_voltage", "label"}
        for variable, spec in protocol.variables.items():
            if variable in common and not spec.needed:
                continue
            # Optional ones are in italics.
            assert (f"`{variable}`" if spec.needed else f"*`{variable}`*") in row, variable
    for name in data.MEASURED_SETS:
        assert f"| `{name}` |" in page
