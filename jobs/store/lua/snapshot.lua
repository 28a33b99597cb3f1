#!lua flags=allow-oom
-- All that the store has of a job beside its history, at one moment, with a number that grows; of its events those
-- after the first h.events. A lease is checked if it is shown. -> {'ok', snapshot...} | fenced | {'gone'}
local member = h.member
local job = keys.job(member)
if redis.call('EXISTS', job) == 0 then return { 'gone' } end
if h.nonce then
  local lost = check_lease(job)
  if lost then return lost end
end
redis.call('HINCRBY', job, 'archived', 1)
return { 'ok', unpack(read_snapshot(member, h.events)) }
