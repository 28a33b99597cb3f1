#!lua flags=allow-oom
-- The heartbeat: lease and phase and, of a predict or evaluate, its time and what is done. -> {'ok', requested} | fenced
local job = keys.job(h.member)
local lost = check_lease(job)
if lost then return lost end
renew_lease(h.member, job)
if h.phase and redis.call('HGET', job, 'phase') ~= h.phase then
  redis.call('HSET', job, 'phase', h.phase)
  notify(h.member, 'n', 'phase')
end
if h.elapsed then redis.call('HSET', job, 'elapsed', h.elapsed) end
if h.rows_done and redis.call('HGET', job, 'rows_done') ~= int(h.rows_done) then
  redis.call('HSET', job, 'rows_done', int(h.rows_done), 'rows_total', int(h.rows_total or 0))
  notify(h.member, 'n', 'rows')
end
return { 'ok', redis.call('HGET', job, 'requested') or '' }
