-- Queue a predict that is in the store alone, or find the one of this idempotency key; or queue an export, unless one of
-- its id waits, runs or has failed (one that has succeeded has lost its file). ARGV: header, request, checkpoint.
-- The checkpoint is held. An export is also what h.selector, if given, is answered by as long as it is held.
-- -> {'new', id} | {'same', id} | {'mismatch'} | {'gone'} | {'full'} | {'quota', name, used, limit, needed} | {'moved'} |
--    {'held', most}
local MAX_FORGOTTEN = 64 -- in one call; each adds one
local member = keys.job_member(h.tenant, h.id)
if h.idempotency_key then
  local replay = read_replay(redis.call('GET', keys.answer_idempotency(h.tenant, h.idempotency_key)), 'same')
  if replay then return replay end
  if redis.call('HEXISTS', keys.idempotency(h.tenant), h.idempotency_key) == 1 then return { 'mismatch' } end
end
local parent, folder = keys.job_member(h.tenant, h.parent), cjson.decode(ARGV[3]).folder
local function note_asked()
  if not h.selector then return end
  redis.call('HSET', keys.asked_exports(parent), h.selector, int(h.tick) .. ' ' .. folder)
  keep_for(keys.asked_exports(parent), h.ttl_ms)
end
if is_export(member) then
  local status = redis.call('HGET', keys.answer(member), 'status')
  if status and status ~= 'succeeded' then note_asked(); return { 'same', h.id } end
  redis.call('UNLINK', keys.answer(member))
end
-- what has expired is still in the index and among the queued
local index, queued = keys.answer_index(h.tenant), keys.queued_answers(h.tenant)
for _, id in ipairs(redis.call('ZRANGE', index, '0', int(MAX_FORGOTTEN - 1))) do
  local old = keys.job_member(h.tenant, id)
  if redis.call('EXISTS', keys.answer(old)) == 1 then break end
  forget_answer(old)
end
redis.call('ZREMRANGEBYSCORE', queued, '-inf', int(now))
if redis.call('ZCARD', queued) >= h.max_queued then return { 'full' } end
local used = tonumber(redis.call('HGET', keys.answer_bytes(h.tenant), 'total') or '0')
if used + #ARGV[2] > h.max_bytes then return { 'quota', 'answer_bytes', int(used), int(h.max_bytes), int(#ARGV[2]) } end
local refusal = find_hold_refusal(parent, h.tick, folder)
if refusal then return refusal end
redis.call('HSET', keys.checkpoint_holds(parent), h.id, int(h.tick))
note_asked()
if h.hold_ms then redis.call('HSET', keys.answer(member), 'hold_ms', int(h.hold_ms)) end
local seq = redis.call('INCR', keys.SEQUENCE)
-- tenants take turns: the first one of a tenant that has none is next, its others follow at one a turn
local ranks = redis.call('HMGET', keys.ANSWER_RANKS, '-', h.tenant)
local rank = math.max(tonumber(ranks[1] or '0'), tonumber(ranks[2] or '0')) + 1
redis.call('HSET', keys.ANSWER_RANKS, h.tenant, int(rank))
redis.call('HSET', keys.answer(member), 'tenant', h.tenant, 'id', h.id, 'kind', h.kind, 'name', h.name, 'parent', h.parent,
  'tick', int(h.tick), 'threads', int(h.threads), 'seq', int(seq), 'rank', int(rank), 'attempt', '0', 'ttl_ms', int(h.ttl_ms),
  'created_ms', now, 'request', ARGV[2], 'checkpoint', ARGV[3])
if h.idempotency_key then
  redis.call('HSET', keys.answer(member), 'idempotency_key', h.idempotency_key)
  redis.call('SET', keys.answer_idempotency(h.tenant, h.idempotency_key), h.id .. ' ' .. h.body_digest)
end
if not is_export(member) then redis.call('ZADD', index, int(seq), h.id) end
count_answer_bytes(member, #ARGV[2] + #ARGV[3])
queue_answer(member)
return { 'new', h.id }
