"""Real checkpoints of TensorFlow 1: published indexes, and whole small ones."""

import math
from pathlib import Path

import numpy as np
import pytest
from bundle_cases import sources

from hanmo.convert.tf1.bundle import Bundle, find_prefix
from hanmo.convert.tf1.prefix import data_path, index_path
from hanmo.convert.tf1.writer import write_bundle
from hanmo.core.errors import UserError

WHOLE = {
    "keras-bert-test_checkpoint": 139,
    "tf1_albert_random": 25,
    "tf1_bert_random": 55,
    "tf1_lert_random": 67,
}


@pytest.mark.parametrize(
    ("folder", "variables", "parameters"),
    [
        ("chinese_L-12_H-768_A-12", 206, 102_882_442),
        ("albert_base_zh_google", 33, 10_669_322),
        ("albert_tiny_zh", 31, 4_295_186),
    ],
)
def test_published_indexes(data_dir: Path, folder: str, variables: int, parameters: int) -> None:
    bundle = Bundle(find_prefix(data_dir / "tf1" / f"{folder}.index-only"))
    assert len(bundle.names) == variables
    entries = {name: bundle.entry(name) for name in bundle.names if name != "global_step"}
    assert sum(math.prod(entry.shape) for entry in entries.values()) == parameters
    assert {entry.type_name for entry in entries.values()} == {"DT_FLOAT"}
    with pytest.raises(UserError, match=r"data-00000-of-00001: missing"):
        bundle.read(bundle.names[0])


@pytest.mark.parametrize("folder", WHOLE)
def test_whole_checkpoints_are_read_and_written_to_the_byte(
    data_dir: Path, tmp_path: Path, folder: str
) -> None:
    """All checksums are good; our writing of TensorFlow's tensors is TensorFlow's file."""
    bundle = Bundle(find_prefix(data_dir / "tf1" / folder))
    assert len(bundle.names) == WHOLE[folder]
    arrays = {name: bundle.read(name) for name in bundle.names}
    for array in arrays.values():
        assert array.dtype in (np.float32, np.int64)
        assert np.isfinite(array).all()
    copy = tmp_path / "copy.ckpt"
    write_bundle(copy, sources(arrays))
    assert index_path(copy).read_bytes() == index_path(bundle.prefix).read_bytes()
    assert data_path(copy, 0, 1).read_bytes() == data_path(bundle.prefix, 0, 1).read_bytes()


def test_known_values(data_dir: Path) -> None:
    """Of google-research/bert's program after 20 steps: a gain that has hardly left 1."""
    bundle = Bundle(find_prefix(data_dir / "tf1" / "keras-bert-test_checkpoint"))
    assert bundle.read("global_step") == 20
    gain = bundle.read("bert/embeddings/LayerNorm/gamma")
    np.testing.assert_allclose(gain, [0.9999942, 1.0000056, 0.99999446, 1.0000055], rtol=1e-7)
