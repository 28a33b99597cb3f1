"""Ids: a prefix and 26 random lower-case letters and digits (134 bits). Knows no store."""

import hashlib
import hmac
import json
import re
import secrets
import string

from jobs.spec.notify import WEBHOOK_ID_PATTERN

ALPHABET = string.ascii_lowercase + string.digits
JOB_ID = re.compile(r"job_[a-z0-9]{26}")
DATASET_ID = re.compile(r"ds_[a-z0-9]{26}")
KEY_ID = re.compile(r"key_[a-z0-9]{26}")
MESSAGE_ID = re.compile(r"msg_[a-z0-9]{26}")


def new_job_id() -> str:
    """Make a job's id, which cannot be guessed."""
    return "job_" + _random_suffix()


def new_key_id() -> str:
    """Make an access key's id, which is not secret."""
    return "key_" + _random_suffix()


def new_webhook_id() -> str:
    """Make a webhook's id, which is not secret."""
    return "wh_" + _random_suffix()


def is_job_id(text: str) -> bool:
    """Return whether a text has the form of a job's id."""
    return JOB_ID.fullmatch(text) is not None


def make_dataset_id(secret: bytes, *parts: str) -> str:
    """Make the dataset id of `parts`; without the secret it reveals nothing of them."""
    return "ds_" + _encode(hmac.digest(secret, json.dumps(parts).encode(), "sha256"))


def make_message_id(*parts: str) -> str:
    """Make the id of a webhook's message; of the same parts it is the same for ever."""
    return "msg_" + _encode(hashlib.sha256(json.dumps(parts).encode()).digest())


def is_dataset_id(text: str) -> bool:
    """Return whether a text has the form of a dataset's id."""
    return DATASET_ID.fullmatch(text) is not None


def is_key_id(text: str) -> bool:
    """Return whether a text has the form of an access key's id."""
    return KEY_ID.fullmatch(text) is not None


def is_webhook_id(text: str) -> bool:
    """Return whether a text has the form of a webhook's id."""
    return WEBHOOK_ID_PATTERN.fullmatch(text) is not None


def is_message_id(text: str) -> bool:
    """Return whether a text has the form of a message's id."""
    return MESSAGE_ID.fullmatch(text) is not None


def _encode(digest: bytes) -> str:
    """Return 26 letters and digits of a digest: 134 bits."""
    number, digits = int.from_bytes(digest, "little"), []
    for _ in range(26):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)


def _random_suffix() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(26))
