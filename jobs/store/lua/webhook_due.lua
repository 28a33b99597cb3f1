#!lua flags=no-writes
-- Read what is to be done: tenants with events that are not fanned out, and the lanes that are due of the webhooks that
-- were due first, with the first message of each. -> {now, {tenant...}, {member, lane, message}...}
local reply = { int(now), redis.call('SMEMBERS', keys.WEBHOOK_OUTBOXES) }
for _, member in ipairs(redis.call('ZRANGEBYSCORE', keys.WEBHOOKS_DUE, '-inf', int(now), 'LIMIT', '0', int(h.max_webhooks))) do
  local lanes = redis.call('ZRANGEBYSCORE', keys.webhook_lanes(member), '-inf', int(now), 'LIMIT', '0', int(h.max_lanes))
  for _, lane in ipairs(lanes) do
    reply[#reply + 1] = { member, lane, redis.call('LINDEX', keys.webhook_lane(member, lane), '0') }
  end
end
return reply
