"""Faults put into what keeps the checkpoint of a question until it has been answered."""

from faults.mutants.mutant import Mutant, edit_once

LUA, TESTS = "jobs/store/lua", "tests/test_jobs_held_checkpoints.py"
HOLDS = f"{LUA}/holds_prelude.lua"
PREDICT = f"{TESTS}::test_a_checkpoint_stays_until_the_predict_about_it_has_ended"
DATASET = f"{TESTS}::test_a_checkpoint_stays_until_the_job_about_it_and_a_dataset_has_ended"
MOVES = f"{TESTS}::test_what_moves_while_it_is_asked_or_downloaded_is_the_newer_one_then"

MUTANTS = (
    Mutant(
        "checkpoint-of-a-predict-pruned",
        "retention removes the checkpoint of a predict that waits",
        edit_once(HOLDS, "  if j[1] == 'queued' or j[1] == 'running' then return true end\n", ""),
        (PREDICT,),
    ),
    Mutant(
        "checkpoint-of-a-dataset-job-pruned",
        "retention removes the checkpoint of an evaluation that waits",
        edit_once(HOLDS, "{ 'queued', 'running', 'paused' }", "{}"),
        (DATASET,),
    ),
    Mutant(
        "checkpoint-held-by-the-dead",
        "an answer that has expired keeps its checkpoint for ever",
        edit_once(HOLDS, "if holds_now(keys.job_member(tenant, entries[n])) then", "if true then"),
        (f"{TESTS}::test_nobody_who_died_holds_a_checkpoint_for_ever",),
    ),
    Mutant(
        "checkpoint-held-without-bound",
        "questions keep as many old checkpoints as clients like",
        edit_once(HOLDS, "if count >= MAX_HELD then", "if false then"),
        (f"{TESTS}::test_questions_keep_a_bounded_number_of_checkpoints_beyond_those_of_the_spec",),
    ),
    Mutant(
        "checkpoint-held-too-late",
        "a commit removes the checkpoint of a question that came after the owner had chosen",
        edit_once(
            f"{LUA}/commit_checkpoint.lua", "if held[int(t)] then return { 'changed' } end", ""
        ),
        (f"{TESTS}::test_a_checkpoint_that_is_asked_while_its_successor_is_committed_stays",),
    ),
    Mutant(
        "question-about-what-is-gone",
        "a question is queued though its checkpoint was removed since it was read",
        edit_once(
            HOLDS, "if not text or cjson.decode(text).folder ~= folder then", "if false then"
        ),
        (MOVES,),
    ),
    Mutant(
        "latest-not-found-again",
        "latest that was removed between two reads is said to be damaged",
        edit_once(
            "jobs/queries/moving_checkpoints.py",
            "except (CheckpointMoved, CheckpointNotKept, DamagedCheckpoint):",
            "except ZeroDivisionError:",
        ),
        (MOVES,),
    ),
    Mutant(
        "checkpoint-held-after-the-question",
        "what a question kept of a job that has ended stays for ever",
        edit_once("jobs/retention.py", "        self._held.delete_expired(deadline)\n", ""),
        (DATASET,),
    ),
    Mutant(
        "pinned-checkpoint-removed-with-its-question",
        "a checkpoint that was pinned while a question kept it goes when that has ended",
        edit_once(f"{LUA}/delete_checkpoint.lua", "cjson.decode(text).pinned or ", ""),
        (f"{TESTS}::test_what_a_client_pinned_meanwhile_is_not_removed_with_its_question",),
    ),
    Mutant(
        "held-checkpoint-forgotten-by-a-rebuild",
        "a rebuilt store never removes what questions kept",
        edit_once(
            f"{LUA}/restore.lua",
            "if j[14] then redis.call('SADD', keys.HELD_CHECKPOINTS, member) end\n",
            "",
        ),
        (f"{TESTS}::test_a_rebuilt_store_removes_what_a_question_kept_once_that_has_ended",),
    ),
    Mutant(
        "onnx-of-latest-never-there",
        "model.onnx of latest is asked for anew at each tick, and never comes",
        edit_once(
            "jobs/answers/exports.py",
            'if folder in ("", checkpoint.folder) or',
            "if True or",
        ),
        (f"{TESTS}::test_the_onnx_of_latest_is_that_of_the_tick_it_was_asked_for_at",),
    ),
)
