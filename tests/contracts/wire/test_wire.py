"""What the last release says is understood: no field goes, moves or changes its type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

sys.path.insert(0, str(Path(__file__).parent))

from spoken import broken, last_release, today


def test_nothing_that_the_last_release_speaks_is_gone():
    assert broken(last_release(), today()) == []


def message(files, name):
    return next(m for f in files.file for m in f.message_type if m.name == name)


def field(files, name, number):
    return next(f for f in message(files, name).field if f.number == number)


def gone(files):
    task = message(files, "Task")
    task.field.remove(field(files, "Task", 8))


def moved(files):
    field(files, "Task", 8).number = 80


def renamed(files):
    field(files, "Task", 8).name = "until"


def retyped(files):
    field(files, "Task", 8).type = FieldDescriptorProto.TYPE_BYTES


def repeated(files):
    field(files, "Task", 8).label = FieldDescriptorProto.LABEL_REPEATED


def another_message(files):
    field(files, "Task", 6).type_name = ".concilium.v1.UploadRef"


def out_of_its_union(files):
    field(files, "FromSite", 5).ClearField("oneof_index")


def message_gone(files):
    for file in files.file:
        for one in list(file.message_type):
            if one.name == "Cancel":
                file.message_type.remove(one)


def value_renumbered(files):
    kinds = next(e for f in files.file for e in f.enum_type if e.name == "TaskKind")
    kinds.value[1].number = 7


def call_of_another_shape(files):
    for file in files.file:
        for service in file.service:
            for one in service.method:
                one.server_streaming = False


@pytest.mark.parametrize(
    "change",
    [
        *(gone, moved, renamed, retyped, repeated, another_message, out_of_its_union),
        *(message_gone, value_renumbered, call_of_another_shape),
    ],
    ids=lambda change: change.__name__,
)
def test_a_change_that_an_older_agent_could_not_bear_is_named(change):
    changed = last_release()
    change(changed)
    assert broken(last_release(), changed)


def test_a_field_that_is_added_is_borne():
    changed = last_release()
    message(changed, "Task").field.add(
        name="later", number=99, type=FieldDescriptorProto.TYPE_STRING, label=1
    )
    assert broken(last_release(), changed) == []
