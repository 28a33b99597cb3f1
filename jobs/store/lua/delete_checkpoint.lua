#!lua flags=allow-oom
-- Remove a checkpoint's record, unless it is the last that a live job could resume from.
-- -> {'ok', checkpoint} | {'gone'} | {'none'} | {'last', status}
local member = h.member
local job, checkpoints = keys.job(member), keys.checkpoints(member)
local status = redis.call('HGET', job, 'status')
if not status then return { 'gone' } end
local text = redis.call('HGET', checkpoints, int(h.tick))
if not text then return { 'none' } end
if not ENDED[status] and redis.call('HLEN', checkpoints) == 1 then return { 'last', status } end
local checkpoint = cjson.decode(text)
redis.call('HDEL', checkpoints, int(h.tick))
add_file_bytes(member, 'checkpoint_bytes', -own_bytes(checkpoint))
if not ENDED[status] then redis.call('SADD', keys.deleted_checkpoints(member), int(h.tick)) end -- so that a replay does not make it again
-- earlier best ones do not become the best again
if checkpoint.is_best then
  local best_gone = tonumber(redis.call('HGET', job, 'best_gone') or '-1')
  redis.call('HSET', job, 'best_gone', int(math.max(best_gone, h.tick)))
end
update_latest_checkpoint(member)
notify(member, 'n', 'checkpoints')
return { 'ok', text }
