-- A job's committed checkpoints, for its owner, which is about to add one.
-- -> {'ok', change count, tick, requested checkpoint, deleted ticks, held ticks, checkpoint...} | fenced
local job = keys.job(h.member)
local lost = check_lease(job)
if lost then return lost end
local j = redis.call('HMGET', job, 'checkpoint_changes', 'tick', 'wanted')
local reply = { 'ok', j[1] or '0', j[2], j[3] or '', table.concat(redis.call('SMEMBERS', keys.deleted_checkpoints(h.member)), ' ') }
local held = {}
for tick in pairs(held_ticks(h.member)) do held[#held + 1] = tick end
reply[#reply + 1] = table.concat(held, ' ')
for _, text in ipairs(redis.call('HVALS', keys.checkpoints(h.member))) do reply[#reply + 1] = text end
return reply
