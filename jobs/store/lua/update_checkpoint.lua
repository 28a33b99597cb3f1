#!lua flags=allow-oom
-- What is said of a checkpoint takes the place of what was: ARGV[2] -> ARGV[3]. -> {'ok'} | {'changed'} | {'gone'}
local job, kept = key(h.member), key(h.member, 'checkpoints')
if redis.call('EXISTS', job) == 0 then return { 'gone' } end
if redis.call('HGET', kept, int(h.tick)) ~= ARGV[2] then return { 'changed' } end
redis.call('HSET', kept, int(h.tick), ARGV[3])
checkpoints_changed(h.member)
notice(h.member, 'n', 'checkpoints')
return { 'ok' }
