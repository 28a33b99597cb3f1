#!lua flags=allow-oom
-- A verify has compared up to h.tick, whose loss is ARGV[2]. The counts are totals of its attempt, so that sending it
-- twice changes nothing more. -> {'ok', requested} | fenced
local member = h.member
local job = keys.job(member)
local lost = check_lease(job)
if lost then return lost end
local j = redis.call('HMGET', job, 'tick', 'attempt', 'rate_to')
redis.call('HSET', job, 'elapsed', h.elapsed, 'phase', 'replaying')
if h.tick > tonumber(j[1]) then
  redis.call('HSET', job, 'tick', int(h.tick), 'loss', ARGV[2], 'deaths', '0')
  redis.call('HSET', keys.attempt(member, j[2]), 'last_tick', int(h.tick))
  mark_rate(job, j[3], h.tick)
  notify(member, 't', int(h.tick), 'l', ARGV[2])
end
redis.call('HSET', keys.attempt(member, j[2]), 'replayed', int(h.compared), 'compared', int(h.compared),
  'digests', int(h.digests))
renew_lease(member, job)
return { 'ok', redis.call('HGET', job, 'requested') or '' }
