#!lua flags=allow-oom
-- Renew the lease of an answer. -> {'ok', requested or ''} | fenced
local lost = check_answer_lease(h.member)
if lost then return lost end
redis.call('ZADD', keys.ANSWER_LEASES, int(now + h.lease_ms), h.member)
keep_answer(h.member)
return { 'ok', redis.call('HGET', keys.answer(h.member), 'requested') or '' }
