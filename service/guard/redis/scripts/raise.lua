-- Raises the set's token counters to the token of a majority of masters; none is lowered.
--
-- ARGV[2]    the token
--
-- Returns 1; 0 if the sender no longer holds all locks.

if not lock.is_held() then return 0 end
lock.set_tokens(lock.tags, lock.highest_token(ARGV[2]))
return 1
