"""Ids: a prefix and 26 random lower-case letters and digits (134 bits). Knows no store."""

import re
import secrets
import string

ALPHABET = string.ascii_lowercase + string.digits
JOB_ID = re.compile(r"job_[a-z0-9]{26}")


def new_job_id() -> str:
    """Make an id that nobody can guess."""
    return "job_" + "".join(secrets.choice(ALPHABET) for _ in range(26))


def is_job_id(text: str) -> bool:
    """Whether a client's text has the form of a job's id."""
    return JOB_ID.fullmatch(text) is not None
