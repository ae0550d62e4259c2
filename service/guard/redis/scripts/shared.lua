-- The beginning of every lock script: the names of the keys, the queue of waiters, the hand-off.
--
-- KEYS       the locks of the set, `holdfast:lock:{NAME}` each
-- ARGV[1]    the owner that sends the script
-- The other ARGV stand at the top of each script. Scripts are safe to repeat and to run late.
--
-- Every other key is made of the same {NAME}, or of an owner; ../README.md lists them. Tokens are
-- written with '%.0f', because Lua would write large ones with an exponent.
--
-- To run a script by hand:
--   cat shared.lua acquire.lua | redis-cli --eval /dev/stdin 'holdfast:lock:{A}' , me 8000 1 '' 0 0

local LOCK, TOKEN = 'holdfast:lock:', 'holdfast:token:'
local LINE, WAITER, GONE = 'holdfast:line:', 'holdfast:waiter:', 'holdfast:gone:'

local lock = {owner = ARGV[1], tags = {}} -- tags: the {NAME} of each of KEYS
for i = 1, #KEYS do lock.tags[i] = string.sub(KEYS[i], #LOCK + 1) end

-- Does the sender hold every lock of the set?
function lock.is_held()
  for _, tag in ipairs(lock.tags) do
    if redis.call('GET', LOCK .. tag) ~= lock.owner then return false end
  end
  return true
end

-- ---- fencing tokens ---------------------------------------------------------------------------

function lock.set_tokens(tags, token)
  for _, tag in ipairs(tags) do redis.call('SET', TOKEN .. tag, string.format('%.0f', token)) end
end

-- The highest of the floor and the set's counters.
function lock.highest_token(floor)
  local token = tonumber(floor)
  for _, tag in ipairs(lock.tags) do
    token = math.max(token, tonumber(redis.call('GET', TOKEN .. tag) or 0))
  end
  return token
end

-- ---- a lock and its queue ---------------------------------------------------------------------

-- Takes free locks. Returns the highest of `n_tokens` new tokens, which is above all earlier ones.
function lock.take(owner, tags, ttl_ms, n_tokens)
  local token = 0
  for _, tag in ipairs(tags) do
    redis.call('SET', LOCK .. tag, owner, 'PX', ttl_ms)
    token = math.max(token, redis.call('INCRBY', TOKEN .. tag, n_tokens))
  end
  if #tags > 1 then lock.set_tokens(tags, token) end
  return token
end

-- Deletes locks and their tokens, also those of other holders: for locks that protect nothing.
function lock.forget(tags)
  for _, tag in ipairs(tags) do redis.call('DEL', LOCK .. tag, TOKEN .. tag) end
end

-- Deletes the locks that the sender holds, and the tokens of those that `unknown` marks with '1'.
-- Returns the tags of these locks. A foreign lock stays.
function lock.free(unknown)
  local freed = {}
  for i, tag in ipairs(lock.tags) do
    if redis.call('GET', KEYS[i]) == lock.owner then
      redis.call('DEL', KEYS[i])
      if string.sub(unknown, i, i) == '1' then redis.call('DEL', TOKEN .. tag) end
      freed[#freed + 1] = tag
    end
  end
  return freed
end

-- The head of the queue, or false. Drops waiters whose record has expired: their process is dead.
function lock.head(tag)
  local owner = redis.call('LINDEX', LINE .. tag, 0)
  while owner and redis.call('EXISTS', WAITER .. owner) == 0 do
    redis.call('LPOP', LINE .. tag)
    owner = redis.call('LINDEX', LINE .. tag, 0)
  end
  return owner
end

function lock.is_waiting() return redis.call('EXISTS', WAITER .. lock.owner) == 1 end

function lock.leave_queues(owner, tags)
  redis.call('DEL', WAITER .. owner)
  for _, tag in ipairs(tags) do redis.call('LREM', LINE .. tag, 0, owner) end
end

-- Joins the queue of each lock, in one step, or stays in place and renews the waiter's record.
function lock.join_queues(ttl_ms, n_tokens, channel, waiter_ttl_ms, attempt)
  if not lock.is_waiting() then
    lock.leave_queues(lock.owner, lock.tags)
    for _, tag in ipairs(lock.tags) do redis.call('RPUSH', LINE .. tag, lock.owner) end
  end
  redis.call('HMSET', WAITER .. lock.owner, 'tags', table.concat(lock.tags, ' '),
    'channel', channel, 'ask', attempt, 'ttl', ttl_ms, 'tokens', n_tokens)
  redis.call('PEXPIRE', WAITER .. lock.owner, waiter_ttl_ms)
  for _, tag in ipairs(lock.tags) do redis.call('PEXPIRE', LINE .. tag, 60000) end
end

-- ---- the hand-off -----------------------------------------------------------------------------

-- Grants the lock to a waiter if all its locks are free and it is at the head of all their queues.
-- Returns the tags that are free again because no process listens on the waiter's channel.
local function grant(owner)
  local waiter = redis.call('HMGET', WAITER .. owner, 'tags', 'channel', 'ask', 'ttl', 'tokens')
  local tags = {}
  local ready = true
  for tag in string.gmatch(waiter[1], '%S+') do
    tags[#tags + 1] = tag
    ready = ready and redis.call('EXISTS', LOCK .. tag) == 0 and lock.head(tag) == owner
  end
  if not ready then return {} end
  lock.leave_queues(owner, tags)
  local token = lock.take(owner, tags, waiter[4], waiter[5])
  local message = owner .. ' ' .. waiter[3] .. string.format(' %.0f', token)
  if redis.call('PUBLISH', waiter[2], message) > 0 then return {} end
  for _, tag in ipairs(tags) do redis.call('DEL', LOCK .. tag) end
  return tags
end

-- Offers each free lock to the head of its queue. `freed` grows on the way: locks that a dead
-- waiter was granted are offered to the next one.
function lock.hand_off(freed)
  local i = 1
  while freed[i] do
    local owner = redis.call('EXISTS', LOCK .. freed[i]) == 0 and lock.head(freed[i])
    if owner then
      for _, tag in ipairs(grant(owner)) do freed[#freed + 1] = tag end
    end
    i = i + 1
  end
end

-- ---- giving up --------------------------------------------------------------------------------

-- Refuses every later acquire of this owner for the time given.
function lock.set_gone(ms) redis.call('SET', GONE .. lock.owner, '', 'PX', ms) end

function lock.is_gone() return redis.call('EXISTS', GONE .. lock.owner) == 1 end
