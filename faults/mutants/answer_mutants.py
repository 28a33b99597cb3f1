"""Mutants of answers: predicts that live in the store alone, and who computes them."""

from faults.mutants.mutant import Mutant, edit_once

PRELUDE, LUA = "jobs/store/lua/answers_prelude.lua", "jobs/store/lua"
SCRIPTS, HTTP = "tests/test_jobs_answers.py", "tests/test_api_answers.py"
EXPORTS = "tests/test_api_exports.py"
DATASETS = "tests/test_api_dataset_answers.py"
NAMES_ITSELF = "test_a_job_about_a_dataset_names_it_and_tells_of_itself_not_of_its_nets_training"
WORKERS, DRIVER = "tests/test_workers_answers.py", "workers/answering.py"

MUTANTS = (
    Mutant(
        "answer-for-ever",
        "what answers share in the store never expires",
        edit_once(PRELUDE, "    keep_for(key, ttl)\n  end\n", "  end\n"),
        (f"{SCRIPTS}::test_every_key_of_an_answer_expires_in_every_state",),
    ),
    Mutant(
        "answer-without-fence",
        "a worker that has lost its lease still ends the answer",
        edit_once(PRELUDE, "if j[1] == 'running' and j[2] == h.nonce then", "if j[2] then"),
        (f"{SCRIPTS}::test_a_worker_that_has_lost_its_lease_writes_nothing",),
    ),
    Mutant(
        "answer-tried-for-ever",
        "an answer that kills every process is given to the next one for ever",
        edit_once(PRELUDE, "if tonumber(j[2]) < max_attempts then", "if true then"),
        (
            f"{SCRIPTS}::test_an_answer_whose_worker_is_gone_is_given_to_another_and_fails_after_"
            "three_attempts",
        ),
    ),
    Mutant(
        "drain-costs-an-attempt",
        "an answer fails since its workers were stopped three times",
        edit_once(f"{LUA}/answer_finish.lua", "if h.reason == 'drain'", "if false"),
        (
            f"{SCRIPTS}::test_an_answer_that_a_drain_gives_back_is_first_again_and_has_lost_no_"
            "attempt",
        ),
    ),
    Mutant(
        "drain-is-an-error",
        "a worker that leaves while the process computes costs the answer an attempt",
        edit_once(
            DRIVER, "                except Stopping:", "                except ZeroDivisionError:"
        ),
        (f"{WORKERS}::test_a_worker_that_leaves_gives_back_what_it_has_not_answered",),
    ),
    Mutant(
        "many-answers-first",
        "a tenant with many answers in the queue is served before all others",
        edit_once(
            f"{LUA}/answer_submit.lua",
            "math.max(tonumber(ranks[1] or '0'), tonumber(ranks[2] or '0')) + 1",
            "seq",
        ),
        (f"{SCRIPTS}::test_tenants_take_turns",),
    ),
    Mutant(
        "expired-answers-counted",
        "answers that expired in the queue use up their tenant's places",
        edit_once(
            f"{LUA}/answer_submit.lua",
            "redis.call('ZREMRANGEBYSCORE', queued, '-inf', int(now))\n",
            "",
        ),
        (f"{SCRIPTS}::test_answers_that_expired_in_the_queue_are_neither_claimed_nor_counted",),
    ),
    Mutant(
        "answers-without-bound",
        "one tenant's answers fill the store",
        edit_once(
            f"{LUA}/answer_submit.lua", "if used + #ARGV[2] > h.max_bytes then", "if false then"
        ),
        (f"{HTTP}::test_a_tenants_queued_predicts_are_bounded_in_number_and_bytes",),
    ),
    Mutant(
        "answer-key-of-a-job",
        "an idempotency key that made a job makes an answer as well",
        edit_once(
            f"{LUA}/answer_submit.lua",
            "  if redis.call('HEXISTS', keys.idempotency(h.tenant), h.idempotency_key) == 1 then "
            "return { 'mismatch' } end\n",
            "",
        ),
        (f"{HTTP}::test_an_idempotency_key_of_a_predict_lives_as_long_as_the_answer",),
    ),
    Mutant(
        "rows-not-checked",
        "rows that the net cannot read are queued",
        edit_once(
            "jobs/answers/requests.py",
            "    if not errors and request.rows is not None:\n",
            "    if False:\n",
        ),
        (
            f"{HTTP}::test_what_does_not_fit_the_net_is_422_with_pointer_and_rule_before_anything_"
            "is_queued",
        ),
    ),
    Mutant(
        "questions-among-jobs",
        "lists of jobs have predicts and evaluates that nobody asked for",
        edit_once(
            "api/routes_jobs.py", "hidden = [] if query.kind else", "hidden = [] if True else"
        ),
        (
            f"{HTTP}::test_a_job_about_a_dataset_waits_for_an_answering_worker_and_can_only_be_"
            "cancelled",
        ),
    ),
    Mutant(
        "celery-woken-for-questions",
        "a worker's queue is woken without end for a job that no trainer takes",
        edit_once(
            f"{LUA}/submit.lua",
            "else redis.call('SADD', keys.QUEUES, h.queue) end",
            "end\nredis.call('SADD', keys.QUEUES, h.queue)",
        ),
        (
            f"{HTTP}::test_a_job_about_a_dataset_waits_for_an_answering_worker_and_can_only_be_"
            "cancelled",
        ),
    ),
    Mutant(
        "lacking-columns-not-told",
        "a dataset without the columns that a net reads is queued",
        edit_once("jobs/answers/dataset_checks.py", "    if rules:\n", "    if False:\n"),
        (f"{HTTP}::test_columns_that_a_dataset_lacks_are_all_told_before_anything_is_queued",),
    ),
    Mutant(
        "question-shown-as-its-net",
        "an evaluation shows the ticks and the device of its net's training as its own",
        edit_once(
            "jobs/store/codec.py",
            "return _as_question(job, fields) if job.kind in QUESTION_KINDS else job",
            "return job",
        ),
        (
            f"{DATASETS}::test_a_job_about_a_dataset_names_it_and_tells_of_itself_not_of_its_nets_"
            "training",
        ),
    ),
    Mutant(
        "result-without-bound",
        "the predictions of a dataset fill the disk",
        edit_once(
            "ticks/answers/result_file.py",
            "if self._bytes + len(data) > self._max_bytes:",
            "if False:",
        ),
        (
            "tests/test_ticks_result_file.py::test_a_result_beyond_its_bound_or_the_disks_is_no_"
            "file",
        ),
    ),
    Mutant(
        "result-not-reserved",
        "a tenant's results that are under way are beyond its quota together",
        edit_once(
            f"{LUA}/submit.lua",
            "    add_job_usage(member, 'artifact_bytes', h.reserved_bytes)\n",
            "",
        ),
        (f"{DATASETS}::test_a_result_is_counted_in_the_quota_from_its_request_to_its_end",),
    ),
    Mutant(
        "result-reserved-for-ever",
        "what a result might have taken counts in the quota though its job has ended",
        edit_once(
            f"{LUA}/prelude.lua",
            "-tonumber(redis.call('HGET', job, 'reserved_bytes') or '0'))",
            "0)",
        ),
        (f"{DATASETS}::test_a_result_is_counted_in_the_quota_from_its_request_to_its_end",),
    ),
    Mutant(
        "answers-one-by-one",
        "a short answer waits behind long ones",
        edit_once("workers/answer_claims.py", "MAX_OPEN = 16 ", "MAX_OPEN = 1 "),
        (f"{WORKERS}::test_short_answers_come_while_the_worker_trains_and_continues_a_long_text",),
    ),
    Mutant(
        "long-answers-one-by-one",
        "of two long texts the second one waits until the first one has ended",
        edit_once(DRIVER, "            self._open.move_to_end(answer.id)\n", ""),
        (f"{WORKERS}::test_two_long_texts_advance_in_turns_and_a_short_answer_waits_for_neither",),
    ),
    Mutant(
        "cancelled-answer-advanced",
        "a job about a dataset that is cancelled goes on for another slice, and succeeds",
        edit_once(DRIVER, "        if _is_over(answer):\n            return\n", ""),
        (f"{WORKERS}::test_a_job_about_a_dataset_is_cancelled_while_it_runs",),
    ),
    Mutant(
        "progress-of-the-attempt-before",
        "a job about a dataset that begins again shows what the process that died had done",
        edit_once(
            f"{LUA}/finish.lua",
            "  redis.call('HDEL', job, 'rows_done', 'rows_total') -- the next begins again\n",
            "",
        ),
        (f"{DATASETS}::{NAMES_ITSELF}",),
    ),
    Mutant(
        "link-to-what-no-job-has",
        "a link to the result of an evaluation is signed, and opens nothing",
        edit_once("api/routes_links.py", "    _check_kind(job, endpoint)\n", ""),
        (f"{DATASETS}::test_a_link_is_signed_for_what_a_job_of_its_kind_has_and_for_nothing_else",),
    ),
    Mutant(
        "export-for-any-worker",
        "a worker without the packages for ONNX claims an export",
        edit_once(PRELUDE, "return is_export(member) and keys.EXPORT_QUEUE or", "return"),
        (f"{EXPORTS}::test_a_file_is_202_until_it_is_made_once_and_then_a_download_like_others",),
    ),
    Mutant(
        "export-tried-at-each-request",
        "each request for a file whose export failed begins another one",
        edit_once(
            f"{LUA}/answer_submit.lua", "if status and status ~= 'succeeded' then", "if false then"
        )
        + edit_once(
            "jobs/answers/exports.py", '("queued", "running", "failed")', '("queued", "running")'
        ),
        (f"{EXPORTS}::test_an_export_that_failed_is_told_and_not_tried_again_for_now",),
    ),
    Mutant(
        "damaged-export-kept",
        "model.onnx that is damaged on the disk is damaged for ever",
        edit_once(
            "api/routes_checkpoints.py",
            "        exported.path.unlink(missing_ok=True)\n        return None\n",
            "        raise\n",
        ),
        (f"{EXPORTS}::test_a_damaged_or_lost_file_is_made_again_and_goes_with_its_checkpoint",),
    ),
    Mutant(
        "export-nobody-can-make",
        "a client waits for a file that no live worker can make",
        edit_once(
            "jobs/answers/exports.py",
            "            self._check_workers()  # those",
            "            pass  # those",
        ),
        (f"{EXPORTS}::test_without_a_worker_that_can_make_it_a_file_is_503_and_waits_for_nobody",),
    ),
    Mutant(
        "dead-process-kept",
        "a process that has died is asked again",
        edit_once(DRIVER, "        self._process.close()\n        for other", "        for other"),
        (f"{WORKERS}::test_an_answer_comes_though_its_process_is_killed",),
    ),
    Mutant(
        "gone-checkpoint-is-damage",
        "an answer whose checkpoint was deleted is said to be damaged",
        edit_once(DRIVER, "        except NotFound:\n", "        except ZeroDivisionError:\n"),
        (f"{WORKERS}::test_a_checkpoint_deleted_before_its_net_has_answered_is_told",),
    ),
)
