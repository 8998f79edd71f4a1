"""TensorFlow itself reads what we write, and we read what it writes; skipped without it.

`pip install tensorflow-cpu` into an environment of its own (1.4 GB) and run this file there.
"""

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from bundle_cases import assert_holds, assert_same, random_array, rows, write, write_partitioned
from numpy.typing import NDArray

from hanmo.convert.tf1.bundle import Bundle, find_prefix
from hanmo.convert.tf1.messages import DTYPES
from hanmo.convert.tf1.prefix import data_path, index_path
from hanmo.core.errors import UserError

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf: Any = pytest.importorskip("tensorflow")

SHAPES = ((), (0,), (3,), (2, 0), (4, 5))
ARRAYS = {
    f"{dtype}/{'x'.join(map(str, shape))}": random_array(number, dtype, shape)
    for dtype in DTYPES.values()
    for number, shape in enumerate(SHAPES)
}
TABLE = random_array(1, "<f4", (10, 6))


def save(prefix: Path, arrays: dict[str, NDArray[Any]], slices: dict[str, str]) -> Path:
    """Save with TensorFlow's own operation; `slices`: name → its shape and slice."""
    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=[name.split("#")[0] for name in names],
        shape_and_slices=[slices.get(name, "") for name in names],
        tensors=[tf.constant(arrays[name], tf.as_dtype(arrays[name].dtype)) for name in names],
    )
    return prefix


@pytest.mark.parametrize("shards", [1, 3])
def test_tensorflow_reads_every_type(tmp_path: Path, shards: int) -> None:
    prefix = write(tmp_path / "m.ckpt", ARRAYS, shards=shards)
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(prefix)
    reader = tf.train.load_checkpoint(str(tmp_path))
    shapes = reader.get_variable_to_shape_map()
    assert shapes == {name: list(array.shape) for name, array in ARRAYS.items()}
    types = reader.get_variable_to_dtype_map()
    for name, array in ARRAYS.items():
        # Of the smallest types its Python binding knows no conversion; the operation reads them.
        dtype = types[name]
        (read,) = tf.raw_ops.RestoreV2(
            prefix=str(prefix), tensor_names=[name], shape_and_slices=[""], dtypes=[dtype]
        )
        assert_same(read.numpy(), array)
    for name in ("float32/4x5", "bfloat16/4x5", "int64/", "bool/3", "complex128/2x0"):
        assert np.asarray(reader.get_tensor(name)).tobytes() == ARRAYS[name].tobytes()


def test_we_read_every_type_and_write_the_same_bytes(tmp_path: Path) -> None:
    assert_holds(Bundle(save(tmp_path / "unsorted", ARRAYS, {})), ARRAYS)
    theirs = save(tmp_path / "theirs", dict(sorted(ARRAYS.items())), {})  # as a Saver does
    bundle = Bundle(theirs)
    assert_holds(bundle, ARRAYS)
    ours = write(tmp_path / "ours", ARRAYS)
    assert index_path(ours).read_bytes() == index_path(theirs).read_bytes()
    assert data_path(ours, 0, 1).read_bytes() == data_path(theirs, 0, 1).read_bytes()


def test_an_index_of_many_blocks_has_the_same_bytes(tmp_path: Path) -> None:
    arrays = {
        f"model/layer_{i:05}/{'deep/' * (i % 7)}kernel": np.full(i % 3, i, "<f4")
        for i in range(9000)
    }
    theirs = save(tmp_path / "theirs", arrays, {})
    assert index_path(theirs).stat().st_size > 1 << 18
    ours = write(tmp_path / "ours", arrays)
    assert index_path(ours).read_bytes() == index_path(theirs).read_bytes()
    assert_holds(Bundle(theirs), arrays)


def test_we_read_slices_that_tensorflow_saved(tmp_path: Path) -> None:
    brain = random_array(2, ml_dtypes.bfloat16, (300, 70))
    arrays = {
        "w#1": TABLE[4:7],
        "w#0": TABLE[:4],
        "w#2": TABLE[7:],
        "brain#0": brain[:, :65],
        "brain#1": brain[:200, 65:],
        "brain#2": brain[200:, 65:],
        "whole#0": TABLE,
    }
    slices = {
        "w#0": "10 6 0,4:-",
        "w#1": "10 6 4,3:-",
        "w#2": "10 6 7,3:-",
        "brain#0": "300 70 -:0,65",
        "brain#1": "300 70 0,200:65,5",
        "brain#2": "300 70 200,100:65,5",
        "whole#0": "10 6 -:-",
    }
    bundle = Bundle(save(tmp_path / "m", arrays, slices))
    assert_holds(bundle, {"w": TABLE, "brain": brain, "whole": TABLE})
    assert len(bundle.entry("brain").slices) == 3


def test_tensorflow_reads_slices_that_we_wrote(tmp_path: Path) -> None:
    prefix = write_partitioned(tmp_path / "m", "w", TABLE, rows(TABLE, 4, 7), shards=2)
    reader = tf.train.load_checkpoint(str(prefix))
    assert_same(reader.get_tensor("w"), TABLE)
    large = random_array(4, "<i8", (20_000, 2))
    prefix = write_partitioned(tmp_path / "n", "w", large, rows(large, 63, 64, 8192, 16_000))
    assert_same(tf.train.load_checkpoint(str(prefix)).get_tensor("w"), large)


def test_a_partitioned_variable_and_a_saver(tmp_path: Path) -> None:
    """As BERT's TPU programs have them: a partitioner, an optimiser's step, tf.train.Saver."""
    v1 = tf.compat.v1
    ours = tmp_path / "ours.ckpt"
    with tf.Graph().as_default(), v1.Session() as session:
        table = v1.get_variable(
            "bert/embeddings/word_embeddings",
            shape=(1000, 8),
            dtype=tf.float32,
            initializer=v1.truncated_normal_initializer(stddev=0.02),
            partitioner=v1.fixed_size_partitioner(3),
        )
        kernel = v1.get_variable("kernel", shape=(8, 8), dtype=tf.bfloat16)
        v1.train.get_or_create_global_step()
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(sharded=True)
        (tmp_path / "run").mkdir()
        prefix = saver.save(session, str(tmp_path / "run" / "model.ckpt"), global_step=7)
        values = session.run([tf.concat(list(table), 0), kernel])
        bundle = Bundle(find_prefix(tmp_path / "run"))
        assert str(bundle.prefix) == prefix
        assert_same(bundle.read("bert/embeddings/word_embeddings"), values[0])
        assert_same(bundle.read("kernel"), values[1])
        assert len(bundle.entry("bert/embeddings/word_embeddings").slices) == 3
        # The program reads the whole that we write into its parts.
        write(ours, {name: bundle.read(name) * 2 for name in bundle.names})
        saver.restore(session, str(ours))
        again = session.run([tf.concat(list(table), 0), kernel])
        for one, two in zip(values, again, strict=True):
            assert_same(one * 2, two)


def test_object_based_checkpoints(tmp_path: Path) -> None:
    """TensorFlow 2's have a text beside the numbers, which is listed and not read."""
    variable = tf.Variable(TABLE)
    prefix = tf.train.Checkpoint(w=variable).write(str(tmp_path / "m"))
    bundle = Bundle(Path(prefix))
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" in bundle.names
    assert_same(bundle.read("w/.ATTRIBUTES/VARIABLE_VALUE"), TABLE)
    with pytest.raises(UserError, match="DT_STRING"):
        bundle.read("_CHECKPOINTABLE_OBJECT_GRAPH")


def test_a_checkpoint_of_the_first_format(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", initializer=TABLE)
        session.run(v1.global_variables_initializer())
        path = v1.train.Saver(write_version=1).save(session, str(tmp_path / "model.ckpt"))
    with pytest.raises(UserError, match="first format"):
        find_prefix(Path(path))
    Path(path).rename(f"{path}.index")
    with pytest.raises(UserError, match=r"not the index of .*second format"):
        Bundle(Path(path))
