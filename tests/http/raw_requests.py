"""Raw requests, each with the answer that it must get: the table of test_raw.py.

KEY in a request stands for an idempotency key of its own. `statuses` are the statuses that are right; None
allows a connection that is closed without an answer. `closes`: the connection must be closed after the
answer, because the end of the request is not certain. Otherwise the next request must be answered on it.
A row with `closes` and 200 is carried out, and what stands behind it is not."""

import collections

Row = collections.namedtuple("Row", "name request statuses closes")

HOST = b"Host: shop.example\r\n"
JSON = b"Content-Type: application/json\r\n"
KEY = b"Idempotency-Key: KEY\r\n"
BODY = b'{"quantity":1}'
LENGTH = b"Content-Length: 14\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST = b"0\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\n"
POST = b"POST /v1/stock/S/deduct HTTP/1.1\r\n"
GOOD = HOST + JSON + KEY
HEAD_MAX = 8192  # bytes of the header section, with 64 more for each field
LIBRARY_MAX = 9728  # what the HTTP library can hold of a connection


def deduct(fields=LENGTH, body=BODY, line=POST, head=GOOD):
    return line + head + fields + b"\r\n" + body


def get(line, fields=HOST):
    return line + b"\r\n" + fields + b"\r\n"


def chunked(body, fields=CHUNKED):
    return deduct(fields, body)


def sized(size):
    """A GET whose header section counts for this many bytes: two fields."""
    rest = len(LIVEZ + HOST + b"X: \r\n\r\n") + 2 * 64
    return LIVEZ + HOST + b"X: " + b"v" * (size - rest) + b"\r\n\r\n"


def refused(cases, *statuses):
    return [Row(name, request, statuses or (400,), True) for name, request in cases.items()]


def answered(status, cases):
    return [Row(name, request, (status,), False) for name, request in cases.items()]


FRAMING = refused({
    "two Hosts": deduct(HOST + LENGTH),
    "no Host": deduct(head=JSON + KEY),
    "a blank in Host": deduct(head=b"Host: a b\r\n" + JSON + KEY),
    "two different lengths": deduct(LENGTH + b"Content-Length: 0\r\n"),
    "two equal lengths": deduct(LENGTH + LENGTH),
    "a list of lengths": deduct(b"Content-Length: 14, 14\r\n"),
    "a length with a sign": deduct(b"Content-Length: +14\r\n"),
    "a negative length": deduct(b"Content-Length: -1\r\n"),
    "a hexadecimal length": deduct(b"Content-Length: 0xe\r\n"),
    "a length in quotes": deduct(b'Content-Length: "14"\r\n'),
    "an empty length": deduct(b"Content-Length:\r\n"),
    "a length of blanks": deduct(b"Content-Length:  \r\n"),
    "a length with a letter": deduct(b"Content-Length: 14a\r\n"),
    "a length and chunked": deduct(b"Content-Length: 4\r\n" + CHUNKED),
    "chunked and a length": deduct(CHUNKED + b"Content-Length: 4\r\n"),
    "chunked twice": deduct(CHUNKED + CHUNKED),
    "chunked and identity": deduct(CHUNKED + b"Transfer-Encoding: identity\r\n"),
    "a blank before a colon": deduct(b"X : a\r\n" + LENGTH),
    "a blank before a length's colon": deduct(b"Content-Length : 14\r\n"),
    "a tab before a colon": deduct(b"X\t: a\r\n" + LENGTH),
    "a name that is no token": deduct(b"X(y): a\r\n" + LENGTH),
    "an empty name": deduct(b": a\r\n" + LENGTH),
    "no colon": deduct(b"X\r\n" + LENGTH),
    "folded": deduct(b"X: a\r\n b\r\n" + LENGTH),
    "folded with a tab": deduct(b"X: a\r\n\tb\r\n" + LENGTH),
    "a folded first line": deduct(head=b" X: a\r\n" + GOOD),
    "a folded length": deduct(b"Content-Length:\r\n 14\r\n"),
    "a bare LF": deduct(b"X: a\n" + LENGTH),
    "a bare LF in the last line": deduct(b"Content-Length: 14\n"),
    "a bare LF behind the request line": deduct(line=POST.replace(b"\r\n", b"\n")),
    "a bare LF as the empty line": POST + GOOD + LENGTH + b"\n" + BODY,
    "bare LFs only": (POST + GOOD + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "a bare CR": deduct(b"X: a\rY: b\r\n" + LENGTH),
    "CR CR LF": deduct(b"X: a\r\r\n" + LENGTH),
    "a NUL in a value": deduct(b"X: a\0b\r\n" + LENGTH),
    "a NUL at a value's end": deduct(b"X: a\0\r\n" + LENGTH),
    "a NUL in a name": deduct(b"X\0y: a\r\n" + LENGTH),
    "a control character in a value": deduct(b"X: a\x01b\r\n" + LENGTH),
    "DEL in a value": deduct(b"X: a\x7fb\r\n" + LENGTH),
    "two keys": deduct(b"Idempotency-Key: other\r\n" + LENGTH),
    "two equal keys": deduct(KEY + LENGTH),
    "two Authorizations": deduct(b"Authorization: Bearer a\r\n" * 2 + LENGTH),
    "two Content-Types": deduct(JSON + LENGTH),
    "a framing error on a route that is not there": deduct(LENGTH + LENGTH, line=b"POST /nothing HTTP/1.1\r\n"),
    "a framing error with a wrong media type": deduct(LENGTH + LENGTH, head=HOST + KEY),
    "a framing error without a body": LIVEZ + HOST + b"Content-Length: 0, 0\r\n\r\n",
})

CODINGS = refused({f"Transfer-Encoding: {coding}":
                   deduct(b"Transfer-Encoding: " + coding.encode("latin-1") + b"\r\n", b"e\r\n" + BODY + b"\r\n" + LAST)
                   for coding in ("gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked,", "xchunked",
                                  "identity", '"chunked"', "chunked;x=y", "\x0bchunked", "")}, 501, 400)

REQUEST_LINES = refused({
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "no version": get(b"GET /livez"),
    "two blanks": get(b"GET  /livez HTTP/1.1"),
    "a blank in the path": get(b"GET /li vez HTTP/1.1"),
    "a blank at the end": get(b"GET /livez HTTP/1.1 "),
    "a version in lower case": get(b"GET /livez http/1.1"),
    "a version with a blank": get(b"GET /livez HTTP /1.1"),
    "CR in the path": get(b"GET /livez\r HTTP/1.1"),
    "a control character in the path": get(b"GET /live\x01z HTTP/1.1"),
    "a path that is not ASCII": get(b"GET /live\xc3\xa4z HTTP/1.1"),
    "asterisk form": get(b"OPTIONS * HTTP/1.1"),
    "authority form": get(b"CONNECT shop.example:80 HTTP/1.1"),
    "absolute form": get(b"GET http://shop.example/livez HTTP/1.1"),
    "no slash": get(b"GET livez HTTP/1.1"),
    "a fragment": get(b"GET /livez#x HTTP/1.1"),
    "chunked in HTTP/1.0": deduct(CHUNKED, b"e\r\n" + BODY + b"\r\n" + LAST, POST.replace(b"1.1", b"1.0")),
}) + refused({  # 0.9.75 or 1.0 of the library closes the connection without a word
    "a blank at the start": get(b" GET /livez HTTP/1.1"),
    "a tab": get(b"GET\t/livez HTTP/1.1"),
    "a NUL in the method": get(b"GE\0T /livez HTTP/1.1"),
    "a NUL in the path": get(b"GET /livez\0.html HTTP/1.1"),
    "a NUL before the version": get(b"GET /livez\0 HTTP/1.1"),
}, None, 400) + refused({
    "the start of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2": get(b"GET /livez HTTP/2.0"),
    "HTTP/1.2": get(b"GET /livez HTTP/1.10"),
}, 400, 505) + refused({f"the method {method[:9]}": get(method.encode() + b" /livez HTTP/1.1") for method in
                        ("BREW", "get", "Get", "G(T", "X" * 200, "X" * 2000, "PROPFIND")}, 501, 400)

TARGETS = refused({f"the target {target}": get(b"GET " + target.encode() + b" HTTP/1.1") for target in (
    "/livez%00", "/livez%00.html", "/v1/stock/%00", "/v1/stock/A%0d%0aX:y", "/v1/stock/%0A", "/v1/stock/%7f",
    "/v1/stock/..", "/v1/stock/../../livez", "/v1/stock/%2e%2e", "/v1/stock/.%2E/x", "/v1/./stock", "/.", "/%2e",
    "/v1/stock/%", "/v1/stock/%4", "/v1/stock/%zz", "/v1\\stock", '/v1/stock/"a"', "/v1/stock?limit=1%00",
    "/v1/stock?limit=%")})

SIZES = [Row("a head at the limit", sized(HEAD_MAX), (200,), False)] + refused({
    "a length above the limit": deduct(b"Content-Length: 65537\r\n", b""),
    "a length that is far too large": deduct(b"Content-Length: 1000000000\r\n", b""),
    "a length of 2^63": deduct(b"Content-Length: 9223372036854775808\r\n", b""),
    "a chunk size beyond 64 bits": chunked(b"fffffffffffffffff\r\n" + BODY),
}, 413) + refused({
    "a length beyond 64 bits": deduct(b"Content-Length: 99999999999999999999999\r\n", b""),
}, 400, 413) + refused({
    "a head above the limit": sized(HEAD_MAX + 1),
    "a head that fits the library's memory no more": sized(LIBRARY_MAX + 200),
    "a head of twice the limit": sized(2 * HEAD_MAX),
    "a head of 64 KiB": sized(65536),
    "64 KiB without an end of line": LIVEZ + b"X: " + b"v" * 65536,
    "70 fields": LIVEZ + HOST + b"A: b\r\n" * 70 + b"\r\n",
}, 431) + refused({
    f"a target of {size} bytes": get(b"GET /v1/stock/" + b"A" * (size - 10) + b" HTTP/1.1")
    for size in (4096, 8192, 16384, 65536)
}, 414)

CHUNKS = [Row(name, chunked(body), (200,), True) for name, body in {
    "chunks": b"4\r\n{\"qu\r\na\r\nantity\":1}\r\n" + LAST,
    "a chunk in capitals": b"E\r\n" + BODY + b"\r\n" + LAST,
    "a chunk size with zeros": b"000e\r\n" + BODY + b"\r\n000\r\n\r\n",
    "a chunk extension": b"e;a=b\r\n" + BODY + b"\r\n" + LAST,
    "trailers": b"e\r\n" + BODY + b"\r\n0\r\nIdempotency-Key: other\r\n\r\n",
}.items()] + [Row(name, chunked(body), (200, 400), True) for name, body in {  # the first only before 1.0
    "chunks with bare LFs": b"e\n" + BODY + b"\n0\n\n",
    "a bare LF in a chunk extension": b"e;\nx\r\n" + BODY + b"\r\n" + LAST,
}.items()] + refused({
    "no chunk size": chunked(b"\r\n" + BODY + b"\r\n" + LAST),
    "a chunk size that is none": chunked(b"x\r\n" + BODY + b"\r\n" + LAST),
    "a negative chunk size": chunked(b"-e\r\n" + BODY + b"\r\n" + LAST),
    "a chunk size with 0x": chunked(b"0xe\r\n" + BODY + b"\r\n" + LAST),
    "a chunk size in blanks": chunked(b" e\r\n" + BODY + b"\r\n" + LAST),
    "no end of line behind a chunk": chunked(b"e\r\n" + BODY + LAST),
    "a chunk longer than its size": chunked(b"4\r\n" + BODY + b"\r\n" + LAST),
}) + refused({
    "a chunk size line of 16 KiB": chunked(b"e;" + b"x" * 16384 + b"\r\n" + BODY + b"\r\n" + LAST),
    "trailers of 16 KiB": chunked(b"e\r\n" + BODY + b"\r\n0\r\nX: " + b"x" * 16384 + b"\r\n\r\n"),
}, 413, 431)

VALID = answered(200, {
    "a blank line before": b"\r\n" + deduct(),
    "names in lower case": deduct(head=GOOD.lower().replace(b"key\r\n", b"KEY\r\n")),
    "no blanks before values": deduct(head=b"Host:a\r\nContent-Type:application/json\r\nIdempotency-Key:KEY\r\n"),
    "blanks around values": deduct(head=GOOD.replace(b": ", b": \t ").replace(b"\r\n", b" \t\r\n")),
    "charset=UTF-8": deduct(head=HOST + KEY + b"Content-Type: application/json; charset=UTF-8\r\n"),
    "a media type in capitals": deduct(head=HOST + KEY + b"content-type:Application/JSON\r\n"),
    "an empty value": deduct(b"X:\r\n" + LENGTH),
    "a tab in a value": deduct(b"X: a\tb\r\n" + LENGTH),
    "a length with zeros": deduct(b"Content-Length: 0014\r\n"),
    "Connection: keep-alive": deduct(b"Connection: keep-alive\r\n" + LENGTH),
    "Upgrade": deduct(b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LENGTH),
    "a GET with a body": get(b"GET /livez HTTP/1.1", HOST + b"Content-Length: 3\r\n") + b"abc",
    "HEAD": get(b"HEAD /livez HTTP/1.1"),
}) + [Row(name, request, (200,), True) for name, request in {
    "Connection: close": deduct(b"Connection: close\r\n" + LENGTH),
    "HTTP/1.0": deduct(line=POST.replace(b"1.1", b"1.0")),
    "HTTP/1.0 without Host": deduct(line=POST.replace(b"1.1", b"1.0"), head=JSON + KEY),
}.items()]

# Versions of the library differ in these: it refuses them, or takes the blank away.
VALID += [Row(name, request, (200, 400, 501), True) for name, request in {
    "a blank behind a length": deduct(b"Connection: close\r\nContent-Length: 14 \r\n"),
    "a blank behind chunked": chunked(b"e\r\n" + BODY + b"\r\n" + LAST, b"Transfer-Encoding: chunked \r\n"),
}.items()]

EXPECTATIONS = refused({
    f"Expect: {value}": deduct(b"Expect: " + value.encode() + b"\r\n" + LENGTH)
    for value in ("banana", "100-continue, banana", "banana\r\nExpect: 100-continue", "200-ok", "")
}, 417) + [
    # With or without the body behind it, it is not read as a request.
    Row("Expect: 100-continue that is refused", deduct(b"Expect: 100-continue\r\n" + LENGTH, head=HOST + KEY), (415,),
        True),
    Row("Expect: 100-continue that is refused, without the body",
        deduct(b"Expect: 100-continue\r\n" + LENGTH, b"", head=HOST + KEY), (415,), True),
]

REFUSALS = answered(404, {
    "no such route": deduct(line=b"POST /nothing HTTP/1.1\r\n"),
    "no such route, without a body": get(b"GET /nothing HTTP/1.1"),
    "no such product": deduct(line=b"POST /v1/stock/NONE/deduct HTTP/1.1\r\n"),
}) + answered(405, {
    f"{method} of /livez": get(method.encode() + b" /livez HTTP/1.1")
    for method in ("POST", "DELETE", "PATCH", "OPTIONS", "TRACE")
}) + answered(415, {
    "no media type": deduct(head=HOST + KEY),
    "text/plain": deduct(head=HOST + KEY + b"Content-Type: text/plain\r\n"),
    "a form": deduct(head=HOST + KEY + b"Content-Type: application/x-www-form-urlencoded\r\n"),
    "a longer media type": deduct(head=HOST + KEY + b"Content-Type: application/jsonx\r\n"),
    "another charset": deduct(head=HOST + KEY + b"Content-Type: application/json; charset=latin-1\r\n"),
}) + answered(422, {
    "a query parameter twice": get(b"GET /v1/stock?limit=1&limit=2 HTTP/1.1"),
    "an unknown query parameter": get(b"GET /livez?x=1 HTTP/1.1"),
    "a query on a deduct": deduct(line=b"POST /v1/stock/S/deduct?quantity=9 HTTP/1.1\r\n"),
    "an escaped slash in an id": get(b"GET /v1/stock/a%2Fb HTTP/1.1"),
    "a quantity of 0": deduct(body=b'{"quantity":0}'),
}) + answered(400, {
    "no key": deduct(head=HOST + JSON),
    "an empty key": deduct(head=HOST + JSON + b"Idempotency-Key: \r\n"),
    "a key with a blank": deduct(head=HOST + JSON + b"Idempotency-Key: a b\r\n"),
    "no body": deduct(b"", b""),
    "an empty body": deduct(b"Content-Length: 0\r\n", b""),
    "a BOM": deduct(b"Content-Length: 17\r\n", b"\xef\xbb\xbf" + BODY),
    "bytes behind the JSON": deduct(b"Content-Length: 15\r\n", BODY + b"x"),
    "a member twice": deduct(b"Content-Length: 27\r\n", b'{"quantity":1,"quantity":1}'),
    "17 levels": deduct(b"Content-Length: 46\r\n", b'{"quantity":' + b"[" * 16 + b"]" * 16 + b"} "),
})

ROWS = FRAMING + CODINGS + REQUEST_LINES + TARGETS + SIZES + CHUNKS + VALID + EXPECTATIONS + REFUSALS
