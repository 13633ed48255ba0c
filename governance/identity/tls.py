"""TLS 1.3 and nothing lower, although gRPC for Python has no setting for it."""

from __future__ import annotations

import os
from typing import Final

_NO_ECDSA_CIPHER: Final = "ECDHE-RSA-AES256-GCM-SHA384"


def pin_tls13() -> None:
    """Leave TLS 1.2 without a cipher that fits; must run before grpc makes its first channel.

    The setting names ciphers of 1.2 alone. All our certificates are ECDSA, which the one
    that is left cannot use, so that 1.2 ends in NO_SHARED_CIPHER; 1.3 has its own.
    """
    os.environ["GRPC_SSL_CIPHER_SUITES"] = _NO_ECDSA_CIPHER
