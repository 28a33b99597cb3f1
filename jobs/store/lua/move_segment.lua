#!lua flags=allow-oom
-- The files of a full segment (or of the last one, after the end) take the place of its strings.
-- -> {'ok'} | {'early', tick} | fenced | {'gone'}
local member = h.member
local job = key(member)
local j = redis.call('HMGET', job, 'status', 'tick', 'segments', 'columns', 'sparse')
if not j[1] then return { 'gone' } end
if h.segment < tonumber(j[3]) then return { 'ok' } end -- sent twice
if not ENDED[j[1]] then
  local refused = fenced(job)
  if refused then return refused end
  if tonumber(j[2]) <= (h.segment + 1) * SEGMENT then return { 'early', j[2] } end
end
if h.segment > tonumber(j[3]) then return { 'early', j[2] } end
local number = ':' .. int(h.segment)
for name, digest in pairs(h.digests) do redis.call('HSET', key(member, 'digests'), name, digest) end
for _, name in ipairs(cjson.decode(j[4] or '[]')) do
  for _, kind in ipairs({ 'f32:', 'rows:' }) do redis.call('UNLINK', key(member, kind .. name .. number)) end
end
for name in string.gmatch(j[5] or '', '%S+') do redis.call('UNLINK', key(member, 'sparse:' .. name .. number)) end
redis.call('HSET', job, 'segments', int(h.segment + 1))
redis.call('HINCRBY', job, 'history_bytes', int(h.bytes))
return { 'ok' }
