-- A wrk script: reserves one unit of one SKU, and confirms each reservation that was answered before the next
-- is made.
local counter, prefix = 0, ""
local threads = 0
local open = {}

function setup(thread)
    threads = threads + 1
    thread:set("number", threads)
end

function init()
    math.randomseed(os.time() * 1000 + number)
    prefix = string.format("%x-%08x-", number, math.random(0, 2147483647))
end

local function post(path, body)
    counter = counter + 1
    return "POST " .. path .. " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n" ..
        "Idempotency-Key: " .. prefix .. counter .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function request()
    local id = table.remove(open)
    if id then
        return post("/v1/reservations/" .. id .. "/confirm", "{}")
    end
    return post("/v1/reservations", '{"ttl_s":600,"lines":[{"sku":"S-0","quantity":1}]}')
end

function response(status, _, body)
    if status == 201 then
        open[#open + 1] = body:match('"reservation_id":"(%w+)"')
    end
end
