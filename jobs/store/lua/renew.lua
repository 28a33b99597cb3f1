#!lua flags=allow-oom
-- The heartbeat: lease and phase only. -> {'ok', requested} | fenced
local job = key(h.member)
local refused = fenced(job)
if refused then return refused end
renew_lease(h.member, job)
if h.phase and redis.call('HGET', job, 'phase') ~= h.phase then
  redis.call('HSET', job, 'phase', h.phase)
  notice(h.member, 'n', 'phase')
end
return { 'ok', redis.call('HGET', job, 'requested') or '' }
