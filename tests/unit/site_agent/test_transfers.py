"""Files come by digest and go on where they broke off."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest
from simulated import SimulatedLink

from protos.errors import Corrupt, PeerFault, Unavailable
from protos.words import BlobRef, UploadRef
from site_agent.transfers import download, keep, upload

DATA = bytes(range(256)) * 4


@pytest.fixture
def link():
    return SimulatedLink()


def blob_of(link, data=DATA):
    return BlobRef(link.serve(data), len(data))


async def test_a_file_lies_under_its_digest_when_it_is_whole(link, tmp_path):
    blob = blob_of(link)
    path = await download(link, blob, tmp_path)
    assert path == tmp_path / f"{blob.digest}.safetensors"
    assert path.read_bytes() == DATA


async def test_a_file_that_is_there_is_not_asked_for(link, tmp_path):
    blob = blob_of(link)
    await download(link, blob, tmp_path)
    link.asked.clear()
    await download(link, blob, tmp_path)
    assert link.asked == []


async def test_a_broken_download_goes_on_where_it_broke_off(link, tmp_path):
    blob = blob_of(link)
    (tmp_path / f"{blob.digest}.part").write_bytes(DATA[:300])
    await download(link, blob, tmp_path)
    assert link.asked == [("download", 300)]


async def test_a_cut_line_keeps_what_arrived(link, tmp_path):
    blob = blob_of(link)
    whole = link.download

    async def cut(digest, offset):
        async for chunk in whole(digest, offset):
            yield chunk
            raise Unavailable("cut")

    link.download = cut
    with pytest.raises(Unavailable):
        await download(link, blob, tmp_path)
    link.download = whole
    await download(link, blob, tmp_path)
    assert link.asked[-1] == ("download", 100)


@pytest.mark.parametrize("served", [DATA + b"more", DATA[:-1], bytes(len(DATA))])
async def test_another_file_than_promised_is_deleted(link, tmp_path, served):
    blob = BlobRef(hashlib.sha256(DATA).hexdigest(), len(DATA))
    link.files[blob.digest] = served
    with pytest.raises(PeerFault):
        await download(link, blob, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoilt", [b"x" * 300, b"x" * len(DATA), b"x" * (len(DATA) + 1)])
async def test_a_part_that_is_spoilt_on_the_disk_is_fetched_anew(link, tmp_path, spoilt):
    blob = blob_of(link)
    (tmp_path / f"{blob.digest}.part").write_bytes(spoilt)
    assert (await download(link, blob, tmp_path)).read_bytes() == DATA
    assert link.asked[-1] == ("download", 0)


async def test_a_full_disk_is_said_and_what_arrived_is_kept(link, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    blob = blob_of(link)
    with monkeypatch.context() as patched:
        patched.setattr("site_agent.transfers.os.fsync", full)
        with pytest.raises(Unavailable) as told:
            await download(link, blob, tmp_path)
    assert told.value.rule == "disk-full"
    link.asked.clear()
    assert (await download(link, blob, tmp_path)).read_bytes() == DATA
    assert link.asked == []


def test_a_file_that_is_kept_elsewhere_is_durable_there(tmp_path, monkeypatch):
    models, path = tmp_path / "models", tmp_path / "a.safetensors"
    models.mkdir()
    path.write_bytes(DATA)
    kept, truly, durable = models / path.name, os.fsync, []

    def sync(handle):
        truly(handle)
        durable.append((os.fstat(handle).st_ino, kept.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    keep(path, models)
    assert kept.read_bytes() == DATA
    assert durable == [(kept.stat().st_ino, False), (models.stat().st_ino, True)]


def test_a_file_that_a_full_disk_does_not_take_is_not_kept_by_half(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    models, path = tmp_path / "models", tmp_path / "a.safetensors"
    models.mkdir()
    path.write_bytes(DATA)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable) as told:
        keep(path, models)
    assert told.value.rule == "disk-full"
    assert list(models.iterdir()) == []


def update_of(tmp_path):
    path = tmp_path / "update"
    path.write_bytes(DATA)
    return path, UploadRef(1, 1, hashlib.sha256(DATA).hexdigest(), len(DATA))


async def test_an_update_goes_whole_and_brings_a_receipt(link, tmp_path):
    path, ref = update_of(tmp_path)
    receipt = await upload(link, ref, path, b"statement")
    assert (receipt.seq, link.uploads[ref.digest]) == (77, DATA)


async def test_where_nothing_was_sent_before_nobody_is_asked_how_far_it_is(link, tmp_path):
    path, ref = update_of(tmp_path)
    await upload(link, ref, path, b"statement", begun=False)
    assert (link.asked, link.uploads[ref.digest]) == ([("upload", 0)], DATA)


async def test_an_update_goes_on_from_where_the_coordinator_has_it(link, tmp_path):
    path, ref = update_of(tmp_path)
    link.uploads[ref.digest] = DATA[:500]
    await upload(link, ref, path, b"statement")
    assert link.asked[-1] == ("upload", 500)
    assert link.uploads[ref.digest] == DATA


async def test_an_update_that_is_there_already_sends_no_byte(link, tmp_path):
    path, ref = update_of(tmp_path)
    link.uploads[ref.digest] = DATA
    await upload(link, ref, path, b"statement")
    assert link.asked[-1] == ("upload", len(DATA))


@pytest.mark.parametrize("rule", ["upload-offset", "upload-short"])
async def test_an_update_whose_end_was_elsewhere_meanwhile_is_sent_on(link, tmp_path, rule):
    path, ref = update_of(tmp_path)
    link.refuse = rule
    with pytest.raises(Unavailable) as told:
        await upload(link, ref, path, b"statement")
    assert told.value.rule == rule


async def test_an_update_that_was_spoilt_at_the_coordinator_is_sent_again(link, tmp_path):
    path, ref = update_of(tmp_path)
    link.refuse = "wrong-digest"
    with pytest.raises(Unavailable) as told:
        await upload(link, ref, path, b"statement")
    assert told.value.rule == "wrong-digest"


async def test_an_update_that_is_spoilt_here_is_not_sent_again(link, tmp_path):
    path, ref = update_of(tmp_path)
    path.write_bytes(bytes(len(DATA)))
    link.refuse = "wrong-digest"
    with pytest.raises(Corrupt) as told:
        await upload(link, ref, path, b"statement")
    assert told.value.rule == "update-spoilt"


async def test_an_update_that_is_gone_or_cut_short_is_said_so(link, tmp_path):
    path, ref = update_of(tmp_path)
    path.write_bytes(DATA[:-1])
    with pytest.raises(Corrupt):
        await upload(link, ref, path, b"statement")
    path.unlink()
    with pytest.raises(Corrupt):
        await upload(link, ref, path, b"statement")
