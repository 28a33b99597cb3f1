#!lua flags=allow-oom
-- How many wake-up messages each queue needs: jobs to be claimed, less messages not yet taken; once in h.grace_ms.
-- Jobs that wait for a place in their tenant's quota need none.
-- -> {queue, count, queue, count, ...}
-- a tenant's free places count for each queue: one message too many costs no more than a look
local function count_held(queue)
  local held = 0
  for _, tenant in ipairs(redis.call('SMEMBERS', keys.waiting_tenants(queue))) do
    held = held + math.max(0, redis.call('ZCARD', keys.tenant_queue(queue, tenant)) - count_free_places(tenant))
  end
  return held
end

local reply = {}
for _, queue in ipairs(redis.call('SMEMBERS', keys.QUEUES)) do
  local waiting = redis.call('ZCARD', keys.queued_jobs(queue)) + redis.call('ZCOUNT', keys.leases(queue), '-inf', int(now)) - count_held(queue)
  local messages = redis.call('LLEN', keys.celery_queue(queue))
  if waiting > messages and redis.call('SET', keys.wake_cooldown(queue), '1', 'PX', int(h.grace_ms), 'NX') then
    reply[#reply + 1] = queue
    reply[#reply + 1] = int(math.min(waiting - messages, h.limit))
  end
end
return reply
