"""A release's folder in other hands: whatever is changed in it is found."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import pytest_asyncio
from federations import SITES, officer_of
from test_releases import folder_of, release, trained, witnessed

from governance import statements
from governance.identity.keys import SigningKey
from governance.ledger import release_folder, release_proof
from protos.errors import PeerFault, Refused

TRUSTED = {name: frozenset({officer_of(name).key_id}) for name in SITES}


@pytest_asyncio.fixture
async def place(fed, tmp_path):
    await trained(fed)
    await release(fed)
    await witnessed(fed, *SITES)
    return await folder_of(fed, tmp_path / "v1")


def edited(place, name, change):
    """Return a copy of a folder with one file of it changed."""
    copy = place.with_name("edited")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place, copy)
    path = copy / name
    path.write_bytes(change(path.read_bytes()))
    return copy


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def dropped(place, kind):
    """Return the parts of a folder without its entries of a kind."""
    parts = release_folder.read(place)
    kept = [one for one in parts.entries if f'"kind":"{kind}"' not in _payload(one)]
    assert len(kept) < len(parts.entries)
    return replace(parts, entries=tuple(kept))


def _payload(one):
    return statements.read(one.envelope).payload.decode()


def fault(parts, **more):
    with pytest.raises((Refused, PeerFault)) as broken:
        release_proof.check(parts, **more)
    return broken.value.rule


def test_an_edited_file_is_named(place):
    assert release_folder.verify(place, trusted=TRUSTED).verified
    faults = {
        "model.safetensors": (flipped, "release-model"),
        "model-card.json": (lambda b: b.replace(b"CC-BY", b"CC-BX"), "release-card"),
        "model-card.md": (lambda b: b + b"It is certified.\n", "altered-file"),
        "LICENCE": (lambda b: b"public domain\n", "altered-file"),
        "README.md": (lambda b: b"", "altered-file"),
    }
    for name, (change, rule) in faults.items():
        verdict = release_folder.verify(edited(place, name, change))
        assert (name, verdict.fault) == (name, rule)


def test_an_entry_that_was_changed_is_not_in_the_tree(place):
    def later(lines):
        said = [json.loads(line) for line in lines.splitlines()]
        said[-1]["received_at"] = said[-1]["received_at"].replace("2026", "2027")
        dumped = (json.dumps(one, sort_keys=True, separators=(",", ":")) for one in said)
        return "\n".join(dumped).encode() + b"\n"

    assert (
        release_folder.verify(edited(place, "lineage/entries.jsonl", later)).fault
        == "bad-proof"
    )


def test_a_damaged_folder_is_no_release(place):
    with pytest.raises(Refused, check=lambda p: p.rule == "not-a-release"):
        release_folder.verify(edited(place, "lineage/entries.jsonl", lambda b: b"{}\n"))
    for line in (b'{"envelope":3,"inclusion":[],"received_at":"","seq":0}', b"[" * 100_000):
        with pytest.raises(Refused, check=lambda p: p.rule == "not-a-release"):
            release_folder.verify(
                edited(place, "lineage/entries.jsonl", lambda _, new=line: new)
            )
    (place / "lineage" / "checkpoint").unlink()
    with pytest.raises(Refused, check=lambda p: p.rule == "not-a-release"):
        release_folder.verify(place)


@pytest.mark.parametrize("kind", ["round-closed", "release-published", "agreement-in-force"])
def test_a_release_comes_with_all_that_it_rests_on(place, kind):
    assert fault(dropped(place, kind)) == "release-unproven"


def test_a_hospital_whose_keys_are_not_shown_is_no_witness(place):
    parts = release_folder.read(place)
    hidden = [one for one in parts.entries if '"actor":"site/' in _payload(one)]
    kept = tuple(one for one in parts.entries if one not in hidden)
    assert fault(replace(parts, entries=kept)) == "release-not-witnessed"


def test_too_few_cosignatures_are_not_enough(place):
    parts = release_folder.read(place)
    lines = parts.checkpoint.splitlines(keepends=True)
    few = "".join(line for line in lines if "site/amc" not in line and "site/ucl" not in line)
    assert fault(replace(parts, checkpoint=few)) == "release-not-witnessed"


def test_an_agreement_of_other_terms_is_not_taken(place):
    parts = release_folder.read(place)
    (own,) = parts.agreements
    other = own.replace(b"CC-BY-4.0", b"CC-BY-4.1")
    assert fault(replace(parts, agreements=(other,))) == "release-unproven"
    assert fault(replace(parts, agreements=(own, other))) == "release-unproven"


def test_entries_in_another_order_are_not_taken(place):
    parts = release_folder.read(place)
    first, second, third, *rest = parts.entries
    assert fault(replace(parts, entries=(first, third, second, *rest))) == "release-unproven"


def test_hospitals_that_the_reader_does_not_know_are_named(place):
    parts = release_folder.read(place)
    stranger = frozenset({SigningKey.generate().key_id})
    assert fault(parts, trusted={**TRUSTED, "amc": stranger}) == "untrusted-key"
    assert fault(parts, trusted={"amc": TRUSTED["amc"]}) == "untrusted-key"


def test_a_release_is_not_written_over_other_files(place, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(Refused, check=lambda p: p.rule == "not-a-release"):
        release_folder.write(release_folder.read(place), place / "model.safetensors", other)
    assert (other / "thesis.txt").read_text() == "mine"
    release_folder.write(release_folder.read(place), place / "model.safetensors", place)
    assert release_folder.verify(place).verified
