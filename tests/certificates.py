"""A certificate of this machine alone, for servers that speak TLS in tests."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class CertificateFiles(NamedTuple):
    """A certificate that signed itself, for `localhost`, and its key."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> CertificateFiles:
    """Make one in a folder. The test needs the program openssl."""
    files = CertificateFiles(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost",
         "-keyout", files.key, "-out", files.certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return files
