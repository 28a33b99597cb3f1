-- Remove a dataset that no live job uses; with its last reference the file of its bytes is to be deleted.
-- -> {'ok', sequence, {idempotency key...}} | {'gone'} | {'used', job id...}
local record, users = keys.dataset(h.tenant, h.id), keys.dataset_jobs(h.tenant, h.id)
local d = redis.call('HMGET', record, 'sha256', 'path', 'seq', 'bytes')
if not d[1] then return { 'gone' } end
local some = redis.call('SRANDMEMBER', users, 5)
if #some > 0 then return { 'used', unpack(some) } end
local used = redis.call('SMEMBERS', keys.dataset_keys(h.tenant, h.id))
for _, idempotency_key in ipairs(used) do
  redis.call('HSET', keys.idempotency(h.tenant), idempotency_key, 'deleted -')
end
local blob, references = keys.blob(d[1]), keys.blob_references(d[1])
redis.call('SREM', references, h.tenant .. '/' .. h.id)
if redis.call('SCARD', references) == 0 then
  redis.call('ZADD', keys.PENDING_BLOB_DELETIONS, now, d[2])
  redis.call('DEL', blob)
end
redis.call('ZREM', keys.dataset_index(h.tenant), h.id)
add_usage(h.tenant, 'dataset_bytes', -tonumber(d[4]))
redis.call('ZADD', keys.tombstones(h.tenant), now, h.id)
redis.call('UNLINK', record, keys.dataset_keys(h.tenant, h.id), users)
return { 'ok', d[3], used } -- a list of its own: unpack takes 8,000 values
