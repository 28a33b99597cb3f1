-- Shared by all scripts: time, keys, status changes, events, leases, the fitness of workers. Each script is sent with
-- what it uses of this, whose statements begin at a line's start (jobs/store/used_definitions.py); ARGV[1] is its header, a JSON object. All times are the server's, in ms.
local h = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local SCHEMA = '1' -- of a job's record, as in jobs/store/codec.py
local SEGMENT = 1048576 -- ticks
local ENDED = { succeeded = true, failed = true, cancelled = true }

local function int(n) return string.format('%d', n) end

-- Keys: one name or function each, as in jobs/store/keys.py, which says what they hold. No script spells a key; those that
-- only scripts of webhooks need are in webhooks_prelude.lua.
local keys = {
  SEQUENCE = 'jobs:sequence', QUEUES = 'queues', UNFINALIZED_JOBS = 'jobs:unsealed', WORKERS = 'workers',
  TENANTS = 'jobs:tenants', TICKS = 'jobs:ticks', DATASET_SEQUENCE = 'datasets:sequence',
  PENDING_BLOB_DELETIONS = 'datasets:doomed', ACCESS_SEQUENCE = 'access:sequence', DEFAULT_QUOTAS = 'tenants:defaults',
  PENDING_JOB_REMOVALS = 'jobs:doomed', ANSWER_QUEUE = 'answers:queue', ANSWER_LEASES = 'answers:leases',
  ANSWER_RANKS = 'answers:ranks', ANSWER_WAKEUPS = 'answers:wakeups', EXPORT_QUEUE = 'answers:exports',
  EXPORT_WAKEUPS = 'answers:exports:wakeups', HELD_CHECKPOINTS = 'jobs:held',
  WEBHOOK_OUTBOXES = 'webhooks:outboxes', WEBHOOK_OUTCOMES = 'webhooks:outcomes',
}
function keys.job_member(tenant, id) return tenant .. '/' .. id end
function keys.job(member) return 'job:{' .. member .. '}' end
function keys.column(member, name, segment) return keys.job(member) .. ':f32:' .. name .. ':' .. int(segment) end
function keys.summary_rows(member, name, segment) return keys.job(member) .. ':rows:' .. name .. ':' .. int(segment) end
function keys.sparse(member, name, segment) return keys.job(member) .. ':sparse:' .. name .. ':' .. int(segment) end
function keys.segment_digests(member) return keys.job(member) .. ':digests' end
function keys.checkpoints(member) return keys.job(member) .. ':checkpoints' end
function keys.deleted_checkpoints(member) return keys.job(member) .. ':removed' end
function keys.job_idempotency_keys(member) return keys.job(member) .. ':known' end
function keys.checkpoint_responses(member) return keys.job(member) .. ':answers' end
function keys.attempt(member, number) return keys.job(member) .. ':attempt:' .. int(number) end
function keys.checkpoint_holds(member) return keys.job(member) .. ':holds' end
function keys.asked_exports(member) return keys.job(member) .. ':exports' end
function keys.audit(member) return keys.job(member) .. ':audit' end
function keys.events(member) return keys.job(member) .. ':events' end
function keys.notices(member) return keys.job(member) .. ':notices' end
function keys.queued_jobs(queue) return 'queued:' .. queue end
function keys.leases(queue) return 'leases:' .. queue end
function keys.wake_cooldown(queue) return 'rung:' .. queue end
function keys.celery_queue(queue) return 'tickforge.' .. queue end
function keys.claim(nonce) return 'claim:' .. nonce end
function keys.idempotency(tenant) return 'idempotency:' .. tenant end
function keys.tombstones(tenant) return 'tombstones:' .. tenant end
function keys.job_index(tenant, field, value) return 'index:' .. tenant .. (field and ':' .. field .. ':' .. value or '') end
function keys.dataset(tenant, id) return 'dataset:{' .. tenant .. '/' .. id .. '}' end
function keys.dataset_jobs(tenant, id) return keys.dataset(tenant, id) .. ':jobs' end
function keys.dataset_keys(tenant, id) return keys.dataset(tenant, id) .. ':keys' end
function keys.dataset_index(tenant) return 'datasets:of:' .. tenant end
function keys.blob(sha256) return 'dataset:blob:' .. sha256 end
function keys.blob_references(sha256) return keys.blob(sha256) .. ':references' end
function keys.access_key(id) return 'access:key:' .. id end
function keys.access_index(tenant) return 'access:index' .. (tenant and ':' .. tenant or '') end
function keys.access_idempotency(tenant) return 'access:idempotency:' .. tenant end
function keys.rate_limit(id) return 'limit:' .. id end
function keys.link_limit(id) return 'limit:' .. id .. ':links' end
function keys.tenant_queue(queue, tenant) return keys.queued_jobs(queue) .. ':' .. tenant end
function keys.waiting_tenants(queue) return 'tenants:waiting:' .. queue end
function keys.tenant_settings(tenant) return 'tenants:settings:' .. tenant end
function keys.tenant_usage(tenant) return 'tenants:usage:' .. tenant end
function keys.tenant_events(tenant) return 'tenants:events:' .. tenant end
function keys.ended_jobs(tenant) return 'tenants:ended:' .. tenant end
function keys.answer(member) return 'answer:{' .. member .. '}' end
function keys.answer_idempotency(tenant, key) return 'answers:idempotency:' .. tenant .. ':' .. key end
function keys.answer_index(tenant) return 'answers:of:' .. tenant end
function keys.answer_bytes(tenant) return 'answers:bytes:' .. tenant end
function keys.queued_answers(tenant) return 'answers:queued:' .. tenant end
function keys.webhook_events(tenant) return 'webhooks:events:' .. tenant end
function keys.webhook_outbox(tenant) return 'webhooks:outbox:' .. tenant end
function keys.webhook_drops(tenant) return 'webhooks:dropped:' .. tenant end

-- Whether a newer version has written a record: then nothing of it is read, and nothing written.
local function has_newer_schema(member)
  local schema = redis.call('HGET', keys.job(member), 'schema')
  return schema and schema ~= SCHEMA
end
if h.member and has_newer_schema(h.member) then return { 'newer', h.member } end

local function tenant_of(member) return string.match(member, '^(.-)/') end
local function id_of(member) return string.match(member, '/(.*)$') end
local function status_index(member, status) return keys.job_index(tenant_of(member), 'status', status) end

-- How many jobs of a tenant have a status.
local function count_status(tenant, status) return redis.call('ZCARD', keys.job_index(tenant, 'status', status)) end

-- What a tenant may have of `name`: its own quota, else the service's; nil: as much as it likes.
local function quota_limit(tenant, name)
  return tonumber(redis.call('HGET', keys.tenant_settings(tenant), name) or redis.call('HGET', keys.DEFAULT_QUOTAS, name))
end

local function add_usage(tenant, name, amount)
  if amount ~= 0 then redis.call('HINCRBY', keys.tenant_usage(tenant), name, int(amount)) end
end

-- The files of a dataset, by its record; those that come twice once.
local function parts_of(sha256, path, bytes, parts)
  return parts and cjson.decode(parts) or { { sha256 = sha256, path = path, bytes = tonumber(bytes) } }
end
local function unique_parts(parts)
  local seen, unique = {}, {}
  for _, part in ipairs(parts) do
    if not seen[part.sha256] then unique[#unique + 1] = part end
    seen[part.sha256] = true
  end
  return unique
end

-- How many datasets of a tenant hold a file; its bytes count once for all of them.
local function count_holders(tenant, sha256) return tonumber(redis.call('HGET', keys.blob(sha256), 'of:' .. tenant) or '0') end
local function hold_part(tenant, id, part, change)
  local member = tenant .. '/' .. id
  redis.call(change > 0 and 'SADD' or 'SREM', keys.blob_references(part.sha256), member)
  local holders = redis.call('HINCRBY', keys.blob(part.sha256), 'of:' .. tenant, change)
  if holders <= 0 then redis.call('HDEL', keys.blob(part.sha256), 'of:' .. tenant) end
  if (change > 0 and holders == 1) or (change < 0 and holders <= 0) then
    add_usage(tenant, 'dataset_bytes', change * part.bytes)
  end
end

-- nil, or { 'quota', name, used, limit, added } where `added` more would be beyond what the tenant may have.
local function find_quota_excess(tenant, name, added)
  local limit = quota_limit(tenant, name)
  if not limit then return nil end
  local used = name == 'queued' and count_status(tenant, name)
    or tonumber(redis.call('HGET', keys.tenant_usage(tenant), name) or '0')
  if used + added > limit then return { 'quota', name, int(used), int(limit), int(added) } end
end

-- Count bytes of a job for its tenant; while jobs are counted anew (lua/recount_tenant.lua), of those that were.
local function add_job_usage(member, name, amount)
  local upto = redis.call('HGET', keys.tenant_usage(tenant_of(member)), 'counted_upto')
  if upto and tonumber(redis.call('HGET', keys.job(member), 'seq')) > tonumber(upto) then return end
  add_usage(tenant_of(member), name, amount)
end

-- Count bytes of a job's files, or of files that are gone, in `field` of its record and for its tenant.
local function add_file_bytes(member, field, amount)
  redis.call('HINCRBY', keys.job(member), field, int(amount))
  add_job_usage(member, 'artifact_bytes', amount)
end

-- The bytes that a checkpoint's removal frees: not those of the code that it shares with others of the job.
local function own_bytes(checkpoint) return checkpoint.bytes - (checkpoint.shared_bytes or 0) end

-- How many more jobs of a tenant may run now; math.huge without a quota.
local function count_free_places(tenant)
  local limit = quota_limit(tenant, 'running')
  return limit and math.max(0, limit - count_status(tenant, 'running')) or math.huge
end

-- Call `act` with each index that lists find a job by, beside its status: name, kind, parent, labels.
local function for_each_index(member, act)
  local tenant, j = tenant_of(member), redis.call('HMGET', keys.job(member), 'name', 'kind', 'labels', 'parent')
  act(keys.job_index(tenant, 'name', j[1]))
  act(keys.job_index(tenant, 'kind', j[2]))
  if j[4] then act(keys.job_index(tenant, 'parent', j[4])) end
  for label, value in pairs(cjson.decode(j[3])) do act(keys.job_index(tenant, 'label', label .. ':' .. value)) end
end

-- What an entry of an idempotency key says: nil without one, {'gone'} if what was made was deleted, {'mismatch'} if it
-- was of another body than h.body_digest, else { same, id, status }; the status is '' but for datasets.
local function read_replay(entry, same)
  if not entry then return nil end
  local id, digest, status = string.match(entry, '^(%S+) ([^ :]+):?(%d*)$')
  if id == 'deleted' then return { 'gone' } end
  if digest ~= h.body_digest then return { 'mismatch' } end
  return { same, id, status }
end

-- What was made under h.idempotency_key before, as `read_replay` says it.
local function find_replay(idempotency_hash, same)
  return read_replay(h.idempotency_key and redis.call('HGET', idempotency_hash, h.idempotency_key), same)
end

local MAX_EVENTS = 10000 -- of one job; the oldest go, numbers stay
local MAX_LOG_EVENTS = 200 -- of one job

-- Wake the readers that wait for this job: `t` a tick (with `l` its loss), `e` an event, `n` something else.
local function notify(member, kind, value, ...)
  redis.call('XADD', keys.notices(member), 'MAXLEN', '32', '*', kind, value, ...)
end

-- Add an event; its data is JSON text, its number its place among all the job ever had, or since the last rebuild
-- (jobs/store/numbering.py).
local function add_event(member, kind, data)
  local list, job = keys.events(member), keys.job(member)
  local j = redis.call('HMGET', job, 'events_dropped', 'rebuilds')
  local count, base, place = redis.call('LLEN', list), string.match(j[2] or '', '(%d+):(%d+):%d+$')
  local seq = tonumber(j[1] or '0') + count + 1 + tonumber(base or '0') - tonumber(place or '0')
  if count >= MAX_EVENTS then
    redis.call('LPOP', list)
    redis.call('HINCRBY', job, 'events_dropped', 1)
  end
  redis.call('RPUSH', list, '{"seq":' .. int(seq) .. ',"at":' .. int(now) .. ',"type":"' .. kind .. '","data":' .. data .. '}')
  notify(member, 'e', int(seq))
end

local MAX_TENANT_EVENTS = 1000 -- of one tenant

-- Add what the service did to a tenant's jobs by itself; the number of an event is its place among all. -> its JSON
local function add_tenant_event(tenant, kind, data)
  local seq = redis.call('HINCRBY', keys.tenant_usage(tenant), 'events', 1)
  local text = '{"seq":' .. int(seq) .. ',"at":' .. int(now) .. ',"type":"' .. kind .. '","data":' .. data .. '}'
  redis.call('ZADD', keys.tenant_events(tenant), int(seq), text)
  redis.call('ZREMRANGEBYRANK', keys.tenant_events(tenant), '0', int(-MAX_TENANT_EVENTS - 1))
  return text
end

-- Add a line of a job's log that its followers should see.
local function add_log_event(member, level, message)
  local count = redis.call('HINCRBY', keys.job(member), 'log_events', 1)
  if count > MAX_LOG_EVENTS then return end
  if count == MAX_LOG_EVENTS then level, message = 'warning', 'more is told in the log alone' end
  add_event(member, 'log', cjson.encode({ level = level, message = message }))
end

-- Whether a worker's ticks must be equal to recorded ones: a verify's to its parent's. A job that had begun before the
-- store was lost (lua/restore.lua) has shown ticks to clients, though none is known now.
local function has_recorded_ticks(tick, kind, begun) return tick ~= '0' or kind == 'verify' or begun end

-- Two marks at least a second of training apart: the rate is measured from the older to now.
local function mark_rate(job, newest, tick)
  local at = newest and tonumber(string.match(newest, ' (.*)$'))
  if at and tonumber(h.elapsed) - at < 1 then return end
  if newest then redis.call('HSET', job, 'rate_from', newest) end
  redis.call('HSET', job, 'rate_to', int(tick) .. ' ' .. h.elapsed)
end

local function json_or_null(text)
  if not text or text == '' then return 'null' end
  return text
end

local function quoted_or_null(text)
  if not text or text == '' then return 'null' end
  return '"' .. text .. '"'
end

local function add_status_event(member)
  local j = redis.call('HMGET', keys.job(member), 'status', 'requested', 'stopped_by', 'error')
  add_event(member, 'status', '{"status":"' .. j[1] .. '","requested":' .. quoted_or_null(j[2])
    .. ',"stopped_by":' .. quoted_or_null(j[3]) .. ',"error":' .. json_or_null(j[4]) .. '}')
end

local MAX_OUTBOX_EVENTS = 10000 -- of one tenant, while no sender takes them; the oldest go, and are counted
-- what an event tells of its job, as it is at this moment
local EVENT_FIELDS = { 'id', 'name', 'labels', 'status', 'tick', 'ticks_total', 'loss', 'metrics', 'best', 'stopped_by', 'error', 'notify' }

-- The four bytes of the loss of a tick that is still in the store, else ''.
local function read_loss(member, tick)
  local segment = math.floor(math.max(tick - 1, 0) / SEGMENT)
  local at = (tick - 1 - segment * SEGMENT) * 4
  return at < 0 and '' or redis.call('GETRANGE', keys.column(member, 'loss', segment), int(at), int(at + 3))
end

-- Put an event of a job (kind: job.…) into its tenant's outbox, where a webhook takes such events or the job names one.
-- It is called by the script that makes what happened so. `about` may have `tick`, if that is not the job's newest, `at`
-- (ms) and `detail` (JSON: more of its data, which also tells it from others of its kind and tick).
local function emit(member, kind, about)
  local tenant, job = tenant_of(member), keys.job(member)
  local takers = redis.call('HMGET', keys.webhook_events(tenant), '*', kind)
  if not takers[1] and not takers[2] and redis.call('HEXISTS', job, 'notify') == 0 then return end
  about = about or {}
  local entry, values = { 'event', kind, 'at', int(about.at or now), 'detail', about.detail or '' }, redis.call('HMGET', job, unpack(EVENT_FIELDS))
  for n, field in ipairs(EVENT_FIELDS) do
    local value = values[n] or ''
    if about.tick and field == 'loss' and int(about.tick) ~= values[5] then value = read_loss(member, about.tick) end
    if about.tick and field == 'tick' then value = int(about.tick) end
    entry[#entry + 1], entry[#entry + 2] = field, value
  end
  local outbox = keys.webhook_outbox(tenant)
  if redis.call('XLEN', outbox) >= MAX_OUTBOX_EVENTS then
    redis.call('INCR', keys.webhook_drops(tenant))
    redis.call('HINCRBY', keys.WEBHOOK_OUTCOMES, 'event_dropped', 1)
  end
  redis.call('XADD', outbox, 'MAXLEN', int(MAX_OUTBOX_EVENTS), '*', unpack(entry))
  redis.call('SADD', keys.WEBHOOK_OUTBOXES, tenant)
end

-- Withdraw a client's request for a checkpoint, if there is one, and say why.
local function drop_checkpoint_request(member, why)
  if redis.call('HDEL', keys.job(member), 'wanted') == 1 then
    add_log_event(member, 'warning', 'the checkpoint that was asked for is not made: ' .. why)
  end
end

-- After a change of a job's checkpoints: note which is the newest, and count the change.
local function update_latest_checkpoint(member)
  local job, latest = keys.job(member), -1
  for _, t in ipairs(redis.call('HKEYS', keys.checkpoints(member))) do latest = math.max(latest, tonumber(t)) end
  if latest >= 0 then redis.call('HSET', job, 'latest_checkpoint', int(latest)) else redis.call('HDEL', job, 'latest_checkpoint') end
  redis.call('HINCRBY', job, 'checkpoint_changes', 1)
end

-- Queue a job: among all tenants' jobs, and among those of its tenant, for when others must be passed over.
local function enqueue(member, queue, rank)
  local tenant = tenant_of(member)
  redis.call('ZADD', keys.queued_jobs(queue), rank, member)
  redis.call('ZADD', keys.tenant_queue(queue, tenant), rank, member)
  redis.call('SADD', keys.waiting_tenants(queue), tenant)
end

local function dequeue(member, queue)
  local tenant = tenant_of(member)
  redis.call('ZREM', keys.queued_jobs(queue), member)
  redis.call('ZREM', keys.tenant_queue(queue, tenant), member)
  if redis.call('EXISTS', keys.tenant_queue(queue, tenant)) == 0 then redis.call('SREM', keys.waiting_tenants(queue), tenant) end
end

-- Take a job out of the queued or leased set and put it where its new status belongs.
local function set_status(member, status)
  local job = keys.job(member)
  local j = redis.call('HMGET', job, 'status', 'queue', 'rank', 'seq', 'lease_ms', 'attempt')
  if j[1] == 'queued' then dequeue(member, j[2]) end
  redis.call('ZREM', keys.leases(j[2]), member)
  if status == 'queued' then enqueue(member, j[2], j[3]) end
  if status == 'running' then redis.call('ZADD', keys.leases(j[2]), j[5], member) end
  if j[1] then redis.call('ZREM', status_index(member, j[1]), id_of(member)) end
  redis.call('ZADD', status_index(member, status), j[4], id_of(member))
  redis.call('HSET', job, 'status', status)
  if status ~= 'running' then redis.call('HDEL', job, 'phase', 'worker') end
  -- a stop that is not done yet is done once the job is resumed
  if status == 'paused' and redis.call('HGET', job, 'requested') ~= 'stop' then redis.call('HDEL', job, 'requested') end
  if status == 'paused' or ENDED[status] then drop_checkpoint_request(member, 'the job is ' .. status) end
  if ENDED[status] then
    redis.call('HDEL', job, 'requested')
    redis.call('HSET', job, 'finished_ms', now)
    redis.call('SADD', keys.UNFINALIZED_JOBS, member)
    redis.call('ZADD', keys.ended_jobs(tenant_of(member)), now, id_of(member))
    add_job_usage(member, 'artifact_bytes', -tonumber(redis.call('HGET', job, 'reserved_bytes') or '0'))
    redis.call('HDEL', job, 'reserved_bytes')
    for id in string.gmatch(redis.call('HGET', job, 'datasets') or '', '%S+') do
      redis.call('SREM', keys.dataset_jobs(tenant_of(member), id), id_of(member))
    end
  end
  add_status_event(member)
  if status == 'paused' or ENDED[status] then emit(member, 'job.' .. status) end
end

local function close_attempt(member, outcome)
  local number = redis.call('HGET', keys.job(member), 'attempt')
  if number and number ~= '0' then
    local attempt = keys.attempt(member, number)
    if redis.call('HEXISTS', attempt, 'ended_ms') == 0 then
      redis.call('HSET', attempt, 'ended_ms', now, 'outcome', outcome)
    end
  end
end

-- nil if the job runs and h.term and h.nonce are those of its last claim, else { 'fenced', status }. Time is not compared.
local function check_lease(job)
  local j = redis.call('HMGET', job, 'status', 'term', 'owner')
  if j[1] == 'running' and h.term and j[2] == int(h.term) and j[3] == h.nonce then return nil end
  return { 'fenced', j[1] or 'gone' }
end

local function renew_lease(member, job)
  local until_ms = now + h.lease_ms
  redis.call('HSET', job, 'lease_ms', int(until_ms))
  redis.call('ZADD', keys.leases(redis.call('HGET', job, 'queue')), int(until_ms), member)
end

-- All that the store has of a job beside its history, as jobs/store/job_snapshot.py reads it: its record, four hashes,
-- deleted checkpoints, audit, attempts, and the events beyond the first `after`. Hashes are flat lists. Of the idempotency
-- keys it has the submission's: checkpoint requests are as many as clients like, and each has a record of its own.
local function read_snapshot(member, after)
  local attempts, reply = {}, { redis.call('HGETALL', keys.job(member)) }
  for n = 1, tonumber(redis.call('HGET', keys.job(member), 'attempt')) do
    attempts[n] = redis.call('HGETALL', keys.attempt(member, n))
  end
  reply[#reply + 1] = redis.call('HGETALL', keys.checkpoints(member))
  reply[#reply + 1] = redis.call('HGETALL', keys.segment_digests(member))
  reply[#reply + 1] = {} -- responses to checkpoint requests, in records of earlier builds
  local submitted_with = redis.call('HGET', keys.job(member), 'idempotency_key')
  local digest = submitted_with and redis.call('HGET', keys.job_idempotency_keys(member), submitted_with)
  reply[#reply + 1] = digest and { submitted_with, digest } or {}
  local dropped = tonumber(redis.call('HGET', keys.job(member), 'events_dropped') or '0')
  reply[#reply + 1] = redis.call('SMEMBERS', keys.deleted_checkpoints(member))
  reply[#reply + 1] = redis.call('LRANGE', keys.audit(member), '0', '-1')
  reply[#reply + 1] = attempts
  reply[#reply + 1] = redis.call('LRANGE', keys.events(member), int(math.max(0, after - dropped)), '-1')
  return reply
end

local MAX_SILENCE_MS = 30000 -- of who writes files of a job that is not made yet; jobs/job_deletion.py waits longer

-- Whether files of a job that is not made yet are held: nobody can have begun to remove them.
local function is_held(member)
  local since = redis.call('ZSCORE', keys.PENDING_JOB_REMOVALS, member)
  return since and now - tonumber(since) <= MAX_SILENCE_MS
end

-- The engine's name in an identity: 'graph' of 'graph-1 2.13.0 <canary> cpu 1'.
local function engine_of(identity) return identity and string.match(identity, '^%a+') end

-- Whether any canary gives bits of this identity again: from a state on, since the first weights are drawn by torch.
local function is_portable(member, identity, kind, origin)
  if not string.find(identity or '', ' - ', 1, true) then return false end
  if kind == 'verify' then return origin ~= '0' end
  return redis.call('HLEN', keys.checkpoints(member)) > 0
end

-- What a worker must have to train a job, its queue too.
local function read_needs(member)
  local j = redis.call('HMGET', keys.job(member), 'canary', 'threads', 'required', 'tick', 'kind', 'begun', 'identity',
    'engine_asked', 'memory', 'origin', 'queue')
  local has_ticks = j[1] and has_recorded_ticks(j[4], j[5], j[6])
  return {
    memory = tonumber(j[9] or '0'), has_ticks = has_ticks, exact = j[3] == '1', canary = j[1], threads = j[2],
    engine = has_ticks and engine_of(j[7]) or not has_ticks and j[8], version = string.match(j[7] or '', '^%S+ %S+'),
    portable = has_ticks and is_portable(member, j[7], j[5], j[10]), queue = j[11] or '',
  }
end

-- How a worker meets a job's needs: 'fit', 'inexact' (trains on, marked), 'unfit' (another worker's), 'small' (too
-- little memory) or 'unmeasured' (its canary for these threads is needed). An absent field of a worker rules out
-- nothing; nor does an engine of unknown version, which is `true`.
local function fitness(needs, worker)
  if worker.memory and needs.memory > worker.memory then return 'small' end
  local version = needs.engine and worker.engines and worker.engines[needs.engine]
  if needs.engine and worker.engines and not version then return 'unfit' end
  if not needs.has_ticks then return 'fit' end
  local other = needs.exact and 'unfit' or 'inexact'
  if version and version ~= true and version ~= needs.version then return other end
  if needs.portable then return 'fit' end
  local canary = worker.canaries[needs.threads]
  if not canary then return 'unmeasured' end
  return canary == needs.canary and 'fit' or other
end
