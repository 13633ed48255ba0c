"""A file sealed with a passphrase, written and read as a stream.

    concilium-backup/v1     and a line feed: 20 bytes, so that a reader knows what it holds
    salt                    16 bytes, for scrypt (N = 2^17, r = 8, p = 1): 32 bytes of key
    prefix                   7 bytes, random
    proof                   16 bytes: the tag over nothing, numbered 0
    parts                   at most 1 MiB each, and a tag of 16 bytes; numbered from 1 on

Each part is AES-256-GCM with the nonce prefix ‖ number (4 bytes) ‖ 1 for the last part, else 0
(STREAM of Hoang, Reyhanitabar, Rogaway and Vizár 2015), and the bytes before the proof as
associated data. So no part can be altered, moved, left out or cut off.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from protos.errors import Corrupt, Refused

if TYPE_CHECKING:
    from typing import BinaryIO

_MAGIC: Final = b"concilium-backup/v1\n"
_SALT: Final = 16
_PREFIX: Final = 7
_TAG: Final = 16
_PART: Final = 1 << 20
_HEAD: Final = len(_MAGIC) + _SALT + _PREFIX


class _Cipher:
    """The parts' numbers and their key, which shows in no repr."""

    def __init__(self, head: bytes, passphrase: bytes) -> None:
        salt = head[len(_MAGIC) : len(_MAGIC) + _SALT]
        key = Scrypt(salt=salt, length=32, n=1 << 17, r=8, p=1).derive(passphrase)
        self._aes, self._head, self._number = AESGCM(key), head, 0

    def _nonce(self, *, last: bool) -> bytes:
        nonce = self._head[-_PREFIX:] + self._number.to_bytes(4) + bytes([last])
        self._number += 1
        return nonce

    def seal(self, part: bytes, *, last: bool = False) -> bytes:
        return self._aes.encrypt(self._nonce(last=last), part, self._head)

    def unseal(self, part: bytes, *, last: bool = False) -> bytes:
        return self._aes.decrypt(self._nonce(last=last), part, self._head)


class Sealing:
    """A file to write to; what was written is whole once `finish` returned."""

    def __init__(self, file: BinaryIO, passphrase: bytes) -> None:
        head = _MAGIC + secrets.token_bytes(_SALT + _PREFIX)
        self._file, self._cipher, self._rest = file, _Cipher(head, passphrase), b""
        file.write(head + self._cipher.seal(b""))

    def write(self, data: bytes) -> int:
        """Take bytes; all but the last part go on to the file, sealed."""
        self._rest += data
        while len(self._rest) > _PART:
            self._file.write(self._cipher.seal(self._rest[:_PART]))
            self._rest = self._rest[_PART:]
        return len(data)

    def finish(self) -> None:
        """Seal the last part."""
        self._file.write(self._cipher.seal(self._rest, last=True))


class Unsealing:
    """A file to read from; only bytes that were sealed with the passphrase come out of it.

    Raises:
        Refused: it is no backup, or the passphrase is another.
    """

    def __init__(self, file: BinaryIO, passphrase: bytes, *, where: str) -> None:
        self._file, self._where, self._rest = file, where, b""
        head, proof = file.read(_HEAD), file.read(_TAG)
        if not head.startswith(_MAGIC) or len(proof) < _TAG:
            raise Refused(
                "this is no backup",
                where=where,
                todo="Name the file that a backup was written to.",
                rule="no-backup",
            )
        self._cipher = _Cipher(head, passphrase)
        try:
            self._cipher.unseal(proof)
        except InvalidTag:
            raise Refused(
                "the passphrase is not this backup's, or the backup's first bytes were altered",
                where=where,
                todo="Name the passphrase's file with --passphrase-file.",
                rule="wrong-passphrase",
            ) from None
        self._next = file.read(_PART + _TAG)

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than asked for at the end alone.

        Raises:
            Corrupt: a part was altered, or the end is not there.
        """
        while len(self._rest) < size and self._next:
            part, self._next = self._next, self._file.read(_PART + _TAG)
            try:
                self._rest += self._cipher.unseal(part, last=not self._next)
            except InvalidTag:
                raise altered(self._where) from None
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def finish(self) -> None:
        """Read to the end, which must be there.

        Raises:
            Corrupt: it is not.
        """
        while self.read(_PART):
            pass


def altered(where: str) -> Corrupt:
    """Return what is said of a backup that is not as it was written."""
    return Corrupt(
        "this backup was altered or cut after it was written; nothing of it was used",
        where=where,
        todo="Take another copy of it, or an earlier backup.",
        rule="backup-altered",
    )
