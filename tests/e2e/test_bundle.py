"""What `make bundle` makes installs without a network, is what it says, and hides nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "concilium"
    subprocess.run([sys.executable, ROOT / "configs/bundle/bundle.py", out], check=True)
    return out


def without_network(*command):
    """Run a command in a namespace that has no network, not even a loopback that is up."""
    unshare = shutil.which("unshare")
    assert unshare, "util-linux is needed"
    return subprocess.run(
        [unshare, "--map-root-user", "--net", *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("program", ["ledger", pytest.param("site", marks=pytest.mark.long)])
def test_a_program_installs_and_answers_without_a_network(bundle, tmp_path, program):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    wheels, wanted = bundle / "wheels", bundle / "requirements" / f"{program}.txt"
    options = (
        "--quiet",
        "--no-index",
        "--find-links",
        wheels,
        "--require-hashes",
        "-r",
        wanted,
    )
    without_network(venv / "bin" / "pip", "install", *options)
    said = without_network(venv / "bin" / f"concilium-{program}", "--help")
    assert f"Usage: concilium-{program}" in said


@pytest.mark.long
def test_an_altered_wheel_is_not_installed(bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle / "requirements", copy / "requirements")
    (copy / "wheels").mkdir()
    for wheel in (bundle / "wheels").glob("*.whl"):
        (copy / "wheels" / wheel.name).hardlink_to(wheel)
    victim = next((copy / "wheels").glob("structlog-*.whl"))
    altered = victim.read_bytes() + b"\0"
    victim.unlink()
    victim.write_bytes(altered)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    options = ("--no-index", "--find-links", copy / "wheels", "--require-hashes")
    done = subprocess.run(
        [venv / "bin" / "pip", "install", *options, "-r", copy / "requirements" / "ledger.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_every_file_has_its_hash(bundle):
    sums = dict(
        reversed(line.split("  ", 1))
        for line in (bundle / "SHA256SUMS").read_text().splitlines()
    )
    files = {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()}
    assert set(sums) == files - {"SHA256SUMS"}
    name, digest = next(iter(sums.items()))
    assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest


def test_the_bill_of_materials_names_every_wheel_with_its_hash(bundle):
    bill = json.loads((bundle / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    told = {one["hashes"][0]["content"] for one in bill["components"]}
    wheels = (bundle / "wheels").glob("*.whl")
    assert told == {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}


@pytest.mark.parametrize("program", ["coordinator", "site", "ledger"])
def test_each_program_has_a_container_file_that_takes_the_hashed_wheels_alone(bundle, program):
    text = (bundle / f"Containerfile.{program}").read_text()
    assert "--no-index" in text
    assert "--require-hashes" in text
    assert f'ENTRYPOINT ["/opt/concilium/bin/concilium-{program}"]' in text
    assert "USER concilium" in text
