#!lua flags=allow-oom
-- Keep the first answer to a submission, or (h.idempotency_key) to another POST. -> {'ok'} | {'gone'}
if redis.call('EXISTS', keys.job(h.member)) == 0 then return { 'gone' } end
if h.idempotency_key then redis.call('HSET', keys.checkpoint_responses(h.member), h.idempotency_key, ARGV[2])
else redis.call('HSETNX', keys.job(h.member), 'answer', ARGV[2]) end
return { 'ok' }
