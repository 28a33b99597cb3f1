"""Mutants of pictures and of signed links."""

from faults.mutants.mutant import Mutant, edit_once

LINKS, PICTURES = "tests/test_api_links.py", "tests/test_api_pictures.py"
SIGNED = "jobs/signed_links.py"
ENDS = f"{LINKS}::test_a_link_ends_with_its_time_and_with_the_key_that_made_it"
NOTHING_ELSE = f"{LINKS}::test_a_link_opens_nothing_but_what_was_signed"

MUTANTS = (
    Mutant(
        "query-not-signed",
        "whoever has a link to one picture reads the job's others with it",
        edit_once(SIGNED, "target.path, target.query]", "target.path]"),
        (NOTHING_ELSE,),
    ),
    Mutant(
        "path-not-signed",
        "whoever has a link to one job opens all jobs of its tenant",
        edit_once(SIGNED, "target.path, target.query]", "target.query]"),
        (NOTHING_ELSE, f"{LINKS}::test_a_link_of_one_tenant_opens_nothing_of_another"),
    ),
    Mutant(
        "end-not-signed",
        "whoever has a link makes it last for ever",
        edit_once(SIGNED, "key_digest, token.expires_at, target", "key_digest, target"),
        (NOTHING_ELSE,),
    ),
    Mutant(
        "links-never-end",
        "a link opens after its end",
        edit_once("api/signed_links.py", "if time.time() >= token.expires_at:", "if False:"),
        (ENDS,),
    ),
    Mutant(
        "links-outlive-their-admin-key",
        "links that were made with a replaced admin key still open",
        edit_once(
            SIGNED, "token.key_id, key_digest, token.expires_at", "token.key_id, token.expires_at"
        ),
        (f"{LINKS}::test_another_admin_key_ends_the_links_of_the_one_before",),
    ),
    Mutant(
        "link-secret-not-archived",
        "links are dead after a rebuild of the store",
        edit_once(SIGNED, "        self._archive.save_secret(tenant)\n", ""),
        ("tests/test_jobs_rebuild.py::test_every_response_after_a_rebuild_is_what_it_was",),
    ),
    Mutant(
        "picture-of-a-stale-tick",
        "a client that has a picture is told that it is current though ticks have come",
        edit_once("api/routes_pictures.py", "compute_etag(data)", "compute_etag(job.id, form)"),
        (
            f"{PICTURES}::"
            "test_a_picture_is_304_until_a_tick_comes_and_its_bytes_are_always_the_same",
        ),
    ),
)
