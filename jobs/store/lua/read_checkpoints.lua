-- What counts of a job's checkpoints now, for its owner who is about to add one.
-- -> {'ok', changes, tick, wanted, removed, checkpoint...} | fenced
local job = key(h.member)
local refused = fenced(job)
if refused then return refused end
local j = redis.call('HMGET', job, 'checkpoint_changes', 'tick', 'wanted')
local reply = { 'ok', j[1] or '0', j[2], j[3] or '', table.concat(redis.call('SMEMBERS', key(h.member, 'removed')), ' ') }
for _, text in ipairs(redis.call('HVALS', key(h.member, 'checkpoints'))) do reply[#reply + 1] = text end
return reply
