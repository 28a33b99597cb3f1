-- Remove a dataset that no live job uses; with its last reference the file of its bytes is to be deleted.
-- -> {'ok', sequence, {idempotency key...}} | {'gone'} | {'used', job id...}
local record, users = keys.dataset(h.tenant, h.id), keys.dataset_jobs(h.tenant, h.id)
local d = redis.call('HMGET', record, 'sha256', 'path', 'seq', 'bytes', 'parts')
if not d[1] then return { 'gone' } end
local some = redis.call('SRANDMEMBER', users, 5)
if #some > 0 then return { 'used', unpack(some) } end
local used = redis.call('SMEMBERS', keys.dataset_keys(h.tenant, h.id))
for _, idempotency_key in ipairs(used) do
  redis.call('HSET', keys.idempotency(h.tenant), idempotency_key, 'deleted -')
end
for _, part in ipairs(unique_parts(parts_of(d[1], d[2], d[4], d[5]))) do
  hold_part(h.tenant, h.id, part, -1)
  if redis.call('SCARD', keys.blob_references(part.sha256)) == 0 then
    redis.call('ZADD', keys.PENDING_BLOB_DELETIONS, now, part.path)
    redis.call('DEL', keys.blob(part.sha256))
  end
end
redis.call('ZREM', keys.dataset_index(h.tenant), h.id)
redis.call('ZADD', keys.tombstones(h.tenant), now, h.id)
redis.call('UNLINK', record, keys.dataset_keys(h.tenant, h.id), users)
return { 'ok', d[3], used } -- a list of its own: unpack takes 8,000 values
