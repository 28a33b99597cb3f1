#!lua flags=allow-oom
-- The heartbeat: lease and phase only. -> {'ok', requested} | fenced
local job = keys.job(h.member)
local lost = check_lease(job)
if lost then return lost end
renew_lease(h.member, job)
if h.phase and redis.call('HGET', job, 'phase') ~= h.phase then
  redis.call('HSET', job, 'phase', h.phase)
  notify(h.member, 'n', 'phase')
end
return { 'ok', redis.call('HGET', job, 'requested') or '' }
