"""Mutants of the protocol: the fence, the comparison, counts and retention."""

from faults.mutants.mutant import Edit, Mutant, edit_once

MODEL = "tests/test_jobs_ledger_model.py::test_the_ledger_does_what_the_model_does"
FENCE = "if j[1] == 'running' and h.term and j[2] == int(h.term) and j[3] == h.nonce then"


def _lua_edit(script: str, old: str, new: str) -> tuple[Edit, ...]:
    return edit_once(f"jobs/store/lua/{script}.lua", old, new)


def _ledger_tests(test: str) -> tuple[str, ...]:
    return (f"tests/test_jobs_ledger.py::{test}",)


MUTANTS = (
    Mutant(
        "fence-off",
        "whoever ran the job once may write to it for ever",
        _lua_edit("prelude", FENCE, "if j[1] == 'running' then"),
        _ledger_tests("test_an_owner_that_lost_the_lease_is_fenced_everywhere"),
        quick=True,
    ),
    Mutant(
        "fence-by-term-alone",
        "two owners to whom a store that forgot a second gave the same term may both write",
        _lua_edit("prelude", FENCE, FENCE.replace(" and j[3] == h.nonce", "")),
        _ledger_tests("test_the_same_term_with_another_nonce_is_fenced"),
    ),
    Mutant(
        "replayed-losses-not-compared",
        "a replay that gives other losses goes unseen",
        _lua_edit("append", "if recorded ~= offered then\n", "if false then\n"),
        _ledger_tests("test_a_recorded_tick_offered_with_one_other_bit_diverges"),
        quick=True,
    ),
    Mutant(
        "replayed-states-not-compared",
        "a replay that gives another state but the same losses goes unseen",
        _lua_edit("append", "if recorded and recorded ~= offered then", "if false then"),
        _ledger_tests("test_a_state_digest_that_differs_diverges"),
    ),
    Mutant(
        "gap-let-in",
        "ticks may be missing in the middle of a history",
        _lua_edit("append", "if first > tick + 1 then", "if false then"),
        _ledger_tests("test_ticks_beyond_the_next_one_are_a_gap"),
    ),
    Mutant(
        "clients-clock",
        "a lease is as long as the clock of the worker's machine says",
        (
            Edit(
                "jobs/ledger/owner.py",
                '            "nonce": nonce,\n            "lease_ms": self._lease_ms,\n',
                '            "nonce": nonce,\n            "lease_ms": self._lease_ms,\n'
                '            "now": int(__import__("time").time() * 1000),\n',
            ),
            *_lua_edit(
                "claim",
                "'lease_ms', int(now + h.lease_ms))",
                "'lease_ms', int(h.now + h.lease_ms))",
            ),
        ),
        ("tests/test_jobs_ledger_races.py::test_a_lease_is_measured_by_the_stores_clock_alone",),
    ),
    Mutant(
        "claim-not-repeated",
        "a claim whose reply was lost, sent again, takes a second job",
        _lua_edit("claim", "if claimed then", "if false then"),
        _ledger_tests("test_a_claim_sent_twice_with_one_nonce_repeats_its_answer"),
    ),
    Mutant(
        "succeeded-too-early",
        "a job succeeds although ticks of it are missing",
        _lua_edit("finish", "if int(h.tick) ~= j[1] or due ~= j[1] then", "if false then"),
        _ledger_tests("test_success_needs_the_accepted_tick_and_the_budgets_total"),
    ),
    Mutant(
        "committed-too-early",
        "a checkpoint counts before the ledger knows its tick",
        _lua_edit("commit_checkpoint", "if h.tick > tonumber(tick) then", "if false then"),
        _ledger_tests("test_a_checkpoint_of_a_tick_not_accepted_is_early"),
    ),
    Mutant(
        "another-body-under-an-old-key",
        "an idempotency key with another body is answered as if it were the first",
        _lua_edit("prelude", "if digest ~= h.body_digest then", "if false then"),
        _ledger_tests("test_an_idempotency_key_with_another_body_is_refused"),
    ),
    Mutant(
        "deleted-job-comes-back",
        "the idempotency key of a deleted job makes a second one",
        (
            *_lua_edit("delete", "redis.call('HSET', keys.idempotency(tenant), j[2], 'deleted -')",
                  "redis.call('HDEL', keys.idempotency(tenant), j[2])"),
            *_lua_edit("delete", "'HSET', keys.idempotency(tenant), idempotency_key, 'deleted -')",
                  "'HDEL', keys.idempotency(tenant), idempotency_key)"),
        ),
        _ledger_tests("test_only_an_ended_job_is_deleted_and_its_key_then_is_gone"),
    ),
    Mutant(
        "no-tombstone",
        "nothing tells a deleted job from one that never was",
        _lua_edit("delete", "redis.call('ZADD', keys.tombstones(tenant), now, id)", ""),
        (MODEL,),
    ),
    Mutant(
        "half-deleted-history",
        "a deleted job leaves the ticks behind that had not moved to files",
        _lua_edit("delete", "math.floor(math.max(tonumber(j[7]) - 1, 0) / SEGMENT) do", "j[5] do"),
        ("tests/test_jobs_deletion.py",),
    ),
    Mutant(
        "segment-moves-half-full",
        "ticks that came after the move are compared with nothing",
        _lua_edit("move_segment", "if tonumber(j[2]) <= (h.segment + 1) * SEGMENT", "if false"),
        (MODEL,),
    ),
    Mutant(
        "audit-forgets",
        "the audit list takes a call that came twice for ticks that went away",
        _lua_edit("append", "int(math.max(last, tonumber(reached)))", "int(last)"),
        (MODEL,),
    ),
    Mutant(
        "cancel-lost-in-a-pause",
        "a cancel that comes while the owner pauses is forgotten",
        _lua_edit("finish", "status == 'queued' or status == 'paused' then",
             "status == 'queued' then"),
        ("tests/test_jobs_ledger_races.py",),
    ),
    Mutant(
        "cancel-displaced",
        "a pause takes the place of a cancel",
        _lua_edit("request_transition", "stop = 2, cancel = 3 }",
             "stop = 2, cancel = 0 }"),
        (MODEL,),
    ),
    Mutant(
        "lease-for-ever",
        "the job of a dead worker is never taken over",
        _lua_edit("claim", "'-inf', int(now), 'LIMIT'", "'-inf', '-1', 'LIMIT'"),
        _ledger_tests("test_deaths_without_a_new_tick_end_a_job"),
    ),
    Mutant(
        "poison-not-counted",
        "a job that kills every trainer is tried for ever",
        _lua_edit("claim", "redis.call('HINCRBY', job, 'deaths', 1)", ""),
        _ledger_tests("test_deaths_without_a_new_tick_end_a_job"),
    ),
    Mutant(
        "youngest-first",
        "a job waits for ever while others come",
        _lua_edit("submit", "local rank = -h.priority * 17592186044416 + seq",
             "local rank = -h.priority * 17592186044416 - seq"),
        _ledger_tests("test_higher_priority_is_claimed_first_then_first_come_first_served"),
    ),
)  # fmt: skip
