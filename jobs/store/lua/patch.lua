#!lua flags=allow-oom
-- Change what is said about a job. -> {'ok'} | {'gone'}
local member = h.member
local job = key(member)
local j = redis.call('HMGET', job, 'status', 'seq', 'queue')
if not j[1] then return { 'gone' } end
each_index(member, function(where) redis.call('ZREM', where, id_of(member)) end)
for name, value in pairs(h.fields) do redis.call('HSET', job, name, value) end
each_index(member, function(where) redis.call('ZADD', where, j[2], id_of(member)) end)
if h.priority then
  local rank = int(-h.priority * 17592186044416 + j[2])
  redis.call('HSET', job, 'priority', int(h.priority), 'rank', rank)
  redis.call('ZADD', 'queued:' .. j[3], 'XX', rank, member)
end
notice(member, 'n', 'patch')
return { 'ok' }
