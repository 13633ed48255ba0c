"""Uploads survive cuts and restarts; what is not what it says never counts."""

from __future__ import annotations

import hashlib
import resource
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.spool import Spool
from protos.errors import Corrupt, PeerFault, Refused, Unavailable
from protos.words import UploadRef

UPDATE = bytes(range(256)) * 20


def ref(content: bytes = UPDATE, *, round_: int = 3, attempt: int = 1, size=None) -> UploadRef:
    digest = hashlib.sha256(content).hexdigest()
    return UploadRef(round_, attempt, digest, len(content) if size is None else size)


def send(spool: Spool, site: str, content: bytes = UPDATE, **place):
    upload = ref(content, **place)
    with spool.begin(site, upload, 0) as writing:
        writing.write(content)
    return spool.finish(site, upload)


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path, quota_bytes=20_000)


@contextmanager
def file_size_limit(size_bytes: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_update_is_there_when_it_is_finished(spool):
    path = send(spool, "amc")
    assert path.read_bytes() == UPDATE
    assert path.name == f"{ref().digest}.safetensors"
    assert spool.whole("amc", 3, 1) == path
    assert spool.offset("amc", ref()).complete


def test_finishing_twice_gives_the_same_answer(spool):
    path = send(spool, "amc")
    assert spool.finish("amc", ref()) == path


def test_nothing_is_there_before(spool):
    assert spool.offset("amc", ref()).offset == 0
    with pytest.raises(Corrupt):
        spool.whole("amc", 3, 1)


def test_a_cut_upload_goes_on_where_it_stopped(spool):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE[:1000])
    assert spool.offset("amc", ref()).offset == 1000
    with spool.begin("amc", ref(), 1000) as writing:
        writing.write(UPDATE[1000:])
    assert spool.finish("amc", ref()).read_bytes() == UPDATE


def test_after_a_restart_an_upload_goes_on_where_it_stopped(spool, tmp_path):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE[:1000])
    again = Spool(tmp_path)
    assert again.offset("amc", ref()).offset == 1000
    with again.begin("amc", ref(), 1000) as writing:
        writing.write(UPDATE[1000:])
    assert again.finish("amc", ref()).read_bytes() == UPDATE


def test_after_a_restart_a_whole_upload_can_be_finished(spool, tmp_path):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE)
    assert Spool(tmp_path).finish("amc", ref()).read_bytes() == UPDATE


def test_bytes_lost_in_a_crash_are_asked_for_again(spool):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE[:1000])
    part = spool.path("amc", ref()).with_suffix(".part")
    part.write_bytes(UPDATE[:400])
    with spool.begin("amc", ref(), spool.offset("amc", ref()).offset) as writing:
        writing.write(UPDATE[400:])
    assert spool.finish("amc", ref()).read_bytes() == UPDATE


@given(cuts=st.lists(st.integers(0, len(UPDATE)), max_size=8), restart=st.booleans())
def test_cut_anywhere_it_comes_out_whole(cuts, restart, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    spool = Spool(folder)
    for end in [*sorted(cuts), len(UPDATE)]:
        offset = spool.offset("amc", ref()).offset
        with spool.begin("amc", ref(), offset) as writing:
            writing.write(UPDATE[offset:end])
        spool = Spool(folder) if restart else spool
    assert spool.finish("amc", ref()).read_bytes() == UPDATE


@pytest.mark.parametrize("offset", [0, 999, 1001, 5000])
def test_an_upload_that_leaves_a_gap_or_overlaps_is_refused(spool, offset):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE[:1000])
    with pytest.raises(Refused) as caught:
        spool.begin("amc", ref(), offset)
    assert caught.value.rule == "upload-offset"


def test_an_update_with_another_digest_is_refused_and_deleted(spool, tmp_path):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE[:-1] + b"x")
    with pytest.raises(Refused) as caught:
        spool.finish("amc", ref())
    assert caught.value.rule == "wrong-digest"
    assert files(tmp_path) == []
    assert send(spool, "amc").read_bytes() == UPDATE


def test_an_update_that_is_not_all_there_is_refused_and_kept(spool):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE[:1000])
    with pytest.raises(Refused) as caught:
        spool.finish("amc", ref())
    assert caught.value.rule == "upload-short"
    assert spool.offset("amc", ref()).offset == 1000


def test_an_upload_longer_than_it_said_is_a_fault(spool):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE)
        with pytest.raises(PeerFault) as caught:
            writing.write(b"x")
    assert caught.value.rule == "upload-long"
    assert spool.finish("amc", ref()).read_bytes() == UPDATE


def test_a_file_longer_than_it_said_is_refused(spool):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE)
        writing._progress.size_bytes += 1
        writing.write(b"x")
    with pytest.raises(Refused) as caught:
        spool.finish("amc", ref())
    assert caught.value.rule == "wrong-digest"


@pytest.mark.parametrize("spoilt", [bytes(1000), UPDATE + b"x"])
def test_what_was_spoilt_on_the_disk_is_nobodys_lie_and_is_sent_again(spool, tmp_path, spoilt):
    with spool.begin("amc", ref(), 0) as writing:
        writing.write(UPDATE[:1000])
    spool.path("amc", ref()).with_suffix(".part").write_bytes(spoilt)
    started = Spool(tmp_path)
    with started.begin("amc", ref(), len(spoilt)) as writing:
        if rest := UPDATE[len(spoilt) :]:
            writing.write(rest)
    with pytest.raises(Unavailable) as caught:
        started.finish("amc", ref())
    assert caught.value.rule == "upload-spoilt"
    assert files(tmp_path) == []
    assert send(started, "amc").read_bytes() == UPDATE


def test_a_second_update_of_the_same_attempt_is_refused(spool):
    send(spool, "amc")
    for content in (UPDATE, b"another"):
        with pytest.raises(Refused) as caught:
            spool.begin("amc", ref(content), 0)
        assert caught.value.rule == "second-update"


def test_a_second_update_begun_before_the_first_was_whole_is_refused(spool):
    other = ref(b"another")
    with spool.begin("amc", other, 0) as writing:
        writing.write(b"another")
    send_first = Spool(spool._folder)
    part = spool.path("amc", other).with_suffix(".part")
    part.rename(part.with_suffix(".kept"))
    send(send_first, "amc")
    part.with_suffix(".kept").rename(part)
    with pytest.raises(Refused) as caught:
        spool.finish("amc", other)
    assert caught.value.rule == "second-update"


def test_a_site_that_trained_anew_replaces_what_it_had_begun(spool, tmp_path):
    with spool.begin("amc", ref(b"begun and never finished"), 0) as writing:
        writing.write(b"begun")
    send(spool, "amc")
    assert files(tmp_path) == [f"{ref().digest}.safetensors"]


def test_sites_and_attempts_are_kept_apart(spool):
    send(spool, "amc")
    send(spool, "ucl")
    send(spool, "amc", attempt=2)
    assert spool.attempts() == {(3, 1), (3, 2)}
    assert spool.whole("amc", 3, 1) != spool.whole("ucl", 3, 1)


def test_a_newer_transfer_ends_the_older_one(spool):
    older = spool.begin("amc", ref(), 0)
    older.write(UPDATE[:1000])
    with spool.begin("amc", ref(), 1000) as newer:
        with pytest.raises(Unavailable):
            older.write(UPDATE[1000:2000])
        newer.write(UPDATE[1000:])
    assert spool.finish("amc", ref()).read_bytes() == UPDATE


def test_deleting_an_attempt_leaves_nothing_of_it_and_names_what_was_whole(spool, tmp_path):
    send(spool, "amc")
    send(spool, "ucl", b"another")
    with spool.begin("charite", ref(), 0) as writing:
        writing.write(UPDATE[:10])
    kept = send(spool, "amc", attempt=2)
    digests = sorted([ref().digest, ref(b"another").digest])
    assert spool.delete_attempt(3, 1) == digests
    assert files(tmp_path) == [kept.name]
    assert spool.delete_attempt(3, 1) == []


def test_deleting_a_sites_update_leaves_the_others(spool):
    send(spool, "amc")
    other = send(spool, "ucl", b"another")
    assert spool.delete("amc", 3, 1) == [ref().digest]
    assert not spool.offset("amc", ref()).complete
    assert other.exists()


def test_deleting_ends_an_upload_in_flight(spool, tmp_path):
    writing = spool.begin("amc", ref(), 0)
    writing.write(UPDATE[:10])
    spool.delete("amc", 3, 1)
    with pytest.raises(Unavailable):
        writing.write(UPDATE[10:])
    assert files(tmp_path) == []


def test_a_site_cannot_use_more_than_its_quota(spool):
    send(spool, "amc", round_=1)
    send(spool, "amc", round_=2)
    send(spool, "amc", round_=3)
    with pytest.raises(Refused) as caught:
        spool.begin("amc", ref(round_=4), 0)
    assert caught.value.rule == "spool-quota"
    send(spool, "ucl", round_=4)
    spool.delete("amc", 1, 1)
    send(spool, "amc", round_=4)


def test_what_is_declared_counts_before_it_came(spool):
    spool.begin("amc", ref(round_=1, size=15_000), 0)
    with pytest.raises(Refused) as caught:
        spool.begin("amc", ref(round_=2, size=6_000), 0)
    assert caught.value.rule == "spool-quota"


def test_a_full_disk_is_one_sentence_and_the_upload_goes_on_later(spool):
    upload = ref()
    with spool.begin("amc", upload, 0) as writing:
        writing.write(UPDATE[:1000])
        with file_size_limit(2000), pytest.raises(Unavailable, match="is full") as caught:
            writing.write(UPDATE[1000:])
    assert caught.value.rule == "disk-full"
    offset = spool.offset("amc", upload).offset
    assert offset == 2000
    with spool.begin("amc", upload, offset) as writing:
        writing.write(UPDATE[offset:])
    assert spool.finish("amc", upload).read_bytes() == UPDATE


def test_an_update_larger_than_the_disk_is_refused_before_a_byte(tmp_path):
    spool = Spool(tmp_path, quota_bytes=1 << 62)
    with pytest.raises(Unavailable) as caught:
        spool.begin("amc", ref(size=1 << 60), 0)
    assert caught.value.rule == "disk-full"
    assert files(tmp_path) == []


@pytest.mark.parametrize("site", ["../amc", "", "a/b", "amc\n", "AMC", "."])
def test_a_name_that_leads_elsewhere_is_no_name(spool, site):
    with pytest.raises(ValueError, match="no site's name"):
        spool.begin(site, ref(), 0)


@pytest.mark.parametrize("digest", ["../../x", "", "A" * 64, "0" * 63 + "\n"])
def test_a_digest_that_leads_elsewhere_is_no_digest(spool, digest):
    with pytest.raises(ValueError, match="no digest"):
        spool.begin("amc", UploadRef(1, 1, digest, 10), 0)


def test_a_link_in_place_of_a_part_is_not_followed(spool, tmp_path):
    part = spool.path("amc", ref()).with_suffix(".part")
    part.parent.mkdir(parents=True)
    part.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        spool.begin("amc", ref(), 0)


def test_many_sites_upload_at_once(tmp_path):
    spool = Spool(tmp_path)
    contents = {f"site-{i}": bytes([i]) * 50_000 for i in range(8)}

    def upload(site: str) -> None:
        content = contents[site]
        with spool.begin(site, ref(content), 0) as writing:
            for start in range(0, len(content), 7000):
                writing.write(content[start : start + 7000])
        spool.finish(site, ref(content))

    threads = [threading.Thread(target=upload, args=(site,)) for site in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(
        spool.whole(site, 3, 1).read_bytes() == content for site, content in contents.items()
    )
