-- Takes all locks of the set or none. A lock that the sender holds already is taken once more, so
-- that the script can be repeated when its reply was lost.
--
-- ARGV[2]    the lease, in ms
-- ARGV[3]    how many tokens
-- ARGV[4]    the channel on which a later grant is announced; '': do not queue
-- ARGV[5]    how long the place in the queue lasts without another attempt, in ms
-- ARGV[6]    the attempt's number; the announcement, "OWNER ATTEMPT TOKEN", carries it
--
-- Returns the highest of the new tokens. 0 or less: not taken; negated, the remaining lease in ms
-- of the lock in the way, 0 if unknown.

local ttl_ms, n_tokens, channel = ARGV[2], ARGV[3], ARGV[4]
if lock.is_gone() then return 0 end

local left_ms, blocked = 0, false
for i, tag in ipairs(lock.tags) do
  local holder = redis.call('GET', KEYS[i])
  if holder and holder ~= lock.owner then
    blocked, left_ms = true, math.max(left_ms, redis.call('PTTL', KEYS[i]))
  elseif not holder then
    local head = lock.head(tag)
    blocked = blocked or (head and head ~= lock.owner)
  end
end

if not blocked then
  if lock.is_waiting() then lock.leave_queues(lock.owner, lock.tags) end
  return lock.take(lock.owner, lock.tags, ttl_ms, n_tokens)
end

if channel ~= '' then lock.join_queues(ttl_ms, n_tokens, channel, ARGV[5], ARGV[6]) end
lock.hand_off(lock.tags)
return -left_ms
