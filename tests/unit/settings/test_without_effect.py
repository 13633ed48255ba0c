"""What a hospital's file says and nothing acts upon yet is said by its name."""

from __future__ import annotations

from pathlib import Path

import yaml

from governance.settings import load_site, without_effect

SAMPLE = Path(__file__).parents[3] / "configs" / "agreement-example" / "site.yaml"


def test_each_setting_that_nothing_acts_upon_is_named(tmp_path):
    said = yaml.safe_load(SAMPLE.read_text())
    said["resources"]["device"] = "cuda"
    file = tmp_path / "site.yaml"
    file.write_text(yaml.safe_dump(said))
    assert without_effect(load_site(file)) == ("resources.device",)


def test_a_file_that_says_none_of_them_gives_nothing_to_say(tmp_path):
    said = yaml.safe_load(SAMPLE.read_text())
    file = tmp_path / "site.yaml"
    file.write_text(yaml.safe_dump(said))
    assert without_effect(load_site(file)) == ()
