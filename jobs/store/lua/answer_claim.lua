#!lua flags=allow-oom
-- Become the owner of an answer: the first in the queue, after those whose lease is over are put back. With h.exports, of
-- an export.
-- -> {'ok', member, attempt, parent, tick, threads, request, checkpoint} | {'none'}
local MAX_CANDIDATES = 64 -- in one call

local function reply(member)
  local j = redis.call('HMGET', keys.answer(member), 'attempt', 'parent', 'tick', 'threads', 'request', 'checkpoint')
  return { 'ok', member, unpack(j) }
end

local claimed = redis.call('GET', keys.claim(h.nonce))
if claimed then -- sent twice
  if check_answer_lease(claimed) then return { 'none' } end
  return reply(claimed)
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', keys.ANSWER_LEASES, '-inf', int(now), 'LIMIT', '0', int(MAX_CANDIDATES))) do
  if redis.call('EXISTS', keys.answer(member)) == 0 then forget_answer(member)
  else give_back_answer(member, h.max_attempts, 'its worker did not finish it in time') end
end
local queue = h.exports and keys.EXPORT_QUEUE or keys.ANSWER_QUEUE
for _, member in ipairs(redis.call('ZRANGE', queue, '0', int(MAX_CANDIDATES - 1))) do
  local record = keys.answer(member)
  if redis.call('HGET', record, 'status') ~= 'queued' then forget_answer(member) -- it has expired
  else
    dequeue_answer(member)
    redis.call('HINCRBY', record, 'attempt', 1)
    redis.call('HSETNX', record, 'started_ms', now)
    redis.call('HSET', record, 'status', 'running', 'owner', h.nonce, 'worker', h.worker)
    redis.call('ZADD', keys.ANSWER_LEASES, int(now + h.lease_ms), member)
    redis.call('HSET', keys.ANSWER_RANKS, '-', redis.call('HGET', record, 'rank'))
    redis.call('SET', keys.claim(h.nonce), member, 'PX', int(h.lease_ms))
    notify(member, 's', 'running')
    keep_answer(member)
    return reply(member)
  end
end
return { 'none' }
