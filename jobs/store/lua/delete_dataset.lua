-- Remove a dataset that no live job uses; with its last reference the bytes are doomed.
-- -> {'ok', sequence, idempotency key...} | {'gone'} | {'used', job id...}
local record = dataset(h.tenant, h.id)
local d = redis.call('HMGET', record, 'sha256', 'path', 'seq')
if not d[1] then return { 'gone' } end
local users = redis.call('SRANDMEMBER', record .. ':jobs', 5)
if #users > 0 then return { 'used', unpack(users) } end
local known = redis.call('SMEMBERS', record .. ':keys')
for _, idempotency_key in ipairs(known) do
  redis.call('HSET', 'idempotency:' .. h.tenant, idempotency_key, 'deleted -')
end
local blob = 'dataset:blob:' .. d[1]
redis.call('SREM', blob .. ':references', h.tenant .. '/' .. h.id)
if redis.call('SCARD', blob .. ':references') == 0 then
  redis.call('ZADD', 'datasets:doomed', now, d[2])
  redis.call('DEL', blob)
end
redis.call('ZREM', 'datasets:of:' .. h.tenant, h.id)
redis.call('ZADD', 'tombstones:' .. h.tenant, now, h.id)
redis.call('UNLINK', record, record .. ':keys', record .. ':jobs')
return { 'ok', d[3], unpack(known) }
