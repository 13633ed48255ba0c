"""Tensors on disk are read strictly and always written alike."""

from __future__ import annotations

import json
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from governance import files, tensors
from protos.errors import Corrupt, PeerFault, Unavailable

MODEL = {
    "1.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.array([1.5, -2.5], dtype=np.float32),
    "scale": np.array(3.0, dtype=np.float32),
}
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def raw(header: str | bytes, data: bytes = b"", *, pad: bool = True) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    if pad:
        text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def refuse(path, content: bytes) -> PeerFault:
    path.write_bytes(content)
    with pytest.raises(PeerFault) as caught:
        tensors.load(path)
    assert caught.value.rule == "bad-tensors"
    return caught.value


@contextmanager
def file_size_limit(size_bytes: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_read_back(tmp_path):
    ref = tensors.write(MODEL, tmp_path)
    path = tensors.path_of(tmp_path, ref.digest)
    loaded = tensors.load(path)
    assert list(loaded) == sorted(MODEL)
    assert all(np.array_equal(loaded[name], MODEL[name]) for name in MODEL)
    assert tensors.shapes(path) == {name: array.shape for name, array in MODEL.items()}
    assert files.digest_of(path) == ref
    assert ref.size == path.stat().st_size


def test_the_same_tensors_give_the_same_bytes_in_any_order(tmp_path):
    backwards = dict(reversed(MODEL.items()))
    assert tensors.write(MODEL, tmp_path / "a") == tensors.write(backwards, tmp_path / "b")


def test_the_safetensors_library_reads_our_files(tmp_path):
    path = tensors.path_of(tmp_path, tensors.write(MODEL, tmp_path).digest)
    theirs = safetensors.numpy.load_file(path)
    assert {name: array.tolist() for name, array in theirs.items()} == {
        name: array.tolist() for name, array in MODEL.items()
    }


def test_we_read_the_safetensors_librarys_files_and_write_the_same_bytes(tmp_path):
    theirs = tmp_path / "theirs"
    safetensors.numpy.save_file(MODEL, theirs)
    ours = tensors.path_of(tmp_path, tensors.write(MODEL, tmp_path).digest)
    assert np.array_equal(tensors.load(theirs)["1.weight"], MODEL["1.weight"])
    assert ours.read_bytes() == theirs.read_bytes()


def test_loaded_tensors_are_views_of_the_file_and_cannot_be_written(tmp_path):
    path = tensors.path_of(tmp_path, tensors.write(MODEL, tmp_path).digest)
    view = tensors.load(path)["1.weight"]
    assert not view.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 9


def test_a_transposed_array_is_written_in_c_order(tmp_path):
    array = MODEL["1.weight"].T
    path = tensors.path_of(tmp_path, tensors.write({"w": array}, tmp_path).digest)
    assert np.array_equal(tensors.load(path)["w"], array)


def test_pieces_give_the_same_file_as_the_whole(tmp_path):
    values = np.arange(1000, dtype=np.float32)
    whole = tensors.write({"v": values}, tmp_path)
    with tensors.Writer(tmp_path, {"v": (1000,)}) as writer:
        for part in tensors.chunks(1000, size_bytes=64):
            writer.append(values[part])
        assert writer.commit() == whole


def test_a_writer_left_early_leaves_nothing(tmp_path):
    with tensors.Writer(tmp_path, {"v": (4,)}) as writer:
        writer.append(np.zeros(2, np.float32))
        with pytest.raises(ValueError, match="wrote"):
            writer.commit()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    with file_size_limit(4096), pytest.raises(Unavailable, match="is full") as caught:
        tensors.write({"v": np.zeros(1 << 20, np.float32)}, tmp_path)
    assert caught.value.rule == "disk-full"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_under_its_name_is_corrupt(tmp_path):
    path = tensors.path_of(tmp_path, tensors.write(MODEL, tmp_path).digest)
    tensors.verify(path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Corrupt):
        tensors.verify(path)


def test_chunks_cover_everything_once():
    parts = list(tensors.chunks(10, size_bytes=16))
    assert [(part.start, part.stop) for part in parts] == [(0, 4), (4, 8), (8, 10)]


def test_prefixes_are_put_on_and_taken_off():
    assert tensors.add_prefix("y", {"a": 1}) == {"y/a": 1}
    assert tensors.under_prefix("y", {"y/a": 1, "c/a": 2, "yy/a": 3}) == {"a": 1}


HOSTILE = {
    "no header": b"\0" * 8,
    "longer than the file": (1 << 63).to_bytes(8, "little") + b"{}",
    "longer than the limit": (1 << 23).to_bytes(8, "little") + b" " * (1 << 23),
    "no JSON": raw("{"),
    "not a map": raw("[1, 2, 3]"),
    "no tensor": raw("{}"),
    "spaces before": raw(" " + json.dumps({"a": ENTRY}), bytes(8)),
    "duplicate name": raw('{"a":%s,"a":%s}' % ((json.dumps(ENTRY),) * 2), bytes(8)),
    "duplicate field": raw(
        '{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)
    ),
    "metadata": raw(json.dumps({"__metadata__": {"a": "b"}, "a": ENTRY}), bytes(8)),
    "entry no map": raw('{"a":[]}'),
    "field missing": raw('{"a":{"dtype":"F32","shape":[2]}}', bytes(8)),
    "field more": raw(json.dumps({"a": ENTRY | {"x": 1}}), bytes(8)),
    "float64": raw(json.dumps({"a": ENTRY | {"dtype": "F64", "shape": [1]}}), bytes(8)),
    "name empty": raw(json.dumps({"": ENTRY}), bytes(8)),
    "name long": raw(json.dumps({"a" * 257: ENTRY}), bytes(8)),
    "name with NUL": raw(json.dumps({"a\0": ENTRY}), bytes(8)),
    "not ASCII": raw(json.dumps({"é": ENTRY}, ensure_ascii=False), bytes(8)),
    "shape negative": raw(json.dumps({"a": ENTRY | {"shape": [-2]}}), bytes(8)),
    "shapes negative twice": raw(json.dumps({"a": ENTRY | {"shape": [-1, -2]}}), bytes(8)),
    "shape zero": raw(
        json.dumps({"a": ENTRY, "b": ENTRY | {"shape": [0], "data_offsets": [8, 8]}}), bytes(8)
    ),
    "shape true": raw(
        '{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', bytes(4), pad=True
    ),
    "shape float": raw(json.dumps({"a": ENTRY | {"shape": [2.0]}}), bytes(8)),
    "shape huge": raw(json.dumps({"a": ENTRY | {"shape": [1 << 62, 1 << 62]}}), bytes(8)),
    "shape no list": raw(json.dumps({"a": ENTRY | {"shape": 2}}), bytes(8)),
    "nine dimensions": raw(json.dumps({"a": ENTRY | {"shape": [2] + [1] * 8}}), bytes(8)),
    "a number of 5000 digits": raw('{"a":%s}' % ("9" * 5000), bytes(8)),
    "NaN": raw('{"a":NaN}', bytes(8)),
    "deep": raw("[" * 100_000),
    "offsets three": raw(json.dumps({"a": ENTRY | {"data_offsets": [0, 8, 8]}}), bytes(8)),
    "offsets short": raw(json.dumps({"a": ENTRY | {"data_offsets": [0, 4]}}), bytes(8)),
    "offsets backwards": raw(json.dumps({"a": ENTRY | {"data_offsets": [8, 0]}}), bytes(8)),
    "gap before": raw(json.dumps({"a": ENTRY | {"data_offsets": [8, 16]}}), bytes(16)),
    "gap between": raw(
        json.dumps({"a": ENTRY, "b": ENTRY | {"data_offsets": [16, 24]}}), bytes(24)
    ),
    "overlap": raw(json.dumps({"a": ENTRY, "b": ENTRY}), bytes(8)),
    "half overlap": raw(
        json.dumps({"a": ENTRY, "b": ENTRY | {"data_offsets": [4, 12]}}), bytes(12)
    ),
    "bytes after": raw(json.dumps({"a": ENTRY}), bytes(9)),
    "bytes missing": raw(json.dumps({"a": ENTRY}), bytes(7)),
    "offsets past the end": raw(
        json.dumps({"a": ENTRY | {"data_offsets": [80, 88]}}), bytes(8)
    ),
    "not aligned": raw(json.dumps({"aa": ENTRY}) + " ", bytes(8), pad=False),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_a_fault_of_the_peer(case, tmp_path):
    refuse(tmp_path / "f", HOSTILE[case])


def test_the_hostile_cases_start_from_a_good_one(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(raw(json.dumps({"a": ENTRY}), bytes(8)))
    assert tensors.shapes(path) == {"a": (2,)}


def test_file_larger_than_the_limit_is_refused(tmp_path):
    path = tensors.path_of(tmp_path, tensors.write(MODEL, tmp_path).digest)
    with pytest.raises(PeerFault, match="must have 9 to 100"):
        tensors.load(path, limit_bytes=100)


def test_too_many_tensors_are_refused(tmp_path):
    entries = {
        f"t{i}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
        for i in range(10_001)
    }
    refuse(tmp_path / "f", raw(json.dumps(entries), bytes(4 * 10_001)))


@given(content=st.binary(max_size=200))
def test_random_bytes_never_do_worse_than_a_fault(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(content)
    with pytest.raises(PeerFault):
        tensors.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)
ALMOST = st.dictionaries(
    st.sampled_from(["a", "b", "y/a", "__metadata__", ""]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F32", "F16"]) | JSON,
            "shape": st.lists(st.integers(-2, 5), max_size=3) | JSON,
            "data_offsets": st.lists(st.integers(-4, 40), min_size=2, max_size=2) | JSON,
        }
    )
    | JSON,
    max_size=3,
)


@given(header=ALMOST, data=st.binary(max_size=48))
def test_a_forged_header_is_refused_or_describes_the_whole_file(header, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "forged"
    path.write_bytes(raw(json.dumps(header), data))
    try:
        loaded = tensors.load(path)
    except PeerFault:
        return
    assert sum(view.nbytes for view in loaded.values()) == len(data)


@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_the_digest(where, bit, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    ref = tensors.write(MODEL, folder)
    content = bytearray(tensors.path_of(folder, ref.digest).read_bytes())
    content[where % len(content)] ^= 1 << bit
    path = folder / "flipped"
    path.write_bytes(content)
    try:
        tensors.load(path)
    except PeerFault:
        return
    assert files.digest_of(path).digest != ref.digest
