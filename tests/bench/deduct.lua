-- wrk: POST deduct with a fresh Idempotency-Key each, on one SKU or evenly over many.
--
--     wrk ... -s deduct.lua URL -- PATH SKUS      PATH: a fixed one, or "" for /v1/stock/{sku}/deduct
local counter, prefix, path, skus = 0, "", "", 1
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("number", threads)
end

function init(args)
    path = args[1] or ""
    skus = tonumber(args[2] or "1")
    math.randomseed(os.time() * 1000 + number)
    prefix = string.format("%x-%08x-", number, math.random(0, 2147483647))
end

function request()
    counter = counter + 1
    local target = path
    if target == "" then
        target = "/v1/stock/BENCH-" .. (counter % skus) .. "/deduct"
    end
    return "POST " .. target .. " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n" ..
        "Idempotency-Key: " .. prefix .. counter .. "\r\nContent-Length: 14\r\n\r\n{\"quantity\":1}"
end
