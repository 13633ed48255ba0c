"""Make a folder from which Concilium is installed on machines without a network.

    make bundle        or        python configs/bundle/bundle.py build/bundle

The folder holds every wheel, the pinned and hashed requirements of each program, a bill of
materials (CycloneDX 1.6), a container file per program, `configs/`, `docs/`, and the SHA-256 of
every file. Its wheels are for the Python and the processor that it was made with.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from email.message import Message

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
WANTED: Final = {
    "coordinator": "concilium[coordinator,postgresql]",
    "site": "concilium[site]",
    "ledger": "concilium[postgresql]",
}
"""What each program's machine installs."""
_EVERYTHING: Final = "[coordinator,site,postgresql]"


def main(out: Path) -> None:
    """Make the folder anew; it appears whole, or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as place:
        half = Path(place) / "bundle"
        wheels = half / "wheels"
        source = _source(Path(place) / "source")
        wanted = f"{source}{_EVERYTHING}"
        _pip("wheel", "--wheel-dir", wheels, "-c", ROOT / "constraints.txt", wanted)
        (half / "requirements").mkdir()
        for program, needs in WANTED.items():
            text = "".join(_requirement(one) for one in _resolved(wheels, needs))
            (half / "requirements" / f"{program}.txt").write_text(text, "utf-8")
        (half / "sbom.cdx.json").write_text(_materials(wheels), "utf-8")
        for file in HERE.glob("*.containerfile"):
            shutil.copy(file, half / f"Containerfile.{file.stem}")
        text = (HERE / "README.md").read_text("utf-8")
        (half / "README.md").write_text(text.format(made_with=_made_with()), "utf-8")
        for folder in ("configs", "docs"):
            shutil.copytree(ROOT / folder, half / folder, ignore=_unwanted)
        shutil.copy(ROOT / "LICENSE", half)
        (half / "SHA256SUMS").write_text("".join(_sums(half)), "utf-8")
        shutil.rmtree(out, ignore_errors=True)
        half.rename(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    sys.stderr.write(f"{out}: {len(list(wheels_of(out)))} wheels, {size / 1e6:.0f} MB\n")


def wheels_of(bundle: Path) -> list[Path]:
    """Return a bundle's wheels, by name."""
    return sorted((bundle / "wheels").glob("*.whl"))


def _source(place: Path) -> Path:
    """Copy what the wheel is made of, so that nothing of a former build gets into it."""
    for package in ("protos", "governance", "coordinator", "site_agent"):
        shutil.copytree(ROOT / package, place / package, ignore=_unwanted)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, place)
    return place


def _pip(*arguments: object) -> str:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 - our own arguments
        [*command, *map(str, arguments)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def _resolved(wheels: Path, wanted: str) -> list[Mapping[str, Any]]:
    """Return what would be installed from the wheels alone, by pip's own report."""
    options = ("--dry-run", "--ignore-installed", "--no-index", "--find-links", wheels)
    report = json.loads(_pip("install", *options, "--report", "-", wanted))
    return sorted(report["install"], key=lambda one: str(one["metadata"]["name"]).lower())


def _requirement(one: Mapping[str, Any]) -> str:
    about, digest = one["metadata"], one["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{about['name']}=={about['version']} --hash=sha256:{digest}\n"


def _materials(wheels: Path) -> str:
    """Return the bill of materials of all wheels."""
    known = LicenseFactory()
    bom = Bom()
    for wheel in sorted(wheels.glob("*.whl")):
        about = _about(wheel)
        licence = about["License-Expression"] or about["License"] or ""
        name, version = str(about["Name"]), str(about["Version"])
        bom.components.add(
            Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=version,
                purl=PackageURL("pypi", name=name.lower().replace("_", "-"), version=version),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=_digest(wheel))],
                licenses=[known.make_from_string(licence)] if 0 < len(licence) < 80 else [],
            )
        )
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _about(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode("utf-8"))


def _sums(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"{_digest(path)}  {path.relative_to(folder)}\n"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _made_with() -> str:
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"


def _unwanted(_folder: str, names: Sequence[str]) -> set[str]:
    return {
        name for name in names if name in {"__pycache__", "bundle"} or name.endswith(".csv")
    }


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "bundle"))
