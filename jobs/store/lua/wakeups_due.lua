#!lua flags=allow-oom
-- How many wake-up messages each queue needs: jobs to be claimed, less messages not yet taken; once in h.grace_ms.
-- -> {queue, count, queue, count, ...}
local reply = {}
for _, queue in ipairs(redis.call('SMEMBERS', keys.QUEUES)) do
  local waiting = redis.call('ZCARD', keys.queued_jobs(queue)) + redis.call('ZCOUNT', keys.leases(queue), '-inf', int(now))
  local messages = redis.call('LLEN', keys.celery_queue(queue))
  if waiting > messages and redis.call('SET', keys.wake_cooldown(queue), '1', 'PX', int(h.grace_ms), 'NX') then
    reply[#reply + 1] = queue
    reply[#reply + 1] = int(math.min(waiting - messages, h.limit))
  end
end
return reply
