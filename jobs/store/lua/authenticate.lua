#!lua flags=allow-oom
-- Recognise the access key of a request, and take one token out of its bucket; only a request with the secret takes one.
-- Requests by signed links of a key (h.is_link) have a bucket of their own.
-- -> {'ok', sha256, tenant, scopes} | {'unknown'} | {'limited', seconds}
-- The bucket is not replicated: no disk waits for it.
local k = redis.call('HMGET', keys.access_key(h.id), 'sha256', 'tenant', 'scopes')
if not k[1] or k[1] ~= h.sha256 then return { 'unknown' } end
if h.rate > 0 then
  redis.set_repl(redis.REPL_NONE)
  local bucket = h.is_link and keys.link_limit(h.id) or keys.rate_limit(h.id)
  local b = redis.call('HMGET', bucket, 'left', 'at')
  local seconds = clock[1] + clock[2] / 1000000
  local left = h.burst
  if b[1] then left = math.min(h.burst, b[1] + math.max(0, seconds - b[2]) * h.rate) end
  if left < 1 then return { 'limited', tostring((1 - left) / h.rate) } end
  redis.call('HSET', bucket, 'left', tostring(left - 1), 'at', string.format('%.6f', seconds))
end
return { 'ok', k[1], k[2], k[3] }
