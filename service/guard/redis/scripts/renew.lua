-- Extends the lease of the set.
--
-- ARGV[2]    the lease from now on, in ms
--
-- Returns 1; 0 if the sender no longer holds all locks.

if not lock.is_held() then return 0 end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
return 1
