#!lua flags=allow-oom
-- All that is kept of a job beside its history, at one moment, under a number that grows; of its events those
-- beyond h.events. Whoever shows a lease must hold it. -> {'ok', snapshot...} | fenced | {'gone'}
local member = h.member
local job = key(member)
if redis.call('EXISTS', job) == 0 then return { 'gone' } end
if h.nonce then
  local refused = fenced(job)
  if refused then return refused end
end
redis.call('HINCRBY', job, 'archived', 1)
return { 'ok', unpack(snapshot(member, h.events)) }
