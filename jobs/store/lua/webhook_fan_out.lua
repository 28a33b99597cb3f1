#!lua flags=allow-oom
-- Move events of a tenant's outbox to the lanes of the webhooks that take them: each event once, whoever tries it again.
-- h.events: {entry, messages}, each message {webhook, id, lane, event, job, tick, url}; its body is ARGV[1 + number].
-- -> {'ok', events moved, number of a message that is the first of its lane...} | {'fenced'}
local fenced = check_sender()
if fenced then return fenced end
local outbox, moved, number, reply = keys.webhook_outbox(h.tenant), 0, 1, { 'ok', '0' }
for _, event in ipairs(h.events) do
  local is_there = redis.call('XDEL', outbox, event.entry) == 1
  if is_there then moved = moved + 1 end
  for _, m in ipairs(event.messages) do
    local member = keys.job_member(h.tenant, m.webhook)
    number = number + 1
    if is_there and redis.call('HGET', keys.webhook(member), 'enabled') == '1' then
      local fields = { 'event', m.event, 'job', m.job, 'tick', int(m.tick), 'url', m.url or '', 'body', ARGV[number] }
      if add_message(member, m.id, m.lane, fields) then reply[#reply + 1] = int(number - 2) end
    end
  end
end
settle()
if redis.call('XLEN', outbox) == 0 then
  redis.call('SREM', keys.WEBHOOK_OUTBOXES, h.tenant)
  redis.call('UNLINK', outbox)
end
reply[2] = int(moved)
return reply
