"""Seals short texts with a tenant's secret, so that no record shows a webhook's secret in clear.

Encrypt, then authenticate, of HMAC-SHA256 alone, which the standard library has: a key stream of
blocks HMAC(encryption key, nonce ‖ counter), and a tag HMAC(tag key, nonce ‖ context ‖ sealed).
Both keys come from the tenant's secret; the nonce is random. It hides secrets from whoever sees a
webhook's record or file; who has the tenant's secret too, which is in the same store, can open it.
"""

import base64
import hmac
import secrets

NONCE_BYTES, TAG_BYTES, BLOCK_BYTES = 16, 32, 32
FORM = b"1."  # of what is sealed; another algorithm gets another one


class BrokenSeal(Exception):
    """What was sealed was altered, or with another secret, or for something else."""


def seal(key: bytes, text: str, context: str) -> bytes:
    """Seal a text for one purpose (`context`), as printable ASCII."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    hidden = _mask(key, nonce, text.encode())
    return FORM + base64.b64encode(nonce + hidden + _tag(key, nonce, hidden, context))


def unseal(key: bytes, sealed: bytes, context: str) -> str:
    """Open what `seal` made. Raises BrokenSeal."""
    try:
        if not sealed.startswith(FORM):
            raise BrokenSeal(f"sealed in a form that is not known here, for {context}")
        data = base64.b64decode(sealed.removeprefix(FORM), validate=True)
    except ValueError as error:
        raise BrokenSeal(f"no base64, for {context}") from error
    nonce, hidden, tag = data[:NONCE_BYTES], data[NONCE_BYTES:-TAG_BYTES], data[-TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, nonce, hidden, context)):
        raise BrokenSeal(f"altered, or sealed with another secret, for {context}")
    return _mask(key, nonce, hidden).decode()


def _mask(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """Return data with the key stream of a nonce put over it; twice is the data again."""
    stream_key = hmac.digest(key, b"webhook secret: stream", "sha256")
    stream = b""
    for counter in range(-(-len(data) // BLOCK_BYTES)):
        stream += hmac.digest(stream_key, nonce + counter.to_bytes(8, "little"), "sha256")
    return bytes(a ^ b for a, b in zip(data, stream, strict=False))


def _tag(key: bytes, nonce: bytes, hidden: bytes, context: str) -> bytes:
    tag_key = hmac.digest(key, b"webhook secret: tag", "sha256")
    # the nonce has a fixed length, and the context says its own: no two inputs are alike
    parts = nonce + len(context).to_bytes(8, "little") + context.encode() + hidden
    return hmac.digest(tag_key, parts, "sha256")
