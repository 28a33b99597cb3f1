-- Say that files of a job that is not made yet are being written (h.is_new: for the first time): they count as those of a
-- deleted job, and are removed unless this is said again in time, or the job is made. -> {'ok'} | {'lost'}
if not h.is_new and not is_held(h.member) then return { 'lost' } end
redis.call('ZADD', keys.PENDING_JOB_REMOVALS, int(now), h.member)
return { 'ok' }
