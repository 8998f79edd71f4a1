"""PaddlePaddle's parameter files: what is written is a pickle of arrays, and damage is refused."""

import io
import pickle
import tracemalloc
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


@pytest.mark.parametrize("protocol", [1, 2, 3, 4])
def test_files_of_paddle_save(protocol: int, tmp_path: Path) -> None:
    """Arrays by name, or pairs of the tensor's own name and the array, and a table of names."""
    array = np.arange(4, dtype=np.float32)
    state = {"a": array, "b": ("b_0.w_0", array), "StructuredToParameterName@@": {"a": "a_0"}}
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps(state, protocol=protocol))
    found = read_parameters(path)
    assert found.keys() == {"a", "b"}
    assert all((stored.read() == array).all() for stored in found.values())


@settings(max_examples=60)
@given(
    st.dictionaries(st.text(min_size=1, max_size=9), ANY, max_size=3),
    st.sampled_from([1, 2, 3, 4]),
    st.booleans(),
    st.booleans(),
)
def test_what_python_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, given: dict, protocol: int, columns: bool, swap: bool
) -> None:
    path = tmp_path_factory.mktemp("pd") / "a.pdparams"
    if columns:
        given = {name: np.asfortranarray(array) for name, array in given.items()}
    foreign = {n: a.astype(a.dtype.newbyteorder(">")) if swap else a for n, a in given.items()}
    path.write_bytes(pickle.dumps(foreign, protocol))
    found = {name: stored.read() for name, stored in read_parameters(path).items()}
    assert found.keys() == given.keys()
    for name, array in given.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("count", [2, 2000])
def test_files_of_python_2(count: int, tmp_path: Path) -> None:
    """Its strings are bytes: names, types and values alike."""
    values = np.linspace(-1, 1, count).astype("<f4")
    raw = values.tobytes()
    short = b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + len(raw).to_bytes(4, "little")
    path = tmp_path / "a.pdparams"
    path.write_bytes(
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01M" + count.to_bytes(2, "little") + b"\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + short + raw + b"tbs."
    )
    assert (read_parameters(path)["a"].read() == values).all()


def test_the_values_are_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    one = np.ones(1 << 20, np.float32)  # 4 MiB
    path.write_bytes(pickle.dumps({f"{n}": one + n for n in range(8)}, 4))
    tracemalloc.start()
    try:
        found = read_parameters(path)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 18
    assert most < 2 * one.nbytes
    assert float(found["5"].read()[7]) == 6


def test_a_file_cut_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps({"a": np.ones(9000, np.float32)}, 4))
    found = read_parameters(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="cut short while it was read"):
        found["a"].read()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "holds list, expected a dict"),
        ({"a": 1}, "a is no array of numbers, but int"),
        ({"a": np.zeros(2, complex)}, "a is no array of numbers, but an array of c16"),
        ({"a": np.array(["x"])}, "a is no array of numbers, but an array of U1"),
        ({"a": io.BytesIO}, "it asks for _io.BytesIO, which hanmo does not run"),
        ({"a": Path("x")}, r"it asks for pathlib\.\w+, which hanmo does not run"),
        ({"a": {1}}, "it has the instruction EMPTY_SET, which hanmo does not run"),
        ({(1, 2): 1}, "a tuple as a name"),
    ],
)
def test_other_pickles_are_refused(value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(UserError, match=message):
        read_parameters(path)


DEEP = 300_000
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty file"),
        (b"}", "damaged"),
        (b"}s.", "it takes more than there is"),
        (b"((.", "it takes more|pop from empty"),
        (b"N" + b"\x85" * DEEP + b"}N", "damaged"),
        # To hash a tuple in a tuple in a tuple … would end the process.
        (b"}N" + b"\x85" * DEEP + b"Ns.", "a tuple as a name"),
        (b"N" + b"\x85" * DEEP + b"X\x01\x00\x00\x00a\x93.", "it asks for what has no name"),
        (b"cnumpy\ndtype\nN" + b"\x85" * DEEP + b"R.", "it calls numpy.dtype with tuple"),
        (b"}" * 1_100_000 + b".", "more than 1,000,000 steps"),
        (b"\x8e" + (1 << 45).to_bytes(8, "little") + b"abc.", "damaged"),
        (b"\x8e" + b"\xff" * 8 + b"abc.", "damaged"),
        (b"NN\x85R.", "it calls what is no name"),
        (b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "it asks for builtins.eval"),
        (RECONSTRUCT + b")RN\x85b.", "it fills what is no array"),
        (RECONSTRUCT + b")Rcnumpy\nndarray\nb.", "it fills what is no array"),
        (b"]a.", "damaged"),
        (b"}Na.", "it appends to what is no list"),
        (b"h\x07.", "damaged"),
    ],
)
def test_bad_instructions(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=message):
        read_parameters(path)


def array_with(shape: bytes, kind: bytes = b"f4", order: bytes = b"<", data: bytes = b"") -> bytes:
    """A pickled dict of one array with a state of this sort."""
    return (
        b"\x80\x04}X\x01\x00\x00\x00a" + RECONSTRUCT + b")R(K\x01" + shape + b"cnumpy\ndtype\n"
        b"\x8c" + bytes([len(kind)]) + kind + b"K\x00K\x01\x87R(K\x03\x8c\x01" + order + b"tb\x89"
        b"C" + bytes([len(data)]) + data + b"tbs."
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (array_with(b"K\x03\x85", data=bytes(8)), r"8 bytes, which its shape \(3,\) contradicts"),
        (array_with(b"J\xff\xff\xff\xff\x85", data=bytes(8)), "without a shape"),
        (array_with(b"K\x02", data=bytes(8)), "without a shape"),
        (array_with(b"\x88\x85", data=bytes(4)), "without a shape"),
        (array_with(b"K\x00\x8a\x08" + b"\xff" * 7 + b"\x7f\x86"), "without a shape"),
        (array_with(b"K\x00" + b"\x8a\x06\xff\xff\xff\xff\xff\x00" * 2 + b"\x87"), "damaged"),
        (array_with(b"(" + b"K\x01" * 70 + b"t", data=bytes(4)), "damaged"),
        (array_with(b"K\x02\x85", order=b"?", data=bytes(8)), "unknown byte order"),
        (array_with(b"K\x02\x85", kind=b"O8", data=bytes(8)), "but an array of O8"),
    ],
)
def test_bad_arrays(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=message):
        read_parameters(path)


def read_or_refused(path: Path) -> None:
    try:
        for stored in read_parameters(path).values():
            assert stored.read().shape == stored.shape
    except UserError:
        pass


def whole_files(folder: Path) -> list[bytes]:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = folder / "a.pdparams"
    write_parameters(path, dict.fromkeys(("a", "b"), Stored.of(array)))
    state = {"a": array, "b": ("b_0.w_0", array), "StructuredToParameterName@@": {"a": "a_0"}}
    return [path.read_bytes(), *(pickle.dumps(state, protocol) for protocol in (2, 4))]


@settings(max_examples=300)
@given(st.data())
def test_damage_is_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("pd") / "a.pdparams"
    raw = bytearray(data.draw(st.sampled_from(whole_files(path.parent))))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        length = data.draw(st.sampled_from([0, 1, 1, 1, 2, 8]))
        put_in = data.draw(st.sampled_from([0, length, length, length]))
        raw[start : start + length] = data.draw(st.binary(min_size=put_in, max_size=put_in))
    cut = data.draw(st.sampled_from([0, 0, 0, 1, 9, len(raw) // 2]))
    path.write_bytes(raw[: len(raw) - cut])
    read_or_refused(path)


INSTRUCTIONS = [
    *(b"}", b"]", b")", b"(", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"N", b"\x88", b"\x89"),
    *(b"R", b"\x81", b"b", b"s", b"u", b"a", b"e", b"\x94", b"q\x01", b"h\x00", b"h\x01", b"\x93"),
    *(b"K\x00", b"K\x02", b"K\x03", b"J\xff\xff\xff\xff", b"C\x00", b"C\x04abcd", b"I01\n"),
    *(b"\x8c\x01a", b"\x8c\x01<", b"\x8c\x02f4", b"\x8c\x06latin1", b"X\x01\x00\x00\x00b"),
    *(RECONSTRUCT, b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n"),
    *(b"ccollections\nOrderedDict\n", b"cbuiltins\ntuple\n", b"c__builtin__\nbytes\n"),
    array_with(b"K\x02\x85", data=bytes(8))[2:-1],
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(INSTRUCTIONS), max_size=40))
def test_instructions_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("pd") / "a.pdparams"
    path.write_bytes(b"\x80\x04" + b"".join(pieces) + b".")
    read_or_refused(path)
