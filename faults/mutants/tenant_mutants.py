"""Mutants of tenants: quotas, counters, retention, deletions, and the code that jobs share."""

from faults.mutants.mutant import Mutant, edit_once

QUOTAS, RETENTION = "tests/test_api_quotas.py", "tests/test_jobs_retention.py"
FOLDERS = "tests/test_jobs_checkpoint_folders.py"
LUA = "jobs/store/lua"

MUTANTS = (
    Mutant(
        "running-quota-not-held",
        "a tenant runs more jobs than its quota allows",
        edit_once(
            f"{LUA}/claim.lua",
            "if must_wait(tenant_of(member)) then has_waiting = true",
            "if false then has_waiting = true",
        ),
        (f"{QUOTAS}::test_a_tenant_at_its_limit_of_running_jobs_is_overtaken",),
    ),
    Mutant(
        "nobody-overtakes",
        "jobs that wait for a place in their tenant's quota stop all others behind them",
        edit_once(f"{LUA}/claim.lua", "if not reply and has_waiting then", "if false then"),
        (f"{QUOTAS}::test_a_tenant_at_its_limit_of_running_jobs_is_overtaken",),
    ),
    Mutant(
        "deleted-specs-counted",
        "the specs of deleted jobs use up their tenant's quota for ever",
        edit_once(
            f"{LUA}/delete.lua",
            "add_job_usage(member, 'spec_bytes', -redis.call('HSTRLEN', job, 'spec'))\n",
            "",
        ),
        (
            f"{QUOTAS}::test_counters_are_exact_after_every_kind_of_change_and_after_a_rebuild",
            "tests/test_jobs_ledger_model.py::test_the_ledger_does_what_the_model_does",
        ),
    ),
    Mutant(
        "replay-beyond-a-quota",
        "the replay of an accepted submission is refused by a quota",
        edit_once(
            f"{LUA}/submit.lua",
            "if replay then return replay end\n",
            "if replay and not find_quota_excess(h.tenant, 'queued', 1) then return replay end\n",
        ),
        (f"{QUOTAS}::test_a_submission_beyond_a_quota_is_429_and_leaves_nothing",),
    ),
    Mutant(
        "upload-beyond-its-quota",
        "an upload is taken whole though its tenant's quota is used up",
        edit_once(f"{LUA}/add_dataset.lua", "  if excess then return excess end\n", ""),
        (f"{QUOTAS}::test_an_upload_that_another_one_overtook_is_refused_by_the_script",),
    ),
    Mutant(
        "pinned-job-deleted-by-a-rule",
        "retention deletes a job with a pinned checkpoint",
        edit_once(f"{LUA}/delete.lua", "if cjson.decode(text).pinned then return 'pinned' end", ""),
        (f"{RETENTION}::test_a_pinned_checkpoint_and_a_live_jobs_parent_are_spared",),
    ),
    Mutant(
        "parent-of-a-live-job-deleted",
        "retention deletes the job that a verify is comparing with",
        edit_once(
            f"{LUA}/delete.lua", "children, live, forks) then", "children, live, forks) + 1 then"
        ),
        (f"{RETENTION}::test_a_pinned_checkpoint_and_a_live_jobs_parent_are_spared",),
    ),
    Mutant(
        "deletion-left-half-done",
        "a deletion that was cut short leaves its files for ever",
        edit_once(f"{LUA}/delete.lua", "redis.call('ZADD', keys.PENDING_JOB_REMOVALS", "--("),
        (f"{RETENTION}::test_a_deletion_that_was_cut_short_is_completed",),
    ),
    Mutant(
        "damaged-code-shared",
        "new checkpoints are linked to code whose bytes have changed",
        edit_once(
            "jobs/files/shared_code.py",
            "        return files.compute_sha256(path) == sha256\n",
            "        return path.exists()\n",
        ),
        (f"{FOLDERS}::test_damaged_code_is_not_shared_with_a_new_checkpoint",),
    ),
)
