#!lua flags=allow-oom
-- Remove an ended job's record and leave a tombstone. -> {'ok', sequence, idempotency key...} | {'gone'} | {'live', status}
local member = h.member
local job = keys.job(member)
local j = redis.call('HMGET', job, 'status', 'idempotency_key', 'columns', 'sparse', 'segments', 'attempt', 'tick', 'seq')
if not j[1] then return { 'gone' } end
if not ENDED[j[1]] then return { 'live', j[1] } end
local tenant, id = tenant_of(member), id_of(member)
local used = redis.call('HKEYS', keys.job_idempotency_keys(member))
if j[2] then redis.call('HSET', keys.idempotency(tenant), j[2], 'deleted -') end
for _, idempotency_key in ipairs(used) do redis.call('HSET', keys.idempotency(tenant), idempotency_key, 'deleted -') end
redis.call('ZADD', keys.tombstones(tenant), now, id)
for_each_index(member, function(index) redis.call('ZREM', index, id) end)
redis.call('ZREM', status_index(member, j[1]), id)
redis.call('ZREM', keys.job_index(tenant), id)
redis.call('SREM', keys.UNFINALIZED_JOBS, member)
for segment = tonumber(j[5]), math.floor(math.max(tonumber(j[7]) - 1, 0) / SEGMENT) do -- a full one may not have moved
  for _, name in ipairs(cjson.decode(j[3] or '[]')) do
    redis.call('UNLINK', keys.column(member, name, segment), keys.summary_rows(member, name, segment))
  end
  for name in string.gmatch(j[4] or '', '%S+') do redis.call('UNLINK', keys.sparse(member, name, segment)) end
end
for n = 1, tonumber(j[6]) do redis.call('UNLINK', keys.attempt(member, n)) end
redis.call('UNLINK', job, keys.segment_digests(member), keys.checkpoints(member), keys.audit(member), keys.events(member), keys.notices(member),
  keys.checkpoint_responses(member), keys.deleted_checkpoints(member), keys.job_idempotency_keys(member))
return { 'ok', j[8], unpack(used) }
