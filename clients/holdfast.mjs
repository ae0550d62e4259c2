// A client for Holdfast in browsers and in Node 18 or newer. It needs no other file.
//
//     import {Holdfast, Problem} from "./holdfast.mjs";
//     const shop = new Holdfast("http://127.0.0.1:8080", {token: "..."});
//     const cart = await shop.reserve({user_id: "ann", ttl_s: 900, lines: [{sku: "SKU-1", quantity: 2}]});
//     const order = await shop.placeOrder({user_id: "ann", reservation: cart.reservation_id});
//
// Calls. Each method has the name of its operationId in api/openapi.yaml, which describes every body and
// answer. Arguments are the ids of the path, then the body, then options. The result is the body of the
// answer. Units are in the names: _cents, _s (seconds), _ms (milliseconds), _at_ms (milliseconds since 1970
// on the database's clock).
//
// Idempotency. A call that changes something makes one key, and sends it with every attempt. So the operation
// takes effect once, however often it is sent. To go on with an operation after a reload or a crash, keep the key
// before the call (newKey) and give it back: {key}. Repeat a request with its key only unchanged.
//
// Retries. A call is repeated after no answer (connection refused, closed or timed out, answer cut off), 429,
// 502, 503 and 504 (a proxy's words for no answer). It waits Retry-After, and a random time that grows with each
// attempt, so that clients do not come back all at once. It ends after `attempts` or `totalMs`.
//
// Errors. Any other answer of 400 or more is thrown as a Problem, at once. When the attempts are used up, the
// last Problem is thrown, with `retryable` true: the operation may have taken effect. Only a repetition with
// `problem.key` tells. An aborted `signal` throws its reason; the outcome is then unknown too.

const BACKOFF_MS = 200; // the longest random wait after the first attempt; doubles with each attempt
const BACKOFF_MAX_MS = 5000;
const REPEATED = [0, 429, 502, 503, 504]; // 0: no answer

// Node 18 has no global crypto.
const crypto = globalThis.crypto ?? (await import("node:crypto")).webcrypto;

// A refusal or fault.
//   status       the HTTP status; 0 if no answer came
//   type, slug   "/problems/out-of-stock", and "out-of-stock". "no-answer" without an answer, "http-413" if the
//                answer is not from Holdfast
//   title, detail   what is wrong, and what to do about it
//   fields       the other members of the answer: remaining, version, next_release_at_ms, failed, field, ...
//   key          the request's idempotency key; undefined for a call without one
//   retryable    the outcome is unknown, and the same request may be sent again with the same key
export class Problem extends Error {
    constructor(status, answer, key) {
        const {type, title = `HTTP status ${status}`, detail = "", status: _, ...fields} = answer ?? {};
        super(detail ? `${title}. ${detail}` : title);
        this.name = "Problem";
        this.status = status;
        this.type = type ?? "about:blank";
        this.slug = type?.split("/").pop() ?? `http-${status}`;
        this.title = title;
        this.detail = detail;
        this.fields = fields;
        this.key = key;
        this.retryable = REPEATED.includes(status);
    }
}

const NO_ANSWER = {
    type: "no-answer",
    title: "No answer",
    detail: "The request may have taken effect. Send the same request again with the same key.",
};

// A new idempotency key: a UUIDv7 (RFC 9562). It begins with the time, because random keys make a large
// database read a page for most operations.
export function newKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const now = Date.now();
    for (let i = 0; i < 6; i++)
        bytes[i] = Math.floor(now / 2 ** (40 - 8 * i)) % 256;
    bytes[6] = bytes[6] % 16 + 0x70;
    bytes[8] = bytes[8] % 64 + 0x80;
    const digits = Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export class Holdfast {
    // url: the service; in a browser by default the page's own server.
    // Options, which each call can override except for the token:
    //   token      sent as Authorization: Bearer
    //   attempts   at most so many, 1 for no repetition
    //   totalMs    no attempt begins or lasts longer than this after the call
    //   timeoutMs  an attempt without a whole answer for this long counts as without an answer
    //   onAttempt  called after each attempt with {number, method, path, body, key, status, answer, replayed,
    //              waitMs}. status is 0 without an answer; replayed says that an earlier attempt took effect;
    //              waitMs is the time until the next attempt, undefined after the last
    // And for one call:
    //   key        the idempotency key, instead of a new one
    //   signal     an AbortSignal
    constructor(url = globalThis.location.origin, {token, ...options} = {}) {
        this.url = url.replace(/\/+$/, "");
        this.token = token;
        this.options = {attempts: 6, totalMs: 30000, timeoutMs: 10000, ...options};
    }

    // ---- stock

    deduct(sku, body, options) {
        return this.#change(`/v1/stock/${id(sku)}/deduct`, body, options);
    }

    restock(sku, body, options) {
        return this.#change(`/v1/stock/${id(sku)}/restock`, body, options);
    }

    // All reads of one thing take {known}, an earlier result. If it is still true, `known` itself is returned.
    // {include: "reserved"} adds what open reservations hold.
    getStock(sku, {include, ...options} = {}) {
        return this.#read(`/v1/stock/${id(sku)}`, {include}, options);
    }

    // query: {after, limit}. Pass next_after of the answer as `after` to get the next page.
    listStock(query, options) {
        return this.#read("/v1/stock", query, options);
    }

    // ---- coupons

    issueCoupon(campaign, body, options) {
        return this.#change(`/v1/coupons/${id(campaign)}/issue`, body, options);
    }

    getCampaign(campaign, options) {
        return this.#read(`/v1/coupons/${id(campaign)}`, {}, options);
    }

    validateCoupon(body, options) {
        return this.request("POST", "/v1/coupons/validate", body, options);
    }

    redeemCoupon(body, options) {
        return this.#change("/v1/coupons/redeem", body, options);
    }

    getCode(code, options) {
        return this.#read(`/v1/coupons/codes/${id(code)}`, {}, options);
    }

    rollBackRedemption(redemption, body, options) {
        return this.#change(`/v1/redemptions/${id(redemption)}/rollback`, body, options);
    }

    // ---- lotteries

    draw(lottery, body, options) {
        return this.#change(`/v1/lotteries/${id(lottery)}/draw`, body, options);
    }

    getLottery(lottery, options) {
        return this.#read(`/v1/lotteries/${id(lottery)}`, {}, options);
    }

    // ---- points

    earn(user, body, options) {
        return this.#change(`/v1/points/${id(user)}/earn`, body, options);
    }

    spend(user, body, options) {
        return this.#change(`/v1/points/${id(user)}/spend`, body, options);
    }

    transfer(body, options) {
        return this.#change("/v1/points/transfers", body, options);
    }

    getPoints(user, options) {
        return this.#read(`/v1/points/${id(user)}`, {}, options);
    }

    // ---- reservations

    reserve(body, options) {
        return this.#change("/v1/reservations", body, options);
    }

    getReservation(reservation, options) {
        return this.#read(`/v1/reservations/${id(reservation)}`, {}, options);
    }

    // query: {user_id, state, after, limit}
    listReservations(query, options) {
        return this.#read("/v1/reservations", query, options);
    }

    confirm(reservation, body, options) {
        return this.#change(`/v1/reservations/${id(reservation)}/confirm`, body, options);
    }

    release(reservation, body, options) {
        return this.#change(`/v1/reservations/${id(reservation)}/release`, body, options);
    }

    extend(reservation, body, options) {
        return this.#change(`/v1/reservations/${id(reservation)}/extend`, body, options);
    }

    // ---- orders

    placeOrder(body, options) {
        return this.#change("/v1/orders", body, options);
    }

    getOrder(order, options) {
        return this.#read(`/v1/orders/${id(order)}`, {}, options);
    }

    cancelOrder(order, body, options) {
        return this.#change(`/v1/orders/${id(order)}/cancel`, body, options);
    }

    refundOrder(order, body, options) {
        return this.#change(`/v1/orders/${id(order)}/refunds`, body, options);
    }

    // ---- changes

    // Yields each change of these counters once, in the order of each counter's versions, and never ends:
    //
    //     const mug = await shop.getStock("SKU-2");
    //     for await (const change of shop.waitForChanges({"stock/SKU-2": mug.version}))
    //         console.log(change.counter, change.remaining);
    //
    // known: for each counter (at most 100, and about 3,900 characters in all) the last version that the
    // caller has seen. While the service does not answer, it asks again and again: onAttempt tells. A refusal
    // is thrown. End it with `break` or with options.signal.
    async *waitForChanges(known, options = {}) {
        let next = {counters: Object.keys(known).join(), after: Object.values(known).join()};
        const {waitMs = 10000, timeoutMs = this.options.timeoutMs, ...others} = options;
        next.wait_ms = waitMs;
        for (;;) {
            const answer = await this.#read("/v1/changes", next, {
                ...others, attempts: Infinity, totalMs: Infinity, timeoutMs: timeoutMs + waitMs,
            });
            yield* answer.changes;
            next = answer.next;
        }
    }

    // ---- requests

    #change(path, body, {key = newKey(), ...options} = {}) {
        return this.request("POST", path, body, {...options, key});
    }

    async #read(path, query = {}, {known, ...options} = {}) {
        const given = Object.entries(query).filter(([, value]) => value !== undefined);
        const target = given.length ? `${path}?${new URLSearchParams(given)}` : path;
        const headers = known && {"If-None-Match": `"v${known.version}"`};
        return await this.request("GET", target, undefined, {...options, headers}) ?? known;
    }

    // Sends any request, for calls that this class does not have. `headers` are added. Resolves with the body of
    // the answer, null if there is none.
    async request(method, path, body, options = {}) {
        const {key, signal, headers, attempts, totalMs, timeoutMs, onAttempt} = {...this.options, ...options};
        const url = new URL(this.url + path);
        const sent = {method, headers: new Headers(headers)};
        if (body !== undefined) {
            sent.body = JSON.stringify(body);
            sent.headers.set("Content-Type", "application/json");
        }
        if (key !== undefined)
            sent.headers.set("Idempotency-Key", key);
        if (this.token)
            sent.headers.set("Authorization", `Bearer ${this.token}`);

        const end = performance.now() + totalMs;
        for (let number = 1; ; number++) {
            const left = end - performance.now();
            const limitMs = Math.min(timeoutMs, left);
            const {status, answer, replayed, retryAfterMs} = await attempt(url, sent, limitMs, signal);
            let waitMs;
            if (REPEATED.includes(status) && number < attempts) {
                waitMs = retryAfterMs + Math.random() * Math.min(BACKOFF_MS * 2 ** (number - 1), BACKOFF_MAX_MS);
                if (performance.now() + waitMs >= end)
                    waitMs = undefined;
            }
            onAttempt?.({number, method, path, body, key, status, answer, replayed, waitMs});
            if (status === 304 || (status >= 200 && status < 300))
                return answer;
            if (waitMs === undefined)
                throw new Problem(status, answer, key);
            signal?.throwIfAborted();
            await pause(waitMs, signal);
        }
    }
}

function id(text) {
    return encodeURIComponent(text);
}

// One attempt. Without a whole answer the status is 0.
async function attempt(url, sent, timeoutMs, signal) {
    signal?.throwIfAborted();
    const ended = new AbortController();
    const end = () => ended.abort();
    const timer = setTimeout(end, timeoutMs);
    signal?.addEventListener("abort", end);
    try {
        const response = await fetch(url, {...sent, signal: ended.signal});
        const text = await response.text();
        return {
            status: response.status,
            answer: parse(response, text),
            replayed: response.headers.get("Idempotent-Replayed") === "true",
            retryAfterMs: retryAfter(response.headers.get("Retry-After")),
        };
    } catch {
        signal?.throwIfAborted();
        return {status: 0, answer: NO_ANSWER, replayed: false, retryAfterMs: 0};
    } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
    }
}

// A success whose body is not JSON is not an answer of Holdfast, or is cut off: throws. The body of an error
// may be a proxy's: null.
function parse(response, text) {
    if (response.status === 304)
        return null;
    const isJson = response.headers.get("Content-Type")?.includes("json");
    return response.ok || isJson ? JSON.parse(text) : null;
}

// Seconds, or a date, as milliseconds from now.
function retryAfter(value) {
    const ms = /^\d+$/.test(value) ? value * 1000 : Date.parse(value) - Date.now();
    return ms > 0 ? ms : 0;
}

function pause(ms, signal) {
    return new Promise((resolve, reject) => {
        const abort = () => {
            clearTimeout(timer);
            reject(signal.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", abort);
            resolve();
        }, ms);
        signal?.addEventListener("abort", abort);
    });
}
