"""PaddlePaddle's parameter files: what is written is a pickle of arrays, and damage is refused."""

import io
import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanmo.convert.contents import Stored
from hanmo.convert.pdparams import read_parameters, write_parameters
from hanmo.core.errors import UserError

TYPES = [np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_]
ANY = st.sampled_from(TYPES).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0, max_side=300))
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=300), ANY, max_size=4))
def test_what_is_written_python_reads(
    tmp_path_factory: pytest.TempPathFactory, given: dict
) -> None:
    path = tmp_path_factory.mktemp("pd") / "model_state.pdparams"
    given = {name: np.asarray(array) for name, array in given.items() if name.isprintable()}
    write_parameters(path, {name: Stored.of(array) for name, array in given.items()})
    plain = pickle.loads(path.read_bytes())
    ours = {name: stored.read() for name, stored in read_parameters(path).items()}
    for found in (plain, ours):
        assert found.keys() == given.keys()
        for name, array in given.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert found[name].tobytes() == array.tobytes()


def test_bfloat16_is_16_bits_there(tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    path = tmp_path / "a.pdparams"
    write_parameters(path, {"a": Stored.of(array)})
    assert pickle.loads(path.read_bytes())["a"].dtype == np.uint16
    assert (read_parameters(path)["a"].read() == array).all()


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_files_of_paddle_save(protocol: int, tmp_path: Path) -> None:
    """Arrays by name, or pairs of the tensor's own name and the array, and a table of names."""
    array = np.arange(4, dtype=np.float32)
    state = {"a": array, "b": ("b_0.w_0", array), "StructuredToParameterName@@": {"a": "a_0"}}
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps(state, protocol=protocol))
    found = read_parameters(path)
    assert found.keys() == {"a", "b"}
    assert all((stored.read() == array).all() for stored in found.values())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "holds list, expected a dict"),
        ({"a": 1}, "a is no array of numbers, but int"),
        ({"a": io.BytesIO}, "it asks for _io.BytesIO, which hanmo does not run"),
    ],
)
def test_other_pickles_are_refused(value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(UserError, match=message):
        read_parameters(path)


@settings(max_examples=300)
@given(st.data())
def test_damage_is_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("pd") / "a.pdparams"
    write_parameters(path, {"a": Stored.of(np.arange(12, dtype=np.float32).reshape(3, 4))})
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        for stored in read_parameters(path).values():
            stored.read()
    except UserError:
        pass
