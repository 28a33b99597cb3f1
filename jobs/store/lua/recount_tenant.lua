#!lua flags=allow-oom
-- Count anew what a tenant uses, from the records of its jobs and datasets, and list its queued and ended jobs where
-- builds before this one did not: h.limit jobs a call, from the first one where h.begins. What changes meanwhile is
-- counted by whoever comes second: the change, or this; so two who recount at once do no harm. -> {'more'} | {'done'}
local tenant = h.tenant
local usage = keys.tenant_usage(tenant)
if h.begins then
  redis.call('HSET', usage, 'spec_bytes', '0', 'artifact_bytes', '0', 'dataset_bytes', '0', 'counted_upto', '0')
  local datasets = {}
  for _, id in ipairs(redis.call('ZRANGE', keys.dataset_index(tenant), '0', '-1')) do
    local d = redis.call('HMGET', keys.dataset(tenant, id), 'sha256', 'path', 'bytes', 'parts')
    if d[1] then datasets[#datasets + 1] = { id, unique_parts(parts_of(d[1], d[2], d[3], d[4])) } end
  end
  for _, dataset in ipairs(datasets) do
    for _, part in ipairs(dataset[2]) do redis.call('HDEL', keys.blob(part.sha256), 'of:' .. tenant) end
  end
  for _, dataset in ipairs(datasets) do
    for _, part in ipairs(dataset[2]) do hold_part(tenant, dataset[1], part, 1) end
  end
  redis.call('SADD', keys.TENANTS, tenant)
end
local upto = redis.call('HGET', usage, 'counted_upto')
if not upto then return { 'done' } end
local batch = redis.call('ZRANGEBYSCORE', keys.job_index(tenant), '(' .. upto, '+inf', 'WITHSCORES', 'LIMIT', '0', int(h.limit))
if #batch == 0 then
  redis.call('HDEL', usage, 'counted_upto')
  return { 'done' }
end
redis.call('HSET', usage, 'counted_upto', batch[#batch])
for n = 1, #batch, 2 do
  local id = batch[n]
  local member = keys.job_member(tenant, id)
  local job = keys.job(member)
  local j = redis.call('HMGET', job, 'status', 'queue', 'rank', 'finished_ms', 'created_ms', 'checkpoint_bytes', 'history_bytes',
    'code_bytes', 'init_bytes', 'reserved_bytes')
  add_usage(tenant, 'spec_bytes', redis.call('HSTRLEN', job, 'spec'))
  add_usage(tenant, 'artifact_bytes', tonumber(j[6] or '0') + tonumber(j[7] or '0') + tonumber(j[8] or '0') + tonumber(j[9] or '0')
    + tonumber(j[10] or '0'))
  if j[1] == 'queued' then enqueue(member, j[2], j[3]) end
  if ENDED[j[1]] then redis.call('ZADD', keys.ended_jobs(tenant), j[4] or j[5], id) end
end
return { 'more' }
