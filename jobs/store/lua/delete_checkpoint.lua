#!lua flags=allow-oom
-- A checkpoint stops counting, unless it is the last one that a live job could go on from.
-- -> {'ok', checkpoint} | {'gone'} | {'none'} | {'last', status}
local member = h.member
local job, kept = key(member), key(member, 'checkpoints')
local status = redis.call('HGET', job, 'status')
if not status then return { 'gone' } end
local had = redis.call('HGET', kept, int(h.tick))
if not had then return { 'none' } end
if not ENDED[status] and redis.call('HLEN', kept) == 1 then return { 'last', status } end
local was = cjson.decode(had)
redis.call('HDEL', kept, int(h.tick))
redis.call('HINCRBY', job, 'checkpoint_bytes', int(-was.bytes))
if not ENDED[status] then redis.call('SADD', key(member, 'removed'), int(h.tick)) end -- a replay makes it no more
-- those that it outdid do not become the best again
if was.is_best then
  local gone = tonumber(redis.call('HGET', job, 'best_gone') or '-1')
  redis.call('HSET', job, 'best_gone', int(math.max(gone, h.tick)))
end
checkpoints_changed(member)
notice(member, 'n', 'checkpoints')
return { 'ok', had }
