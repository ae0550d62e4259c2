-- Gives up: frees what the sender holds of the set and removes it from the queues. Whichever runs
-- first, an acquire whose reply was lost or this script, no lock is left behind.
--
-- ARGV[2]    for how long a late acquire is refused, in ms; 0: none is in flight
--
-- Returns 1.

lock.free('')
lock.leave_queues(lock.owner, lock.tags)
if ARGV[2] ~= '0' then lock.set_gone(ARGV[2]) end
lock.hand_off(lock.tags)
return 1
