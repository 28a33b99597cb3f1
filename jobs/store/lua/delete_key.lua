#!lua flags=allow-oom
-- Remove an access key: the next request that shows it finds none. -> {'ok'} | {'gone'}
local where = 'access:key:' .. h.id
local k = redis.call('HMGET', where, 'tenant', 'maker', 'idempotency_key')
if not k[1] then return { 'gone' } end
if k[3] then redis.call('HSET', 'access:idempotency:' .. k[2], k[3], 'deleted -') end
redis.call('ZREM', 'access:index', h.id)
redis.call('ZREM', 'access:index:' .. k[1], h.id)
redis.call('UNLINK', where, 'limit:' .. h.id)
return { 'ok' }
