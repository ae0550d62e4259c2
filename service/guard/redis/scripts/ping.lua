-- Returns 1: Redis answers, and runs scripts. It needs neither KEYS nor ARGV.

return 1
