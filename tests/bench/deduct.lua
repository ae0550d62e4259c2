-- A wrk script: deducts one unit of the SKU in BENCH_SKU per request, each with a new Idempotency-Key.
local sku = os.getenv("BENCH_SKU") or "BENCH-0"
local counter, prefix = 0, ""
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("number", threads)
end

function init()
    math.randomseed(os.time() * 1000 + number)
    prefix = string.format("%x-%08x-", number, math.random(0, 2147483647))
end

function request()
    counter = counter + 1
    return "POST /v1/stock/" .. sku .. "/deduct HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n" ..
        "Idempotency-Key: " .. prefix .. counter .. "\r\nContent-Length: 14\r\n\r\n{\"quantity\":1}"
end
