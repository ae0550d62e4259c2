-- Frees the locks of the set that the sender holds, and hands each to the head of its queue.
--
-- ARGV[2]    a character for each lock; '1': its counter does not exist, so delete its token too.
--            Else each name that a client makes up would leave a token for ever
--
-- Returns how many locks were freed.

local freed = lock.free(ARGV[2] or '')
local n = #freed
lock.hand_off(freed)
return n
