"""Where one federation lies on the disk, and how it is founded and copied for a test."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

from small_agreement import FEDERATION

from coordinator import founding
from coordinator.rehearsal.stage import free_port
from governance.identity.folder import Identity
from governance.settings import load_coordinator


class Folders:
    """Where one federation lies: the coordinator's folder, and one for each member."""

    def __init__(self, place, federation=FEDERATION):
        self.place, self.federation = place, federation
        self.coordinator = place / "coordinator"
        self.sites = place / "sites"

    def identity(self, name):
        own = self.coordinator / "operators" / name
        return Identity.load(own if own.is_dir() else self.sites / name)

    def move_ports(self):
        """Give the federation free ports, in every file that names one."""
        ports = {"listen": free_port(), "enrolment": free_port()}
        yaml_file = self.coordinator / "coordinator.yaml"
        known = self._known_ports(yaml_file)
        text = yaml_file.read_text()
        for name, port in ports.items():
            text = text.replace(f":{known[name]}", f":{port}")
        yaml_file.write_text(text)
        for who in self.place.rglob("federation.json"):
            told = json.loads(who.read_text())
            told["coordinator"] = f"localhost:{ports['listen']}"
            who.write_text(json.dumps(told))

    @staticmethod
    def _known_ports(yaml_file):
        settings = load_coordinator(yaml_file)
        ends = {"listen": settings.listen, "enrolment": settings.enrolment.listen}
        return {name: end.rsplit(":", 1)[1] for name, end in ends.items()}


def found(place, federation=FEDERATION):
    """Found a federation as `init` does."""
    folders = Folders(place, federation)
    outline = founding.Outline(
        federation=federation,
        host="localhost",
        listen=f"127.0.0.1:{free_port()}",
        enrolment=f"127.0.0.1:{free_port()}",
        operator="van-dijk",
    )
    founding.found(
        folders.coordinator, outline, passphrase=b"correct horse", now=datetime.now(UTC)
    )
    return folders


def copied(template, place):
    """Copy a federation to another place, with ports of its own."""
    shutil.copytree(template.place, place, dirs_exist_ok=True)
    folders = Folders(place, template.federation)
    folders.move_ports()
    return folders
