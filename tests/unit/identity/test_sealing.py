"""A sealed stream comes back as it went in, or not at all."""

from __future__ import annotations

import io

import pytest

from governance.sealing import Sealing, Unsealing
from protos.errors import Corrupt, Refused

PART = 1 << 20
HEAD = 20 + 16 + 7 + 16


def sealed(data):
    file = io.BytesIO()
    sealing = Sealing(file, b"secret")
    for start in range(0, len(data), 700_001):
        sealing.write(data[start : start + 700_001])
    sealing.finish()
    return file.getvalue()


def unsealed(data):
    unsealing = Unsealing(io.BytesIO(data), b"secret", where="here")
    parts = iter(lambda: unsealing.read(10_240), b"")
    return b"".join(parts)


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART])
def test_what_was_sealed_comes_back(size):
    data = bytes(range(256)) * (size // 256 + 1)
    assert unsealed(sealed(data[:size])) == data[:size]


def test_a_stream_without_its_last_part_is_refused():
    data = sealed(bytes(2 * PART + 5))
    with pytest.raises(Corrupt):
        unsealed(data[: HEAD + 2 * (PART + 16)])


def test_two_parts_that_changed_places_are_refused():
    data = sealed(bytes(2 * PART + 5))
    one, two = data[HEAD : HEAD + PART + 16], data[HEAD + PART + 16 : HEAD + 2 * (PART + 16)]
    with pytest.raises(Corrupt):
        unsealed(data[:HEAD] + two + one + data[HEAD + 2 * (PART + 16) :])


@pytest.mark.parametrize("data", [b"", b"something else", b"concilium-backup/v1\n"])
def test_what_is_no_backup_is_refused(data):
    with pytest.raises(Refused) as refused:
        unsealed(data)
    assert refused.value.rule == "no-backup"
