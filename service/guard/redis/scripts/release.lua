-- Frees the locks of the set that the sender holds, and hands each to the head of its queue.
--
-- Returns how many locks were freed.

local freed = lock.free()
local n = #freed
lock.hand_off(freed)
return n
