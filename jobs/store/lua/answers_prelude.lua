-- Shared by the scripts of answers, after prelude.lua: predicts and exports that are in the store alone, in a hash of
-- their own. Every key of theirs expires.

-- An export makes a file beside a checkpoint. It is no answer that clients list, name or count the bytes of.
local function is_export(member) return string.sub(id_of(member), 1, 7) == 'export:' end
local function queue_of(member) return is_export(member) and keys.EXPORT_QUEUE or keys.ANSWER_QUEUE end
local function wakeups_of(member) return is_export(member) and keys.EXPORT_WAKEUPS or keys.ANSWER_WAKEUPS end

-- Let a key live for `ttl` ms at least.
local function keep_for(key, ttl)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, int(ttl)) end
end

-- Let an answer, and what its tenant's and all answers share, live for as long as its record says, from now on.
local function keep_answer(member)
  local tenant = tenant_of(member)
  local j = redis.call('HMGET', keys.answer(member), 'ttl_ms', 'idempotency_key', 'parent')
  local ttl, parent = tonumber(j[1]), keys.job_member(tenant, j[3])
  for _, key in ipairs({ keys.answer(member), keys.notices(member), keys.answer_index(tenant), keys.answer_bytes(tenant),
    keys.queued_answers(tenant), queue_of(member), wakeups_of(member), keys.ANSWER_LEASES, keys.ANSWER_RANKS,
    keys.checkpoint_holds(parent), keys.asked_exports(parent) }) do
    keep_for(key, ttl)
  end
  if j[2] then keep_for(keys.answer_idempotency(tenant, j[2]), ttl) end
end

-- Count the bytes of an answer's record for its tenant, instead of those counted before.
local function count_answer_bytes(member, bytes)
  if is_export(member) then return end
  local sizes, id = keys.answer_bytes(tenant_of(member)), id_of(member)
  local before = tonumber(redis.call('HGET', sizes, id) or '0')
  redis.call('HSET', sizes, id, int(bytes))
  redis.call('HINCRBY', sizes, 'total', int(bytes - before))
end

-- Forget an answer whose record is gone.
local function forget_answer(member)
  local tenant, id = tenant_of(member), id_of(member)
  count_answer_bytes(member, 0)
  redis.call('HDEL', keys.answer_bytes(tenant), id)
  redis.call('ZREM', keys.answer_index(tenant), id)
  redis.call('ZREM', keys.queued_answers(tenant), id)
  redis.call('ZREM', queue_of(member), member)
  redis.call('ZREM', keys.ANSWER_LEASES, member)
end

local function queue_answer(member)
  local j = redis.call('HMGET', keys.answer(member), 'rank', 'ttl_ms')
  redis.call('ZREM', keys.ANSWER_LEASES, member)
  redis.call('HSET', keys.answer(member), 'status', 'queued')
  redis.call('HDEL', keys.answer(member), 'worker', 'owner')
  redis.call('ZADD', queue_of(member), j[1], member)
  redis.call('ZADD', keys.queued_answers(tenant_of(member)), int(now + tonumber(j[2])), id_of(member))
  redis.call('RPUSH', wakeups_of(member), '1')
  redis.call('LTRIM', wakeups_of(member), '-64', '-1') -- a worker that is awake takes all that is queued
  notify(member, 's', 'queued')
  keep_answer(member)
end

local function dequeue_answer(member)
  redis.call('ZREM', queue_of(member), member)
  redis.call('ZREM', keys.queued_answers(tenant_of(member)), id_of(member))
end

-- End an answer; its request is not needed any more.
local function end_answer(member, status, field, text)
  local record = keys.answer(member)
  dequeue_answer(member)
  redis.call('ZREM', keys.ANSWER_LEASES, member)
  redis.call('HSET', record, 'status', status, 'finished_ms', now)
  redis.call('HDEL', record, 'requested', 'request', 'checkpoint')
  if not is_export(member) then
    local tenant = tenant_of(member)
    redis.call('HDEL', keys.checkpoint_holds(keys.job_member(tenant, redis.call('HGET', record, 'parent'))), id_of(member))
  end
  if field then redis.call('HSET', record, field, text) end
  count_answer_bytes(member, text and #text or 0)
  notify(member, 's', status)
  keep_answer(member)
end

-- Put back an answer that its worker cannot finish, or end it where a cancel or too many attempts decide that. -> status
local function give_back_answer(member, max_attempts, why)
  local j = redis.call('HMGET', keys.answer(member), 'requested', 'attempt')
  if j[1] == 'cancel' then end_answer(member, 'cancelled'); return 'cancelled' end
  if tonumber(j[2]) < max_attempts then queue_answer(member); return 'queued' end
  end_answer(member, 'failed', 'error', cjson.encode({ type = 'poison',
    detail = 'given up: ' .. j[2] .. ' attempts ended without an answer; the last one: ' .. why }))
  return 'failed'
end

-- nil if an answer runs and h.nonce is that of its claim, else { 'fenced', status }.
local function check_answer_lease(member)
  local j = redis.call('HMGET', keys.answer(member), 'status', 'owner')
  if j[1] == 'running' and j[2] == h.nonce then return nil end
  return { 'fenced', j[1] or 'gone' }
end
