#!lua flags=allow-oom
-- Remove an access key: the next request that shows it finds none. With h.is_withdrawn its idempotency key is free again.
-- -> {'ok'} | {'gone'}
local record = keys.access_key(h.id)
local k = redis.call('HMGET', record, 'tenant', 'maker', 'idempotency_key')
if not k[1] then return { 'gone' } end
if k[3] and h.is_withdrawn then redis.call('HDEL', keys.access_idempotency(k[2]), k[3])
elseif k[3] then redis.call('HSET', keys.access_idempotency(k[2]), k[3], 'deleted -') end
redis.call('ZREM', keys.access_index(), h.id)
redis.call('ZREM', keys.access_index(k[1]), h.id)
redis.call('UNLINK', record, keys.rate_limit(h.id), keys.link_limit(h.id))
return { 'ok' }
