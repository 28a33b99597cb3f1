#!lua flags=no-writes
-- The position and wait reason of each of h.members: 'no_worker' (none live with the memory), 'fingerprint' (none of
-- those has its engine and canary), 'quota' (its tenant has as many running jobs as it may), 'busy' (each of those has
-- a job) or '' (one of them is free: it comes soon). -> {position from 1 or 0, reason, position, reason, ...}
local queues = {}
for _, text in ipairs(redis.call('HVALS', keys.WORKERS)) do
  local info = cjson.decode(text)
  if info.until_ms >= now and type(info.device_error) ~= 'string' then
    local worker = { canaries = type(info.canaries) == 'table' and info.canaries or {}, memory = tonumber(info.memory_bytes),
      is_free = type(info.job) ~= 'string' }
    if type(info.engines) == 'table' then
      worker.engines = {}
      for _, engine in ipairs(info.engines) do worker.engines[engine] = true end
    end
    local queue = info.queue or ''
    queues[queue] = queues[queue] or {}
    table.insert(queues[queue], worker)
    if info.answers then
      queues.answers = queues.answers or {}
      table.insert(queues.answers, worker)
    end
  end
end

local function wait_reason(member, needs, workers)
  local reason = 'no_worker'
  for _, worker in ipairs(workers) do
    local fit = fitness(needs, worker)
    if fit == 'unfit' then
      if reason == 'no_worker' then reason = 'fingerprint' end
    elseif fit ~= 'small' then
      if count_free_places(tenant_of(member)) == 0 then return 'quota' end
      if worker.is_free then return '' end
      reason = 'busy'
    end
  end
  return reason
end

local reply = {}
for _, member in ipairs(h.members) do
  local needs = read_needs(member)
  reply[#reply + 1] = int((redis.call('ZRANK', keys.queued_jobs(needs.queue), member) or -1) + 1)
  reply[#reply + 1] = wait_reason(member, needs, queues[needs.queue] or {})
end
return reply
