import gzip

import numpy as np
import pytest

from analogjax.data import MeasurementsConfig, read_folder
from analogjax.runs import UsageError

TABLE = "V (V),w (us),G (uS)\n1,1,10\n1,1,12\n"
MAPPING = """\
protocol: pulse_train
columns: {amplitude: V (V), width: w (us), conductance: G (uS)}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "up.csv").write_text(TABLE)
    (tmp_path / "up.yaml").write_text(MAPPING)
    (tmp_path / "down.txt.gz").write_bytes(gzip.compress(TABLE.replace("\n1", "\n-1").encode()))
    (tmp_path / "down.yaml").write_text(MAPPING)
    (tmp_path / "notes.md").write_text("left alone")
    return tmp_path


def test_every_table_is_read_by_the_mapping_beside_it(folder):
    found = read_folder(folder)
    assert found.names == ("down", "up")
    np.testing.assert_allclose(found["up"]["conductance"].values, [[10e-6, 12e-6]])
    assert (found["down"]["amplitude"].values == -1).all()


def test_configuration_chooses_parts_and_assumes(folder):
    config = MeasurementsConfig(folder=str(folder), parts=["up"], assume={"gap": 1e-3})
    found = config.load()
    assert found.names == ("up",)
    assert np.nanmax(found["up"]["gap"].values) == 1e-3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: (f / "up.yaml").unlink(), "Table .*up.csv must have a mapping up.yaml"),
        (lambda f: (f / "up.csv").unlink(), "Mapping .*up.yaml must have a table up.csv"),
        (lambda f: [p.unlink() for p in f.iterdir()], "must hold tables .*, but holds none"),
    ],
    ids=["no mapping", "no table", "nothing"],
)
def test_what_is_missing_is_named(folder, change, sentence):
    change(folder)
    with pytest.raises(UsageError, match=sentence):
        read_folder(folder)


def test_wrong_wishes_are_named(folder):
    with pytest.raises(UsageError, match=r"must be a folder, but .*nowhere is none"):
        read_folder(folder / "nowhere")
    with pytest.raises(UsageError, match="names neither"):
        MeasurementsConfig().load()
    with pytest.raises(UsageError, match="names both"):
        MeasurementsConfig(folder=str(folder), published="wei_pulses").load()
    with pytest.raises(ValueError, match="`parts` must be one of 'down', 'up'"):
        MeasurementsConfig(folder=str(folder), parts=["upp"]).load()
