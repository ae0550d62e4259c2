// What is kept in Redis, for a lock on {NAME}:
//
//   holdfast:lock:{NAME}      the owner, with the lease as its expiry
//   holdfast:token:{NAME}     the last fencing token given out; for ever
//   holdfast:line:{NAME}      the owners that wait, first come first
//   holdfast:waiter:OWNER     what one of them waits for, and on which channel it listens; expires
//                             unless it asks again, so that who died is not waited for
//   holdfast:gone:OWNER       it has given up while its question was under way
//
// A waiter stands in the lines of all its locks, and entered them in one step. So of two waiters
// the same one is first wherever they meet, the oldest is first everywhere, and there is no
// deadlock. Whatever frees a lock (a release, a waiter's giving up) offers it to the first in its
// line: if all that this one waits for is free and it is first there too, the lock is its own from
// that moment, and the message on its channel only says so. The number of receivers that PUBLISH
// answers tells whether its process still lives; who is deaf is dropped, and the next one asked. A
// lease that runs out offers nothing: the waiters ask again by then.
//
// A lock that is its owner's already is taken once more: that makes it safe to repeat the script
// when the reply was lost. Tokens are written with '%.0f' because Lua rounds them otherwise.
#include "guard/redis/scripts.h"

#define LUA_NAMES                                                                                  \
    "local call, me, tags = redis.call, ARGV[1], {} "                                              \
    "local L, T, Q, W = 'holdfast:lock:', 'holdfast:token:', 'holdfast:line:', "                   \
    "'holdfast:waiter:' "                                                                          \
    "for i = 1, #KEYS do tags[i] = string.sub(KEYS[i], #L + 1) end "                               \
    "local function mine() "                                                                       \
    "  for _, tag in ipairs(tags) do "                                                             \
    "    if call('GET', L .. tag) ~= me then return false end "                                    \
    "  end "                                                                                       \
    "  return true "                                                                               \
    "end "                                                                                         \
    "local function write(token) "                                                                 \
    "  for _, tag in ipairs(tags) do call('SET', T .. tag, string.format('%.0f', token)) end "     \
    "end "

#define LUA_LINES                                                                                  \
    "local function first(tag) "                                                                   \
    "  local owner = call('LINDEX', Q .. tag, 0) "                                                 \
    "  while owner and call('EXISTS', W .. owner) == 0 do "                                        \
    "    call('LPOP', Q .. tag) "                                                                  \
    "    owner = call('LINDEX', Q .. tag, 0) "                                                     \
    "  end "                                                                                       \
    "  return owner "                                                                              \
    "end "                                                                                         \
    "local function strike(owner, of) "                                                            \
    "  call('DEL', W .. owner) "                                                                   \
    "  for _, tag in ipairs(of) do call('LREM', Q .. tag, 0, owner) end "                          \
    "end "                                                                                         \
    "local function take(owner, of, ttl, tokens) "                                                 \
    "  local token = 0 "                                                                           \
    "  for _, tag in ipairs(of) do "                                                               \
    "    call('SET', L .. tag, owner, 'PX', ttl) "                                                 \
    "    token = math.max(token, call('INCRBY', T .. tag, tokens)) "                               \
    "  end "                                                                                       \
    "  if #of > 1 then "                                                                           \
    "    for _, tag in ipairs(of) do call('SET', T .. tag, string.format('%.0f', token)) end "     \
    "  end "                                                                                       \
    "  return token "                                                                              \
    "end "

// `freed` grows while it is gone through: what a dropped waiter was first for is offered as well.
#define LUA_OFFER                                                                                  \
    "local function offer(freed) "                                                                 \
    "  local i = 1 "                                                                               \
    "  while freed[i] do "                                                                         \
    "    local owner = call('EXISTS', L .. freed[i]) == 0 and first(freed[i]) "                    \
    "    if owner then "                                                                           \
    "      local asked = call('HMGET', W .. owner, 'tags', 'channel', 'ask', 'ttl', 'tokens') "    \
    "      local of, can = {}, true "                                                              \
    "      for tag in string.gmatch(asked[1], '%S+') do "                                          \
    "        of[#of + 1] = tag "                                                                   \
    "        can = can and call('EXISTS', L .. tag) == 0 and first(tag) == owner "                 \
    "      end "                                                                                   \
    "      if can then "                                                                           \
    "        strike(owner, of) "                                                                   \
    "        local token = string.format(' %.0f', take(owner, of, asked[4], asked[5])) "           \
    "        if call('PUBLISH', asked[2], owner .. ' ' .. asked[3] .. token) == 0 then "           \
    "          for _, tag in ipairs(of) do "                                                       \
    "            call('DEL', L .. tag) "                                                           \
    "            freed[#freed + 1] = tag "                                                         \
    "          end "                                                                               \
    "        end "                                                                                 \
    "      end "                                                                                   \
    "    end "                                                                                     \
    "    i = i + 1 "                                                                               \
    "  end "                                                                                       \
    "end "

// clang-format off: a script starts at the margin
const char *const redis_scripts[REDIS_SCRIPT_COUNT] = {
    [REDIS_ACQUIRE] = LUA_NAMES LUA_LINES LUA_OFFER
    "if call('EXISTS', 'holdfast:gone:' .. me) == 1 then return 0 end "
    "local left, blocked = 0, false "
    "for i, tag in ipairs(tags) do "
    "  local owner = call('GET', KEYS[i]) "
    "  if owner and owner ~= me then "
    "    blocked, left = true, math.max(left, call('PTTL', KEYS[i])) "
    "  elseif not owner then "
    "    local ahead = first(tag) "
    "    blocked = blocked or (ahead and ahead ~= me) "
    "  end "
    "end "
    "if not blocked then "
    "  if call('EXISTS', W .. me) == 1 then strike(me, tags) end "
    "  return take(me, tags, ARGV[2], ARGV[3]) "
    "end "
    "if ARGV[4] ~= '' then "
    "  if call('EXISTS', W .. me) == 0 then "
    "    strike(me, tags) "
    "    for _, tag in ipairs(tags) do call('RPUSH', Q .. tag, me) end "
    "  end "
    "  call('HMSET', W .. me, 'tags', table.concat(tags, ' '), 'channel', ARGV[4], "
    "    'ask', ARGV[6], 'ttl', ARGV[2], 'tokens', ARGV[3]) "
    "  call('PEXPIRE', W .. me, ARGV[5]) "
    "  for _, tag in ipairs(tags) do call('PEXPIRE', Q .. tag, 60000) end "
    "end "
    "offer(tags) "
    "return -left",

    [REDIS_RELEASE] = LUA_NAMES LUA_LINES LUA_OFFER "local freed = {} "
                                                    "for i, tag in ipairs(tags) do "
                                                    "  if call('GET', KEYS[i]) == me then "
                                                    "    call('DEL', KEYS[i]) "
                                                    "    freed[#freed + 1] = tag "
                                                    "  end "
                                                    "end "
                                                    "local n = #freed "
                                                    "offer(freed) "
                                                    "return n",

    // Whichever runs first, the acquire whose reply was lost or this, no lock is left behind.
    [REDIS_ABANDON] = LUA_NAMES LUA_LINES LUA_OFFER
    "for i = 1, #KEYS do if call('GET', KEYS[i]) == me then call('DEL', KEYS[i]) end end "
    "strike(me, tags) "
    "if ARGV[2] ~= '0' then call('SET', 'holdfast:gone:' .. me, '', 'PX', ARGV[2]) end "
    "offer(tags) "
    "return 1",

    [REDIS_RENEW] = LUA_NAMES "if not mine() then return 0 end "
                              "for i = 1, #KEYS do call('PEXPIRE', KEYS[i], ARGV[2]) end "
                              "return 1",

    [REDIS_LIFT] = LUA_NAMES "if not mine() then return 0 end "
                             "local token = tonumber(ARGV[2]) "
                             "for _, tag in ipairs(tags) do "
                             "  token = math.max(token, tonumber(call('GET', T .. tag) or 0)) "
                             "end "
                             "token = token + tonumber(ARGV[3]) "
                             "write(token) "
                             "return token",

    [REDIS_RAISE] = LUA_NAMES "if not mine() then return 0 end "
                              "local token = tonumber(ARGV[2]) "
                              "for _, tag in ipairs(tags) do "
                              "  token = math.max(token, tonumber(call('GET', T .. tag) or 0)) "
                              "end "
                              "write(token) "
                              "return 1",

    [REDIS_PING] = "return 1",
};
// clang-format on
