-- A dataset whose bytes are durable at h.path, or the one of the same bytes. Until this takes the path, its file waits
-- for deletion.
-- -> {'new'|'same'|'replayed', id, status of the first answer} | {'mismatch'} | {'gone'} | {'late'} |
--    {'quota', name, used, limit}
local idempotency, record = keys.idempotency(h.tenant), keys.dataset(h.tenant, h.id)
local replay = find_replay(idempotency, 'replayed')
if replay then return replay end
local exists = redis.call('EXISTS', record) == 1
if not exists then
  local excess = find_quota_excess(h.tenant, 'dataset_bytes', h.bytes)
  if excess then return excess end
  local blob = keys.blob(h.sha256)
  local path = redis.call('HGET', blob, 'path')
  if not path then
    if redis.call('ZREM', keys.PENDING_BLOB_DELETIONS, h.path) == 0 then return { 'late' } end
    redis.call('HSET', blob, 'path', h.path)
    path = h.path
  end
  redis.call('SADD', keys.blob_references(h.sha256), h.tenant .. '/' .. h.id)
  local seq = redis.call('INCR', keys.DATASET_SEQUENCE)
  redis.call('HSET', record, 'schema', '1', 'id', h.id, 'tenant', h.tenant, 'name', h.name, 'type', h.type,
    'delimiter', h.delimiter, 'sha256', h.sha256, 'bytes', int(h.bytes), 'path', path, 'seq', int(seq),
    'created_ms', now, 'marks', h.marks, 'profile', ARGV[2])
  redis.call('ZADD', keys.dataset_index(h.tenant), seq, h.id)
  redis.call('ZREM', keys.tombstones(h.tenant), h.id)
  redis.call('SADD', keys.TENANTS, h.tenant)
  add_usage(h.tenant, 'dataset_bytes', h.bytes)
end
local status = exists and '200' or '201'
if h.idempotency_key then
  redis.call('HSET', idempotency, h.idempotency_key, h.id .. ' ' .. h.body_digest .. ':' .. status)
  redis.call('SADD', keys.dataset_keys(h.tenant, h.id), h.idempotency_key)
end
return { exists and 'same' or 'new', h.id, status }
