-- Redis runs the lock scripts with Lua 5.1; service/guard/redis/scripts/shared.lua stands before each
-- of them and provides `lock`. wrk runs the bench script.
std = "lua51"
read_globals = {"redis", "KEYS", "ARGV", "lock"}
files["tests/bench"] = {globals = {"setup", "init", "request", "response", "number"}, max_line_length = false}
