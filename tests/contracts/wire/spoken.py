"""What crosses the wire, as descriptors: those of the last release, and those of today.

`python tests/contracts/wire/spoken.py` writes today's, when a version is released.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto

PATH: Final = Path(__file__).with_name("released.binpb")
NAMES: Final = ("words", "release", "federation", "audit", "enrolment", "operator")


def today() -> FileDescriptorSet:
    """Return the descriptors of what the programs speak now."""
    files = FileDescriptorSet()
    for name in NAMES:
        module = importlib.import_module(f"protos.concilium.v1.{name}_pb2")
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return files


def last_release() -> FileDescriptorSet:
    """Return the descriptors of what the last release speaks."""
    return FileDescriptorSet.FromString(PATH.read_bytes())


def broken(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """Name everything that a program of the old set could not read or call in the new one.

    A field may be added under a number of its own; none may go, move, or be of another type.
    """
    return [
        *_broken_messages(_messages(old), _messages(new)),
        *_broken_enums(_enums(old), _enums(new)),
        *_gone(_methods(old), _methods(new)),
    ]


def _broken_messages(
    old: dict[str, DescriptorProto], new: dict[str, DescriptorProto]
) -> Iterator[str]:
    for name, message in old.items():
        if name not in new:
            yield f"{name} is gone"
            continue
        now = {field.number: field for field in new[name].field}
        for field in message.field:
            same = now.get(field.number)
            where = f"{name}.{field.name} = {field.number}"
            if same is None:
                yield f"{where} is gone"
            elif same.name != field.name:
                yield f"{where} is {same.name} now"
            elif _shape(same, new[name]) != _shape(field, message):
                yield f"{where} is of another type"


def _shape(field, message) -> tuple[object, ...]:
    union = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return field.type, field.type_name, field.label, union


def _broken_enums(
    old: dict[str, EnumDescriptorProto], new: dict[str, EnumDescriptorProto]
) -> Iterator[str]:
    for name, enum in old.items():
        now = {value.name: value.number for value in new[name].value} if name in new else {}
        for value in enum.value:
            if now.get(value.name) != value.number:
                yield f"{name}.{value.name} = {value.number} is gone"


def _gone(old: set[tuple[object, ...]], new: set[tuple[object, ...]]) -> Iterator[str]:
    for service, method, *_ in sorted(old - new, key=str):
        yield f"{service}/{method} is gone or of another shape"


def _messages(files: FileDescriptorSet) -> dict[str, DescriptorProto]:
    return {f"{f.package}.{m.name}": m for f in files.file for m in f.message_type}


def _enums(files: FileDescriptorSet) -> dict[str, EnumDescriptorProto]:
    return {f"{f.package}.{e.name}": e for f in files.file for e in f.enum_type}


def _methods(files: FileDescriptorSet) -> set[tuple[object, ...]]:
    return {
        (
            *(f"{f.package}.{service.name}", one.name, one.input_type, one.output_type),
            *(one.client_streaming, one.server_streaming),
        )
        for f in files.file
        for service in f.service
        for one in service.method
    }


if __name__ == "__main__":
    PATH.write_bytes(today().SerializeToString(deterministic=True))
