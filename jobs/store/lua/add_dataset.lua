-- A dataset whose bytes are durable in the files of h.parts, or the one of the same bytes. The last part is new: until
-- this takes its path, its file waits for deletion. Those before it are the parts of h.parent, which it shares.
-- -> {'new'|'same'|'replayed', id, status of the first answer} | {'mismatch'} | {'gone'} | {'late'} |
--    {'quota', name, used, limit, needed} | {'no parent'}
local idempotency, record = keys.idempotency(h.tenant), keys.dataset(h.tenant, h.id)
local replay = find_replay(idempotency, 'replayed')
if replay then return replay end
local exists = redis.call('EXISTS', record) == 1
if not exists then
  local added, last = 0, h.parts[#h.parts]
  for _, part in ipairs(unique_parts(h.parts)) do
    if count_holders(h.tenant, part.sha256) == 0 then added = added + part.bytes end
  end
  for n = 1, #h.parts - 1 do -- the parent may have been deleted meanwhile
    if redis.call('HGET', keys.blob(h.parts[n].sha256), 'path') ~= h.parts[n].path then return { 'no parent' } end
  end
  local excess = find_quota_excess(h.tenant, 'dataset_bytes', added)
  if excess then return excess end
  local blob = keys.blob(last.sha256)
  local path = redis.call('HGET', blob, 'path')
  if not path then
    if redis.call('ZREM', keys.PENDING_BLOB_DELETIONS, last.path) == 0 then return { 'late' } end
    redis.call('HSET', blob, 'path', last.path)
    path = last.path
  end
  last.path = path
  for _, part in ipairs(unique_parts(h.parts)) do hold_part(h.tenant, h.id, part, 1) end
  local seq = redis.call('INCR', keys.DATASET_SEQUENCE)
  redis.call('HSET', record, 'schema', '1', 'id', h.id, 'tenant', h.tenant, 'name', h.name, 'type', h.type,
    'delimiter', h.delimiter, 'sha256', h.sha256, 'bytes', int(h.bytes), 'path', path, 'seq', int(seq),
    'created_ms', now, 'marks', h.marks, 'profile', ARGV[2])
  if h.parent then redis.call('HSET', record, 'parent', h.parent, 'parts', cjson.encode(h.parts)) end
  redis.call('ZADD', keys.dataset_index(h.tenant), seq, h.id)
  redis.call('ZREM', keys.tombstones(h.tenant), h.id)
  redis.call('SADD', keys.TENANTS, h.tenant)
end
local status = exists and '200' or '201'
if h.idempotency_key then
  redis.call('HSET', idempotency, h.idempotency_key, h.id .. ' ' .. h.body_digest .. ':' .. status)
  redis.call('SADD', keys.dataset_keys(h.tenant, h.id), h.idempotency_key)
end
return { exists and 'same' or 'new', h.id, status }
