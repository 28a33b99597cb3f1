"""Responses that are sent again for an idempotency key, stored without the job's spec.

The spec may be large, is in the job's record anyway and never changes.
"""

import json

from jobs.job import Job

NO_SPEC = '"spec":null'  # within a text its quotes would be escaped


def remove_spec(job: Job, response: str) -> str:
    """Return a job's JSON as it is stored."""
    return response.replace(f'"spec":{job.spec.model_dump_json()}', NO_SPEC, 1)


def restore_spec(job: Job, stored: str) -> str:
    """Return the JSON that `remove_spec` was given, or that an earlier build has stored."""
    response = stored.replace(NO_SPEC, f'"spec":{job.spec.model_dump_json()}', 1)
    fields = json.loads(response)
    if "spec" in fields:
        return response
    return json.dumps({**fields, "spec": job.spec.model_dump(mode="json")})
