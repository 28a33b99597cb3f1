#!lua flags=allow-oom
-- Count anew what a tenant uses, from the records of its jobs and datasets, and list its queued and ended jobs where
-- builds before this one did not. -> {'ok'}
local tenant = h.tenant
local spec_bytes, artifact_bytes, dataset_bytes = 0, 0, 0
for _, id in ipairs(redis.call('ZRANGE', keys.job_index(tenant), '0', '-1')) do
  local member = keys.job_member(tenant, id)
  local job = keys.job(member)
  local j = redis.call('HMGET', job, 'status', 'queue', 'rank', 'finished_ms', 'created_ms', 'checkpoint_bytes', 'history_bytes',
    'code_bytes')
  spec_bytes = spec_bytes + redis.call('HSTRLEN', job, 'spec')
  artifact_bytes = artifact_bytes + tonumber(j[6] or '0') + tonumber(j[7] or '0') + tonumber(j[8] or '0')
  if j[1] == 'queued' then enqueue(member, j[2], j[3]) end
  if ENDED[j[1]] then redis.call('ZADD', keys.ended_jobs(tenant), j[4] or j[5], id) end
end
for _, id in ipairs(redis.call('ZRANGE', keys.dataset_index(tenant), '0', '-1')) do
  dataset_bytes = dataset_bytes + tonumber(redis.call('HGET', keys.dataset(tenant, id), 'bytes') or '0')
end
redis.call('HSET', keys.tenant_usage(tenant), 'spec_bytes', int(spec_bytes), 'artifact_bytes', int(artifact_bytes),
  'dataset_bytes', int(dataset_bytes))
redis.call('SADD', keys.TENANTS, tenant)
return { 'ok' }
