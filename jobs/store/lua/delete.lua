#!lua flags=allow-oom
-- Remove an ended job's record and leave a tombstone. -> {'ok', sequence, idempotency key...} | {'gone'} | {'live', status}
local member = h.member
local job = key(member)
local j = redis.call('HMGET', job, 'status', 'idempotency_key', 'columns', 'sparse', 'segments', 'attempt', 'tick', 'seq')
if not j[1] then return { 'gone' } end
if not ENDED[j[1]] then return { 'live', j[1] } end
local tenant, id = tenant_of(member), id_of(member)
local known = redis.call('HKEYS', key(member, 'known'))
if j[2] then redis.call('HSET', 'idempotency:' .. tenant, j[2], 'deleted -') end
for _, each in ipairs(known) do redis.call('HSET', 'idempotency:' .. tenant, each, 'deleted -') end
redis.call('ZADD', 'tombstones:' .. tenant, now, id)
each_index(member, function(where) redis.call('ZREM', where, id) end)
redis.call('ZREM', index(member, 'status', j[1]), id)
redis.call('ZREM', index(member), id)
redis.call('SREM', 'jobs:unsealed', member)
for segment = tonumber(j[5]), math.floor(math.max(tonumber(j[7]) - 1, 0) / SEGMENT) do -- a full one may not have moved
  for _, name in ipairs(cjson.decode(j[3] or '[]')) do
    for _, kind in ipairs({ 'f32', 'rows' }) do redis.call('UNLINK', key(member, kind .. ':' .. name .. ':' .. int(segment))) end
  end
  for name in string.gmatch(j[4] or '', '%S+') do redis.call('UNLINK', key(member, 'sparse:' .. name .. ':' .. int(segment))) end
end
for n = 1, tonumber(j[6]) do redis.call('UNLINK', key(member, 'attempt:' .. int(n))) end
for _, part in ipairs({ 'digests', 'checkpoints', 'audit', 'events', 'notices', 'answers', 'removed', 'known' }) do redis.call('UNLINK', key(member, part)) end
redis.call('UNLINK', job)
return { 'ok', j[8], unpack(known) }
