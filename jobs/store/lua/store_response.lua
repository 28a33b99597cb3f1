#!lua flags=allow-oom
-- Store the first response to a submission, or, with h.idempotency_key, to a checkpoint request. -> {'ok'} | {'gone'}
if redis.call('EXISTS', keys.job(h.member)) == 0 then return { 'gone' } end
if h.idempotency_key then redis.call('HSET', keys.checkpoint_responses(h.member), h.idempotency_key, ARGV[2])
else redis.call('HSETNX', keys.job(h.member), 'answer', ARGV[2]) end
return { 'ok' }
