#!lua flags=allow-oom
-- Replace a segment's strings by the digests of its files: a full segment's, or after the end the last one's.
-- -> {'ok'} | {'early', tick} | fenced | {'gone'}
local member = h.member
local job = keys.job(member)
local j = redis.call('HMGET', job, 'status', 'tick', 'segments', 'columns', 'sparse')
if not j[1] then return { 'gone' } end
if h.segment < tonumber(j[3]) then return { 'ok' } end -- sent twice
if not ENDED[j[1]] then
  local lost = check_lease(job)
  if lost then return lost end
  if tonumber(j[2]) <= (h.segment + 1) * SEGMENT then return { 'early', j[2] } end
end
if h.segment > tonumber(j[3]) then return { 'early', j[2] } end
for name, digest in pairs(h.digests) do redis.call('HSET', keys.segment_digests(member), name, digest) end
for _, name in ipairs(cjson.decode(j[4] or '[]')) do
  redis.call('UNLINK', keys.column(member, name, h.segment), keys.summary_rows(member, name, h.segment))
end
for name in string.gmatch(j[5] or '', '%S+') do redis.call('UNLINK', keys.sparse(member, name, h.segment)) end
redis.call('HSET', job, 'segments', int(h.segment + 1))
add_file_bytes(member, 'history_bytes', h.bytes)
return { 'ok' }
