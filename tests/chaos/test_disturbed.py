"""Whatever is killed and cut, each round is committed once and is what it would have been."""

from __future__ import annotations

import subprocess
import sys

import pytest
import run
import wires


def holds(tmp_path, *argv):
    """Hold that a disturbed run has no finding."""
    assert run.main(["--place", str(tmp_path), *argv]) == 0


@pytest.mark.long
def test_a_sample_of_kills_and_cuts_leaves_the_rounds_as_they_would_have_been(tmp_path):
    few = ("--rounds", "3", "--seconds", "8", "--every", "1.5", "--way", "masked")
    holds(tmp_path, "--light", "--seed", "2", *few)


@pytest.mark.long
@pytest.mark.parametrize("way", ["masked", "plain"])
def test_agents_with_workers_that_train_survive_a_schedule(tmp_path, way):
    holds(tmp_path, "--seed", "1", "--seeds", "2", "--way", way)


@pytest.mark.long
def test_lines_that_are_silent_for_longer_than_the_keepalive_are_waited_out(tmp_path):
    silent = ("--silences", "--kinds", "partition", "half-open", "--every", "20")
    holds(tmp_path, "--light", "--seed", "1", "--seeds", "2", "--way", "masked", *silent)


@pytest.mark.long
def test_one_site_two_and_all_are_apart_for_longer_than_the_keepalive(tmp_path):
    holds(tmp_path, "--partitions", "--way", "masked")


@pytest.mark.long
@pytest.mark.parametrize("way", ["masked-int8", "plain-late"])
def test_who_is_killed_while_it_starts_or_frozen_or_asked_to_end_needs_no_hand(tmp_path, way):
    wild = ("--wild", "--seconds", "30", "--every", "3", "--rounds", "20")
    holds(tmp_path, "--light", "--seed", "1", "--way", way, *wild)


@pytest.mark.long
@pytest.mark.skipif(not wires.can_be_laid(), reason="needs root, unshare, nsenter, ip and tc")
@pytest.mark.parametrize("how", ["--partitions", "--silences"])
def test_hospitals_with_networks_of_their_own_wait_until_the_cable_is_back(tmp_path, how):
    program = (sys.executable, run.__file__, "--place", tmp_path, "--way", "masked")
    few = ("--rounds", "4", "--seconds", "20", "--every", "4")
    argv = (*program, "--namespaces", how, "--seed", "1", *few)
    assert subprocess.run(argv, check=False).returncode == 0
