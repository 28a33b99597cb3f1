-- Files that may be removed now, up to 64. No dataset can take one any more: a path is used once. -> {path, ...}
return redis.call('ZRANGEBYSCORE', keys.PENDING_BLOB_DELETIONS, '-inf', int(now), 'LIMIT', '0', '64')
