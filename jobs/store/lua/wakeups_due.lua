#!lua flags=allow-oom
-- How many bells each queue needs: jobs to be claimed, less bells not yet heard, once a grace.
-- -> {queue, count, queue, count, ...}
local reply = {}
for _, queue in ipairs(redis.call('SMEMBERS', 'queues')) do
  local waiting = redis.call('ZCARD', 'queued:' .. queue) + redis.call('ZCOUNT', 'leases:' .. queue, '-inf', int(now))
  local bells = redis.call('LLEN', 'tickforge.' .. queue)
  if waiting > bells and redis.call('SET', 'rung:' .. queue, '1', 'PX', int(h.grace_ms), 'NX') then
    reply[#reply + 1] = queue
    reply[#reply + 1] = int(math.min(waiting - bells, h.limit))
  end
end
return reply
