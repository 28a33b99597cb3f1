"""Mutants of the published document: what generators of clients stumble over."""

from faults.mutants.mutant import Mutant, edit_once

DOCUMENT = "tests/test_api_openapi_generators.py"
SCHEMAS, CONTENTS = "api/openapi_schemas.py", "api/openapi_contents.py"
STREAMED = f"{DOCUMENT}::test_every_kind_of_event_has_its_schema_in_lists_and_in_streams"

MUTANTS = (
    Mutant(
        "schema-named-array",
        "a schema has the name of TypeScript's Array, and no list of a generated client compiles",
        edit_once(
            "jobs/spec/profiles.py",
            '    """An array of an NPZ file."""\n',
            '    """An array of an NPZ file."""\n\n    __qualname__ = "Array"\n',
        ),
        (f"{DOCUMENT}::test_no_schema_hides_a_name_of_the_language",),
    ),
    Mutant(
        "tag-of-a-union-left-out",
        "a generated client takes any optimizer for the first that fits",
        edit_once(
            SCHEMAS, "            _require(definitions[name], field)\n", "            pass\n"
        ),
        (f"{DOCUMENT}::test_every_branch_of_a_tagged_union_requires_its_tag",),
    ),
    Mutant(
        "tuple-without-items",
        "a tuple says nothing of its items to who reads no prefixItems",
        edit_once(SCHEMAS, 'and "items" not in described:', "and False:"),
        (f"{DOCUMENT}::test_every_list_says_what_its_items_are",),
    ),
    Mutant(
        "form-after-raw-bodies",
        "a generated client uploads text alone, as CSV",
        edit_once(
            CONTENTS,
            'return {FORM: {"schema": FORM_SCHEMA, "encoding": encoding}, **contents}',
            'return {**contents, FORM: {"schema": FORM_SCHEMA, "encoding": encoding}}',
        ),
        (f"{DOCUMENT}::test_a_form_is_the_first_way_to_upload_and_bytes_are_called_binary",),
    ),
    Mutant(
        "stream-of-anything",
        "the events of a stream have no type in a generated client",
        edit_once(
            "api/openapi.py", "    if response.event_model is not None:\n", "    if False:\n"
        ),
        (STREAMED,),
    ),
    Mutant(
        "kind-of-event-not-in-the-document",
        "an event of a job is none of those that the document has",
        edit_once(
            "api/schemas_job_events.py", "CheckpointEvent | ConditionEvent |", "CheckpointEvent |"
        ),
        (STREAMED,),
    ),
    Mutant(
        "status-event-has-an-error-always",
        "a stream's events are not what the document says of them",
        edit_once(
            "api/schemas_job_events.py", "    error: JobError | None\n", "    error: JobError\n"
        ),
        ("tests/test_api_sse.py::test_an_ended_jobs_stream_is_its_whole_story_and_ends",),
    ),
    Mutant(
        "pattern-escapes-a-quotation-mark",
        "a pattern of the document is no regular expression of ECMAScript",
        edit_once("jobs/spec/notify.py", '([/?][!"$-', '([/?][!\\"$-'),
        (f"{DOCUMENT}::test_every_escape_in_a_pattern_is_one_of_ecmascript",),
    ),
    Mutant(
        "tag-not-described",
        "operations stand under a tag that the document does not describe",
        edit_once("api/openapi_tags.py", '    "logs": "What a job\'s worker wrote.",\n', ""),
        (f"{DOCUMENT}::test_every_tag_is_described_once_and_used",),
    ),
    Mutant(
        "server-is-elsewhere",
        "a generated client calls this machine, wherever its document came from",
        edit_once("api/openapi.py", '[{"url": "/", ', '[{"url": "http://127.0.0.1:8000", '),
        (f"{DOCUMENT}::test_the_server_is_the_one_that_serves_the_document",),
    ),
)
