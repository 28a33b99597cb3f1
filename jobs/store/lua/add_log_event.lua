-- A line of the log for a job's followers, by its owner; h.checkpoint_refusal: why the requested checkpoint will not be
-- made. h.number grows with each line that this attempt may send twice. -> {'ok'} | fenced
local lost = check_lease(keys.job(h.member))
if lost then return lost end
if h.number then
  local attempt = keys.attempt(h.member, redis.call('HGET', keys.job(h.member), 'attempt'))
  if h.number <= tonumber(redis.call('HGET', attempt, 'noted') or '0') then return { 'ok' } end
  redis.call('HSET', attempt, 'noted', int(h.number))
end
add_log_event(h.member, h.level, h.message)
if h.checkpoint_refusal then drop_checkpoint_request(h.member, h.checkpoint_refusal) end
return { 'ok' }
