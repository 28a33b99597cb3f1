-- A line of the log for a job's followers, by its owner; h.unwanted: the checkpoint that was asked
-- for will not be made. h.number: of the lines that this attempt may send twice. -> {'ok'} | fenced
local refused = fenced(key(h.member))
if refused then return refused end
if h.number then
  local attempt = key(h.member, 'attempt:' .. redis.call('HGET', key(h.member), 'attempt'))
  if h.number <= tonumber(redis.call('HGET', attempt, 'noted') or '0') then return { 'ok' } end
  redis.call('HSET', attempt, 'noted', int(h.number))
end
tell(h.member, h.level, h.message)
if h.unwanted then drop_wanted(h.member, h.unwanted) end
return { 'ok' }
