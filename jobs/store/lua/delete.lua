#!lua flags=allow-oom
-- Remove an ended job's record and leave a tombstone. Its files are to be removed then: until that is done it is in a set.
-- With h.spare only if no rule spares it; with h.rule, the rule of retention that it fell under, its tenant gets an event.
-- -> {'ok', sequence, event or '', {idempotency key...}} | {'gone'} | {'live', status} | {'spared', why}
local member = h.member
local job = keys.job(member)
local j = redis.call('HMGET', job, 'status', 'idempotency_key', 'columns', 'sparse', 'segments', 'attempt', 'tick', 'seq',
  'checkpoint_bytes', 'history_bytes', 'code_bytes', 'name', 'finished_ms', 'init_bytes')
if not j[1] then return { 'gone' } end
if not ENDED[j[1]] then return { 'live', j[1] } end
local tenant, id = tenant_of(member), id_of(member)

-- Why a job that no client named must stay: it has a pinned checkpoint, or a live job needs it. nil: it need not.
local function reason_to_spare()
  for _, text in ipairs(redis.call('HVALS', keys.checkpoints(member))) do
    if cjson.decode(text).pinned then return 'pinned' end
  end
  local children = keys.job_index(tenant, 'parent', id)
  local forks = keys.job_index(tenant, 'kind', 'train') -- which have copies of their own
  for _, status in ipairs({ 'queued', 'running', 'paused' }) do
    local live = keys.job_index(tenant, 'status', status)
    if redis.call('ZINTERCARD', '2', children, live) > redis.call('ZINTERCARD', '3', children, live, forks) then return 'parent' end
  end
end
local why = h.spare and reason_to_spare()
if why then return { 'spared', why } end

local event = ''
if h.rule then
  event = add_tenant_event(tenant, 'job_deleted', cjson.encode({
    job = id, name = j[12], status = j[1], finished_ms = j[13], rule = h.rule }))
end
add_job_usage(member, 'spec_bytes', -redis.call('HSTRLEN', job, 'spec'))
add_job_usage(member, 'artifact_bytes', -tonumber(j[9] or '0') - tonumber(j[10] or '0') - tonumber(j[11] or '0')
  - tonumber(j[14] or '0'))
redis.call('ZREM', keys.ended_jobs(tenant), id)
redis.call('ZADD', keys.PENDING_JOB_REMOVALS, now, member)
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
  keys.checkpoint_responses(member), keys.deleted_checkpoints(member), keys.job_idempotency_keys(member),
  keys.checkpoint_holds(member), keys.asked_exports(member))
redis.call('SREM', keys.HELD_CHECKPOINTS, member)
return { 'ok', j[8], event, used } -- a list of its own: unpack takes 8,000 values
