"""How a compressed update lies in its file, what the coordinator takes, and what it sums."""

import numpy as np
import pytest

from coordinator import packing
from governance import tensors
from governance.compression.bits import signed
from governance.compression.form import PACKED, Form, Packed, PackedMean, Spread, to_words
from governance.secagg import agreed
from governance.secagg.terms import Part
from protos.errors import PeerFault, Refused

NAMES = (("a", (2, 3)), ("b", (5,)))
INT8 = Form(NAMES, ("y",), 11, {"y": 4})
BOTH = Form(NAMES, ("y", "c"), 11, {"y": 4, "c": 2})
FEW = Form(NAMES, ("y",), 3, {})
AT = np.array([1, 5, 8])
STEPS = np.arange(-5, 6, dtype=np.int8)
SOME = np.array([0.5, -1.5, 4.0], np.float32)


def file_of(tmp_path, form, sent):
    return tensors.write({PACKED: to_words(form, sent)}, tmp_path)


def checked(tmp_path, form, sent, **limits):
    blob = file_of(tmp_path, form, sent)
    packing.check_update(tensors.path_of(tmp_path, blob.digest), form, norm_limits=limits)


def test_a_byte_for_each_number_is_read_back_from_the_file(tmp_path):
    blob = file_of(tmp_path, INT8, {"y": STEPS})
    assert (blob.size, INT8.words) == (INT8.file_bytes, 3)
    path = tensors.path_of(tmp_path, blob.digest)
    assert path.read_bytes()[-12:] == STEPS.tobytes() + b"\0"
    update = Packed(INT8, tensors.load(path))
    assert update.values("y", slice(3, 9)).tolist() == (STEPS[3:9] / 16).tolist()


def test_two_parts_lie_one_after_the_other_each_on_its_own_scale():
    words = to_words(BOTH, {"y": STEPS, "c": STEPS[::-1].copy()})
    update = Packed(BOTH, {PACKED: words})
    assert update.values("y", slice(0, 2)).tolist() == [-5 / 16, -4 / 16]
    assert update.values("c", slice(0, 2)).tolist() == [5 / 4, 4 / 4]


def test_the_mean_of_few_numbers_stands_in_their_places_and_zero_elsewhere():
    updates = [
        Packed(FEW, {PACKED: to_words(FEW, {"y": SOME})}),
        Packed(FEW, {PACKED: to_words(FEW, {"y": -SOME})}),
    ]
    mean = PackedMean(Spread(FEW, AT), updates, [3, 1])
    assert mean.piece("y/a", slice(0, 6)).tolist() == [0, 0.25, 0, 0, 0, -0.75]
    assert mean.piece("y/b", slice(1, 4)).tolist() == [0, 2.0, 0][0:3]
    assert mean.piece("y/b", slice(3, 5)).tolist() == [0, 0]


def test_a_mean_is_the_same_read_whole_or_number_by_number():
    updates = [Packed(INT8, {PACKED: to_words(INT8, {"y": STEPS})})]
    mean = PackedMean(Spread(INT8, None), updates, [7])
    single = [float(mean.piece("y/a", slice(i, i + 1))[0]) for i in range(6)]
    assert single == mean.piece("y/a", slice(0, 6)).tolist() == (STEPS[:6] / 16).tolist()


@pytest.mark.parametrize(
    "update",
    [
        {PACKED: np.zeros(4, np.float32)},
        {PACKED: np.zeros(2, np.float32)},
        {"y/a": np.zeros((2, 3), np.float32), "y/b": np.zeros(5, np.float32)},
        {PACKED: np.array([0, 0, 1 << 30], np.uint32).view(np.float32)},
    ],
    ids=["longer", "shorter", "whole", "hidden"],
)
def test_an_update_of_another_form_is_refused(update, tmp_path):
    blob = tensors.write(update, tmp_path)
    with pytest.raises(PeerFault) as fault:
        packing.check_update(tensors.path_of(tmp_path, blob.digest), INT8, norm_limits={})
    assert fault.value.rule == "wrong-shape"


def test_an_honest_update_is_taken(tmp_path):
    checked(tmp_path, FEW, {"y": SOME}, y=4.4)
    checked(tmp_path, INT8, {"y": STEPS})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused(value, tmp_path):
    with pytest.raises(Refused) as refused:
        checked(tmp_path, FEW, {"y": np.array([0, value, 0], np.float32)})
    assert refused.value.rule == "not-finite"


def test_a_longer_update_than_training_makes_is_refused(tmp_path):
    with pytest.raises(Refused) as refused:
        checked(tmp_path, FEW, {"y": SOME}, y=4.2)
    assert refused.value.rule == "norm"


def test_rounding_may_lengthen_an_update_by_a_step_in_each_number(tmp_path):
    norm = float(np.linalg.norm(STEPS / 16))
    room = np.sqrt(11) / 16
    checked(tmp_path, INT8, {"y": STEPS}, y=norm - room)
    with pytest.raises(Refused):
        checked(tmp_path, INT8, {"y": STEPS}, y=norm - room - 0.01)


def masked_terms(parts):
    class Terms:
        """What of a run's terms says how its vector lies in a file."""

        length = sum(part.length for part in parts)

    Terms.parts = parts
    return Terms


def test_a_masked_vector_leaves_with_the_bits_of_its_parts_and_comes_back():
    weighted = Part(40, 1.0, 3, weighted=True, bits=19)
    terms = masked_terms((weighted, Part(40, 1.0, 3, weighted=False, bits=11)))
    vector = np.arange(80, dtype=np.uint32) * 50021
    words = agreed.to_words(terms, vector)
    assert len(words) == -(-40 * 19 // 32) + -(-40 * 11 // 32)
    back = agreed.from_words(terms, words)
    assert back[:40].tolist() == (vector[:40] % 2**19).tolist()
    assert back[40:].tolist() == (vector[40:] % 2**11).tolist()


def test_masks_cancel_in_a_narrow_ring():
    terms = masked_terms((Part(6, 8.0, 0, weighted=False, bits=11),))
    mask = np.random.default_rng(1).integers(0, 2**32, 6, dtype=np.uint32)
    first, second = (np.array(v, np.int64).astype(np.uint32) for v in ([-127] * 6, [-100] * 6))
    total = sum(
        agreed.from_words(terms, agreed.to_words(terms, masked))
        for masked in (first + mask, second - mask)
    )
    assert signed(total, 11).tolist() == [-227] * 6


@pytest.mark.parametrize("words", [0, 2, 4])
def test_a_masked_vector_of_another_length_breaks_r13(words):
    terms = masked_terms((Part(6, 8.0, 0, weighted=False, bits=11),))
    with pytest.raises(PeerFault) as fault:
        agreed.check_words(terms, np.zeros(words, np.uint32))
    assert fault.value.rule == "secagg-r13"
