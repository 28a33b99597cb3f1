#!lua flags=allow-oom
-- Remove an answer that has ended. Its idempotency key answers 410 for as long as it would have lived.
-- -> {'ok'} | {'live', status} | {'gone'}
local record, tenant = keys.answer(h.member), tenant_of(h.member)
local j = redis.call('HMGET', record, 'status', 'idempotency_key')
if not j[1] then return { 'gone' } end
if not ENDED[j[1]] then return { 'live', j[1] } end
if j[2] then redis.call('SET', keys.answer_idempotency(tenant, j[2]), 'deleted -', 'KEEPTTL', 'XX') end
redis.call('UNLINK', record, keys.notices(h.member))
forget_answer(h.member)
return { 'ok' }
