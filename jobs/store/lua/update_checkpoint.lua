#!lua flags=allow-oom
-- Replace a checkpoint's record ARGV[2] by ARGV[3]. -> {'ok'} | {'changed'} | {'gone'}
local job, checkpoints = keys.job(h.member), keys.checkpoints(h.member)
if redis.call('EXISTS', job) == 0 then return { 'gone' } end
if redis.call('HGET', checkpoints, int(h.tick)) ~= ARGV[2] then return { 'changed' } end
redis.call('HSET', checkpoints, int(h.tick), ARGV[3])
update_latest_checkpoint(h.member)
notify(h.member, 'n', 'checkpoints')
return { 'ok' }
