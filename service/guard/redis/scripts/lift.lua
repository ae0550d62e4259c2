-- Draws new tokens above a floor and above all earlier ones, for a lock that the sender holds.
--
-- ARGV[2]    the floor: the highest token that the database has seen
-- ARGV[3]    how many tokens
--
-- Returns the highest new token; 0 if the sender no longer holds all locks.

if not lock.is_held() then return 0 end
local token = lock.highest_token(ARGV[2]) + tonumber(ARGV[3])
lock.set_tokens(lock.tags, token)
return token
