"""A rehearsal copies the hospitals' files as their programs read them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from coordinator.rehearsal import cast
from governance.agreement.load import load
from governance.settings import load_site

DEMO = Path(__file__).parents[3] / "configs" / "breast-cancer"


@pytest.fixture
def place(tmp_path):
    """Return a folder with the demonstration, one empty file of patients at each hospital."""
    shutil.copytree(DEMO, tmp_path / "demo")
    for file in (tmp_path / "demo").glob("sites/*/site.yaml"):
        (file.parent / "patients.csv").touch()
    return tmp_path / "demo"


def prepared(place, seed=None):
    agreement, out = place / "agreement.yaml", place.parent / "out"
    return cast.prepare(agreement, place / "sites", out, seed=seed)


def edited(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_codes_that_other_readers_take_for_truth_values_stay_text(place):
    file = place / "sites" / "lakeside" / "site.yaml"
    edited(file, "{bösartig: 1, gutartig: 0}", "{yes: 1, NO: 0}")
    copy = load_site(prepared(place).site_file("lakeside"))
    assert copy.cohorts["needle-aspirates"].map["malignant"].codes == {"yes": "1", "NO": "0"}


def test_one_unsafe_term_may_stand_without_a_list(place):
    file = place / "sites" / "lakeside" / "site.yaml"
    edited(file, "unsafe: [no-isolation]", "unsafe: no-isolation")
    assert load_site(prepared(place).site_file("lakeside")).policy.unsafe == ("no-isolation",)


def test_a_seed_is_fixed_in_an_agreement_however_it_is_written(place):
    file = place / "agreement.yaml"
    text = file.read_text(encoding="utf-8")
    begin, end = text.index("privacy:"), text.index("aggregation:")
    flow = (
        "privacy: {clip: 1.0, noise_multiplier: 3.0, delta: 1.0e-5, budget: {epsilon: 4.0},"
        " metrics: {exact: {every: 1}, minimum: 10}}\n"
    )
    file.write_text(text[:begin] + flow + text[end:], encoding="utf-8")
    privacy = prepared(place, seed=7).document.agreement.privacy
    assert privacy is not None
    assert privacy.noise_seed == 7


def test_without_privacy_there_is_no_noise_to_fix(place):
    file = place / "agreement.yaml"
    text = file.read_text(encoding="utf-8")
    begin, end = text.index("privacy:"), text.index("aggregation:")
    text = text[:begin] + "privacy: off\n" + text[end:]
    text = text.replace("{steps: 10, sampling_rate: 0.2}", "{steps: 10, batch: 32}")
    text = text.replace("secure: true", "secure: false")
    file.write_text(text, encoding="utf-8")
    assert prepared(place, seed=7).document.agreement.privacy is None
    assert load(place.parent / "out" / "agreement.yaml").agreement.privacy is None
