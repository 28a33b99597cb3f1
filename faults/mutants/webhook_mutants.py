"""Mutants of webhooks: each step from a job's change to a call, and whom a call may reach."""

from faults.mutants.mutant import Mutant, edit_once

LUA = "jobs/store/lua"
STORE, WORKERS = "tests/test_jobs_webhooks.py", "tests/test_workers_webhooks.py"
CLIENT = "tests/test_workers_webhook_client.py"
HTTP, HUNT = "tests/test_api_webhooks.py", "tests/test_faults_webhooks.py"
ORDER = f"{STORE}::test_each_change_of_a_job_is_one_event_in_order_with_the_job_as_it_was"
ONCE = f"{STORE}::test_an_event_is_fanned_out_once_and_a_try_recorded_once_whoever_repeats_it"
REBUILT = (
    f"{STORE}::test_a_rebuilt_store_has_its_webhooks_and_sends_the_newest_ends_again_with_their_ids"
)

MUTANTS = (
    Mutant(
        "end-not-told",
        "a job ends, and no event of it is in the outbox",
        edit_once(
            f"{LUA}/prelude.lua",
            "if status == 'paused' or ENDED[status] then emit(member, 'job.' .. status) end",
            "if status == 'paused' then emit(member, 'job.' .. status) end",
        ),
        (ORDER,),
    ),
    Mutant(
        "event-told-at-each-claim",
        "a job that is resumed has started again",
        edit_once(f"{LUA}/claim.lua", "if is_first then emit", "if true then emit"),
        (f"{STORE}::test_a_pause_a_failure_and_a_cancel_are_told_and_a_second_start_is_not",),
    ),
    Mutant(
        "events-of-everybody-stored",
        "jobs of tenants without webhooks fill outboxes that nobody reads",
        edit_once(
            f"{LUA}/prelude.lua",
            "redis.call('HEXISTS', job, 'notify') == 0 then return end",
            "redis.call('HEXISTS', job, 'notify') == 2 then return end",
        ),
        (f"{STORE}::test_without_a_webhook_no_script_writes_anything_of_webhooks",),
    ),
    Mutant(
        "dropped-events-not-counted",
        "events that nobody sent in time are gone without a word",
        edit_once(f"{LUA}/prelude.lua", "redis.call('INCR', keys.webhook_drops(tenant))\n", "\n"),
        (
            f"{STORE}::test_the_oldest_events_and_deliveries_beyond_the_bounds_are_dropped_and_"
            "counted",
        ),
    ),
    Mutant(
        "event-moved-twice",
        "an event that was moved already is moved again by who tries it again",
        edit_once(
            f"{LUA}/webhook_fan_out.lua",
            "redis.call('XDEL', outbox, event.entry) == 1",
            "redis.call('XDEL', outbox, event.entry) >= 0",
        ),
        (f"{STORE}::test_what_another_has_moved_meanwhile_is_not_moved_again",),
    ),
    Mutant(
        "moved-message-overtakes",
        "an event is sent as soon as it is moved, while one of its job before it waits",
        edit_once(
            f"{LUA}/webhooks_prelude.lua",
            "local is_first = redis.call('RPUSH', keys.webhook_lane(member, lane), id) == 1",
            "local is_first = redis.call('RPUSH', keys.webhook_lane(member, lane), id) >= 1",
        ),
        (
            f"{STORE}::test_what_is_moved_and_first_of_its_lane_is_due_at_once_and_as_it_is_read_"
            "back",
        ),
    ),
    Mutant(
        "moved-without-the-lease",
        "a sender that has lost its lease moves events",
        edit_once(f"{LUA}/webhook_fan_out.lua", "if fenced then return fenced end\n", "\n"),
        (f"{STORE}::test_who_has_lost_the_lease_moves_and_records_nothing",),
    ),
    Mutant(
        "recorded-without-the-lease",
        "a sender that has lost its lease records tries",
        edit_once(f"{LUA}/webhook_report.lua", "if fenced then return fenced end\n", "\n"),
        (f"{STORE}::test_who_has_lost_the_lease_moves_and_records_nothing",),
    ),
    Mutant(
        "try-recorded-twice",
        "a report that comes twice ends the next message unsent",
        edit_once(
            f"{LUA}/webhook_report.lua",
            "if m[1] ~= 'waiting' or heads[1] ~= try.message then return end",
            "try.message = heads[1]\n  message = keys.webhook_message(member, try.message)",
        ),
        (ONCE,),
    ),
    Mutant(
        "message-id-drawn",
        "the same event has another id each time",
        edit_once(
            "jobs/webhooks/event.py",
            "distinct = [part for part in (url, event.detail) if part]",
            "distinct = [__import__('secrets').token_hex(8)]",
        ),
        (f"{STORE}::test_an_event_has_the_same_id_for_ever_and_others_have_others", REBUILT),
    ),
    Mutant(
        "later-events-overtake",
        "while one message of a job fails, the next ones go",
        edit_once(
            f"{LUA}/webhook_report.lua",
            "    redis.call('ZADD', keys.webhook_lanes(member), int(now + try.delay_ms), m[2])\n",
            "    redis.call('LREM', keys.webhook_lane(member, m[2]), '1', try.message)\n"
            "    redis.call('RPUSH', keys.webhook_lane(member, m[2]), try.message)\n",
        ),
        (f"{STORE}::test_messages_of_a_job_wait_for_the_one_before_and_other_jobs_do_not",),
    ),
    Mutant(
        "failed-try-is-the-last",
        "what a receiver refuses once is not sent again",
        edit_once("jobs/webhooks/delivery.py", "if attempt > len(RETRY_DELAYS_SECONDS):", "if 1:"),
        (
            f"{STORE}::test_tries_are_spread_over_three_days",
            f"{WORKERS}::test_a_failed_try_is_made_again_with_the_same_id_while_later_events_wait",
        ),
    ),
    Mutant(
        "tried-for-ever",
        "a receiver that never takes anything is called for ever",
        edit_once(
            "jobs/webhooks/delivery.py",
            "return delay if seconds_since_first + delay <= MAX_RETRY_SECONDS else None",
            "return delay",
        ),
        (f"{STORE}::test_tries_are_spread_over_three_days",),
    ),
    Mutant(
        "redirect-is-a-delivery",
        "an answer of 3xx counts as a delivery",
        edit_once("workers/webhook_sender.py", "200 <= code < 300", "200 <= code < 400"),
        (f"{WORKERS}::test_a_redirect_is_not_followed_and_410_disables_at_once",),
    ),
    Mutant(
        "gone-receiver-called-again",
        "a receiver that answers 410 is called for three days more",
        edit_once("workers/webhook_sender.py", "if code == GONE:", "if code == 0:"),
        (f"{WORKERS}::test_a_redirect_is_not_followed_and_410_disables_at_once",),
    ),
    Mutant(
        "checked-at-its-making-alone",
        "a name that has another meaning by now reaches what is inside",
        edit_once(
            "workers/webhook_client.py", "self._rules.check_addresses(url.host, addresses)\n", "\n"
        ),
        (f"{CLIENT}::test_each_connection_is_checked_whatever_the_name_meant_before",),
    ),
    Mutant(
        "any-certificate-will-do",
        "a message goes to whoever answers in a receiver's place",
        edit_once(
            "workers/webhook_client.py",
            "ssl.create_default_context()",
            "ssl._create_unverified_context()",
        ),
        (f"{CLIENT}::test_a_certificate_is_checked",),
    ),
    Mutant(
        "one-public-address-is-enough",
        "a name with a public and a private address may be called",
        edit_once(
            "jobs/webhooks/addresses.py", "for text in addresses:", "for text in addresses[:1]:"
        ),
        (
            f"{HTTP}::test_only_addresses_of_the_public_internet_may_be_called_unless_they_are_"
            "listed",
        ),
    ),
    Mutant(
        "embedded-address-not-looked-at",
        "a private address of IPv4 passes as one of IPv6",
        edit_once(
            "jobs/webhooks/addresses.py",
            "        return all(map(is_public, embedded))\n",
            "        return True\n",
        ),
        (
            f"{HTTP}::test_only_addresses_of_the_public_internet_may_be_called_unless_they_are_"
            "listed",
        ),
    ),
    Mutant(
        "private-address-accepted",
        "a webhook with a private address is made, and fails later",
        edit_once("api/routes_webhooks.py", "context.deps.address_rules.check_url(url)", "pass"),
        (f"{HTTP}::test_a_body_that_breaks_a_rule_is_422_with_its_field",),
    ),
    Mutant(
        "secret-not-sealed",
        "store and archive show the secrets of webhooks",
        edit_once(
            "jobs/webhooks/sealing.py",
            "hidden = _mask(key, nonce, text.encode())",
            "hidden = text.encode()",
        ),
        (f"{STORE}::test_a_sealed_text_opens_with_its_key_and_purpose_alone_and_shows_nothing",),
    ),
    Mutant(
        "seal-not-bound",
        "the secret of one webhook opens as another's",
        edit_once("jobs/webhooks/sealing.py", "+ context.encode() + hidden", "+ hidden"),
        (f"{STORE}::test_a_sealed_text_opens_with_its_key_and_purpose_alone_and_shows_nothing",),
    ),
    Mutant(
        "old-secret-signs-no-more",
        "a new secret breaks every receiver at once",
        edit_once(
            "jobs/webhooks/webhook.py",
            'if int(record.get(b"old_until_ms", b"0")) > now_ms:',
            "if False:",
        ),
        (f"{WORKERS}::test_a_new_secret_signs_beside_the_one_before",),
    ),
    Mutant(
        "ends-not-sent-again",
        "after a rebuild nobody is told of the ends that a lost store had not sent",
        edit_once(f"{LUA}/restore.lua", "if finished_ms and now", "if false and now"),
        (REBUILT,),
    ),
    Mutant(
        "disabled-webhook-forgets-nothing",
        "what waits for a disabled webhook waits for ever",
        edit_once(
            "workers/webhook_sender.py", 'TryResult(lane, "closed",', 'TryResult(lane, "again",'
        ),
        (f"{WORKERS}::test_a_redirect_is_not_followed_and_410_disables_at_once",),
    ),
    Mutant(
        "message-behind-another-not-called",
        "a message that is to be sent at once waits for the next try of an earlier one",
        edit_once(
            f"{LUA}/webhook_send.lua",
            "    call_first(member, message[1], "
            "redis.call('LINDEX', keys.webhook_lane(member, message[1]), '0'))\n",
            "",
        ),
        (
            f"{STORE}::test_a_message_behind_another_is_sent_at_once_after_that_and_has_no_time_"
            "of_its_own",
        ),
    ),
)
