-- A wrk script: deducts one unit of one SKU per request, each with a new Idempotency-Key.
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
    return "POST /v1/stock/BENCH-0/deduct HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n" ..
        "Idempotency-Key: " .. prefix .. counter .. "\r\nContent-Length: 14\r\n\r\n{\"quantity\":1}"
end
