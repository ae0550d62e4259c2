"""A client for Holdfast in Python 3.9 or newer. It needs only the standard library.

    from holdfast import Holdfast, Problem
    shop = Holdfast("http://127.0.0.1:8080", token="...")
    cart = shop.reserve({"user_id": "ann", "ttl_s": 900, "lines": [{"sku": "SKU-1", "quantity": 2}]})
    order = shop.place_order({"user_id": "ann", "reservation": cart["reservation_id"]})

Calls. Each method has the name of its operationId in api/openapi.yaml (placeOrder is place_order), which describes
every body and answer. Arguments are the ids of the path, then the body, then options by name. The result is the body
of the answer, a dict. Units are in the names: _cents, _s (seconds), _ms (milliseconds), _at_ms (milliseconds since
1970 on the database's clock). Threads may share a client; each gets a connection of its own.

Idempotency. A call that changes something makes one key, and sends it with every attempt. So the operation takes
effect once, however often it is sent. To go on with an operation after a crash, store the key before the call
(new_key) and give it back: key=... Repeat a request with its key only unchanged.

Retries. A call is repeated after no answer (connection refused, closed or timed out, answer cut off), 429, 502, 503
and 504 (a proxy's words for no answer). It waits Retry-After, and a random time that grows with each attempt, so that
clients do not come back all at once. It ends after `attempts` or `total_s`.

Errors. Any other answer of 400 or more is raised as a Problem, at once. When the attempts are used up, the last
Problem is raised, with `retryable` true: the operation may have taken effect. Only a repetition with `problem.key`
tells.
"""

import email.utils
import http.client
import json
import os
import random
import ssl
import threading
import time
import urllib.parse
import uuid

BACKOFF_S = 0.2  # the longest random wait after the first attempt; doubles with each attempt
BACKOFF_MAX_S = 5
REPEATED = (0, 429, 502, 503, 504)  # 0: no answer

NO_ANSWER = {
    "type": "no-answer",
    "title": "No answer",
    "detail": "The request may have taken effect. Send the same request again with the same key.",
}


class Problem(Exception):
    """A refusal or fault.

    status         the HTTP status; 0 if no answer came
    type, slug     "/problems/out-of-stock", and "out-of-stock". "no-answer" without an answer, "http-413" if the
                   answer is not from Holdfast
    title, detail  what is wrong, and what to do about it
    fields         the other members of the answer: remaining, version, next_release_at_ms, failed, field, ...
    key            the request's idempotency key; None for a call without one
    retryable      the outcome is unknown, and the same request may be sent again with the same key
    """

    def __init__(self, status, answer, key=None):
        fields = dict(answer or {})
        fields.pop("status", None)
        self.status = status
        self.type = fields.pop("type", "about:blank")
        self.slug = f"http-{status}" if self.type == "about:blank" else self.type.rpartition("/")[2]
        self.title = fields.pop("title", f"HTTP status {status}")
        self.detail = fields.pop("detail", "")
        self.fields = fields
        self.key = key
        self.retryable = status in REPEATED
        super().__init__(f"{self.title}. {self.detail}" if self.detail else self.title)


def new_key():
    """A new idempotency key: a UUIDv7 (RFC 9562). It begins with the time, because random keys make a large
    database read a page for most operations."""
    value = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    return str(uuid.UUID(int=value & ~(3 << 62) | 2 << 62))


class Holdfast:
    """url: the service. token: sent as Authorization: Bearer. The other arguments can be overridden in each call:

    attempts    at most so many, 1 for no repetition
    total_s     no attempt begins later than this after the call
    timeout_s   an attempt that receives nothing for this long counts as without an answer
    on_attempt  called after each attempt with a dict: number, method, path, body, key, status, answer, replayed,
                wait_s. status is 0 without an answer; replayed says that an earlier attempt took effect; wait_s
                is the time until the next attempt, None after the last

    And for one call:

    key         the idempotency key, instead of a new one
    """

    def __init__(self, url, token=None, attempts=6, total_s=30, timeout_s=10, on_attempt=None):
        self.url = urllib.parse.urlsplit(url.rstrip("/"))
        if self.url.scheme not in ("http", "https") or not self.url.hostname:
            raise ValueError(f"{url}: expected http://HOST[:PORT] or https://HOST[:PORT]")
        self.token = token
        self.options = {"attempts": attempts, "total_s": total_s, "timeout_s": timeout_s, "on_attempt": on_attempt}
        self.tls = ssl.create_default_context() if self.url.scheme == "https" else None
        self.local = threading.local()

    def close(self):
        """Closes this thread's connection. A later call opens it again."""
        if hasattr(self.local, "connection"):
            self.local.connection.close()

    # ---- stock

    def deduct(self, sku, body, **options):
        return self._change(f"/v1/stock/{_id(sku)}/deduct", body, **options)

    def restock(self, sku, body, **options):
        return self._change(f"/v1/stock/{_id(sku)}/restock", body, **options)

    def get_stock(self, sku, include=None, **options):
        """All reads of one thing take known=, an earlier result. If it is still true, it is returned itself.
        include="reserved" adds what open reservations hold."""
        return self._read(f"/v1/stock/{_id(sku)}", {"include": include} if include else None, **options)

    def list_stock(self, query=None, **options):
        """query: after, limit. Pass next_after of the answer as `after` to get the next page."""
        return self._read("/v1/stock", query, **options)

    # ---- coupons

    def issue_coupon(self, campaign, body, **options):
        return self._change(f"/v1/coupons/{_id(campaign)}/issue", body, **options)

    def get_campaign(self, campaign, **options):
        return self._read(f"/v1/coupons/{_id(campaign)}", **options)

    def validate_coupon(self, body, **options):
        return self.request("POST", "/v1/coupons/validate", body, **options)

    def redeem_coupon(self, body, **options):
        return self._change("/v1/coupons/redeem", body, **options)

    def get_code(self, code, **options):
        return self._read(f"/v1/coupons/codes/{_id(code)}", **options)

    def roll_back_redemption(self, redemption, body, **options):
        return self._change(f"/v1/redemptions/{_id(redemption)}/rollback", body, **options)

    # ---- lotteries

    def draw(self, lottery, body, **options):
        return self._change(f"/v1/lotteries/{_id(lottery)}/draw", body, **options)

    def get_lottery(self, lottery, **options):
        return self._read(f"/v1/lotteries/{_id(lottery)}", **options)

    # ---- points

    def earn(self, user, body, **options):
        return self._change(f"/v1/points/{_id(user)}/earn", body, **options)

    def spend(self, user, body, **options):
        return self._change(f"/v1/points/{_id(user)}/spend", body, **options)

    def transfer(self, body, **options):
        return self._change("/v1/points/transfers", body, **options)

    def get_points(self, user, **options):
        return self._read(f"/v1/points/{_id(user)}", **options)

    # ---- reservations

    def reserve(self, body, **options):
        return self._change("/v1/reservations", body, **options)

    def get_reservation(self, reservation, **options):
        return self._read(f"/v1/reservations/{_id(reservation)}", **options)

    def list_reservations(self, query, **options):
        """query: user_id, state, after, limit."""
        return self._read("/v1/reservations", query, **options)

    def confirm(self, reservation, body, **options):
        return self._change(f"/v1/reservations/{_id(reservation)}/confirm", body, **options)

    def release(self, reservation, body, **options):
        return self._change(f"/v1/reservations/{_id(reservation)}/release", body, **options)

    def extend(self, reservation, body, **options):
        return self._change(f"/v1/reservations/{_id(reservation)}/extend", body, **options)

    # ---- orders

    def place_order(self, body, **options):
        return self._change("/v1/orders", body, **options)

    def get_order(self, order, **options):
        return self._read(f"/v1/orders/{_id(order)}", **options)

    def cancel_order(self, order, body, **options):
        return self._change(f"/v1/orders/{_id(order)}/cancel", body, **options)

    def refund_order(self, order, body, **options):
        return self._change(f"/v1/orders/{_id(order)}/refunds", body, **options)

    # ---- changes

    def wait_for_changes(self, known, wait_ms=10000, timeout_s=None, **options):
        """Yields each change of these counters once, in the order of each counter's versions, and never ends:

            mug = shop.get_stock("SKU-2")
            for change in shop.wait_for_changes({"stock/SKU-2": mug["version"]}):
                print(change["counter"], change["remaining"])

        known: for each counter (at most 100, and about 3,900 characters in all) the last version that the caller has
        seen. While the service does not answer, it asks again and again: on_attempt tells. A refusal is raised. End
        it with `break`.
        """
        following = {"counters": ",".join(known), "after": ",".join(map(str, known.values())), "wait_ms": wait_ms}
        timeout_s = (timeout_s or self.options["timeout_s"]) + wait_ms / 1000
        options.update(attempts=float("inf"), total_s=float("inf"), timeout_s=timeout_s)
        while True:
            answer = self._read("/v1/changes", following, **options)
            yield from answer["changes"]
            following = answer["next"]

    # ---- requests

    def _change(self, path, body, key=None, **options):
        return self.request("POST", path, body, key=new_key() if key is None else key, **options)

    def _read(self, path, query=None, known=None, **options):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        headers = {"If-None-Match": f'"v{known["version"]}"'} if known else {}
        answer = self.request("GET", path, headers=headers, **options)
        return known if answer is None else answer

    def request(self, method, path, body=None, key=None, headers=(), **options):
        """Sends any request, for calls that this class does not have. `headers` are added. Returns the body of the
        answer, None if there is none."""
        limits = {**self.options, **options}
        sent = dict(headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        if key is not None:
            sent["Idempotency-Key"] = key
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"

        end = time.monotonic() + limits["total_s"]
        number = 0
        while True:
            number += 1
            timeout_s = max(0.001, min(limits["timeout_s"], end - time.monotonic()))
            status, answer, replayed, retry_after_s = self._attempt(method, path, data, sent, timeout_s)
            wait_s = None
            if status in REPEATED and number < limits["attempts"]:
                # Without the min, 2 to the power of an endless number of attempts overflows.
                backoff_s = min(BACKOFF_S * 2 ** min(number - 1, 20), BACKOFF_MAX_S)
                wait_s = retry_after_s + random.random() * backoff_s
                if time.monotonic() + wait_s >= end:
                    wait_s = None
            if limits["on_attempt"]:
                limits["on_attempt"]({
                    "number": number, "method": method, "path": path, "body": body, "key": key, "status": status,
                    "answer": answer, "replayed": replayed, "wait_s": wait_s})
            if status == 304 or 200 <= status < 300:
                return answer
            if wait_s is None:
                raise Problem(status, answer, key)
            time.sleep(wait_s)

    def _attempt(self, method, path, data, headers, timeout_s):
        """One attempt. Without a whole answer the status is 0."""
        connection = self._connection(timeout_s)
        try:
            connection.request(method, self.url.path + path, data, headers)
            response = connection.getresponse()
            text = response.read()
            answer = _parse(response, text)
        except ssl.SSLCertVerificationError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            return 0, NO_ANSWER, False, 0
        except BaseException:
            connection.close()
            raise
        replayed = response.headers.get("Idempotent-Replayed") == "true"
        return response.status, answer, replayed, _retry_after_s(response.headers.get("Retry-After", ""))

    def _connection(self, timeout_s):
        """This thread's connection. It opens itself again after it was closed."""
        if not hasattr(self.local, "connection"):
            address = (self.url.hostname, self.url.port)
            self.local.connection = (http.client.HTTPSConnection(*address, context=self.tls) if self.tls
                                     else http.client.HTTPConnection(*address))
        connection = self.local.connection
        connection.timeout = timeout_s
        if connection.sock:
            connection.sock.settimeout(timeout_s)
        return connection


def _id(text):
    return urllib.parse.quote(text, safe="")


def _parse(response, text):
    """A success whose body is not JSON is not an answer of Holdfast, or is cut off: ValueError. The body of an
    error may be a proxy's: None."""
    if response.status == 304:
        return None
    is_json = "json" in response.headers.get("Content-Type", "")
    return json.loads(text) if response.status < 300 or is_json else None


def _retry_after_s(value):
    """Seconds, or a date, as seconds from now."""
    if value.isdigit():
        return int(value)
    date = email.utils.parsedate_tz(value)
    return max(0, email.utils.mktime_tz(date) - time.time()) if date else 0
