#!/usr/bin/env python3
"""The pages for browsers: types, entity tags, headers, refusals, and a client that reads slowly. What they do
in a browser is in tests/browser."""

import os
import re
import socket
import time
import unittest

from cluster import ROOT, TestCase, at_once, call
from test_rolling import Balancer, need_haproxy

WEB = os.path.join(ROOT, "api/web")
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
BUNDLE = "/web/swagger-ui-bundle.js"


class Pages(TestCase):
    def setUp(self):
        self.service = self.cluster(self.sqlite().store)

    def get(self, path, **headers):
        return self.service.call("GET", path, **headers)

    def all(self):
        """Every page, and every file that it names or imports."""
        seen, todo = {}, ["/", "/shop", "/lab", "/docs", "/guide"]
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen[path] = answer = self.get(path)
            self.assertEqual(answer.status, 200, path)
            todo += re.findall(r'(?:src|href)="(/(?:web|guide)/[^"#?]+)"', answer.body)
            todo += [f"/web/{name}" for name in re.findall(r'from "\./([^"]+)"', answer.body)]
        return seen

    def test_files(self):
        """Each file of api/web is served, with its own bytes and its type."""
        types = {".html": "text/html", ".mjs": "text/javascript", ".css": "text/css"}
        for name in os.listdir(WEB):
            stem, suffix = os.path.splitext(name)
            if suffix not in types or name == "guide.html":
                continue
            with self.subTest(name):
                path = ("/" if stem == "index" else f"/{stem}") if suffix == ".html" else f"/web/{name}"
                answer = self.get(path)
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.headers["Content-Type"], types[suffix] + "; charset=utf-8")
                with open(os.path.join(WEB, name), encoding="utf-8", newline="") as file:
                    self.assertEqual(answer.body, file.read())

    def test_headers(self):
        tags = {}
        for path, answer in self.all().items():
            with self.subTest(path):
                self.assertEqual(answer.headers["Content-Security-Policy"], POLICY)
                self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
                self.assertEqual(answer.headers["Cache-Control"], "no-cache")
                self.assertEqual(tags.setdefault(answer.headers["ETag"], answer.body), answer.body)

    def test_html_holds_no_script_and_no_style(self):
        for path, answer in self.all().items():
            if answer.headers["Content-Type"].startswith("text/html"):
                with self.subTest(path):
                    self.assertNotRegex(answer.body, r"<script>|<script[^>]*>[^<]|<style| style=| on[a-z]+=|https?://[^\"]*\.m?js")
                    self.assertEqual(answer.body.count("<h1>"), 1)
                    self.assertNotRegex(answer.body, r"@(title|name|article)@")

    def test_guide(self):
        """Markdown has become HTML: links between its pages are addresses, others into the repository are gone."""
        for name in (name for name in os.listdir(os.path.join(ROOT, "guide")) if name.endswith(".md")):
            with self.subTest(name):
                stem = name.removesuffix(".md")
                answer = self.get("/guide" if stem == "README" else f"/guide/{stem}")
                self.assertEqual(answer.status, 200)
                self.assertIn(f'data-scenario="{"" if stem == "README" else stem}"', answer.body)
                self.assertNotRegex(answer.body, r'href="[^"]*\.md|href="\.')

    def test_entity_tags(self):
        tag = self.get("/lab").headers["ETag"]
        for sent, status in ((tag, 304), (f"W/{tag}", 304), (f'"v1", {tag}', 304), ("*", 304), ('"v1"', 200)):
            with self.subTest(sent):
                answer = self.get("/lab", If_None_Match=sent)
                self.assertEqual(answer.status, status)
                self.assertEqual(answer.headers["ETag"], tag)
                self.assertEqual(answer.body == "", status == 304)
        self.assert_problem(self.get("/lab", If_Match='"v1"'), 412, "version-mismatch")
        self.assert_problem(self.get("/lab", If_None_Match="nonsense"), 400, "malformed-request")

    def test_head(self):
        whole, head = self.get("/web/style.css"), self.service.call("HEAD", "/web/style.css")
        self.assertEqual((head.status, head.body), (200, ""))
        for name in ("Content-Type", "Content-Length", "ETag", "Content-Security-Policy"):
            self.assertEqual(head.headers[name], whole.headers[name])

    def test_refusals(self):
        for path in ("/web/nothing.css", "/guide/nothing", "/guide/README", "/web/index.html", "/web/guide.html",
                     "/web/vendor.sha512", "/web/router.c", "/guide/", "/web/", "/shop/", "/lab/x", "/web/a/b"):
            with self.subTest(path):
                answer = self.get(path)
                self.assert_problem(answer, 404, "not-found")
                self.assertNotIn("Content-Security-Policy", answer.headers)
        for path in ("/web/..", "/web/../router.c", "/web/%2e%2e", "/guide/%2e%2e%2fREADME", "/web/..%2f..%2fetc%2fpasswd",
                     "/web/style.css%00", "/web/style.css%2f", "/web/%5c..%5cstyle.css", "//web/style.css"):
            with self.subTest(path):
                self.assertIn(self.get(path).status, (400, 404, 422))
        for method in ("POST", "PUT", "PATCH"):
            answer = self.service.call(method, "/shop", {})
            self.assert_problem(answer, 405, "method-not-allowed")
            self.assertEqual(answer.headers["Allow"], "GET, HEAD")
        self.assert_problem(self.get("/shop?a=1"), 422, "unknown-field")

    def test_problem_pages_keep_their_policy(self):
        answer = self.get("/problems/out-of-stock")
        self.assertEqual(answer.headers["Content-Security-Policy"], "default-src 'none'; style-src 'unsafe-inline'")

    def test_with_tokens(self):
        """The pages load without a token; what they call asks for it."""
        cluster = self.cluster(self.sqlite().store, auth__admin_token="admin-0123456789", auth__client_token="client-0123456789")
        for path in ("/", "/shop", "/lab", "/docs", "/guide", "/web/style.css"):
            self.assertEqual(cluster.call("GET", path).status, 200, path)
        self.assert_problem(cluster.call("GET", "/v1/strategies"), 401, "unauthorized")

    def test_behind_haproxy(self):
        """The proxy, as shipped, passes every page on as it is."""
        need_haproxy()
        with Balancer(self.service.ports) as balancer:
            for path, direct in self.all().items():
                with self.subTest(path):
                    answer = call(balancer.port, "GET", path)
                    self.assertEqual((answer.status, answer.body), (200, direct.body))
                    for name in ("Content-Type", "ETag", "Content-Security-Policy", "Referrer-Policy"):
                        self.assertEqual(answer.headers[name], direct.headers[name])
                    again = call(balancer.port, "GET", path, If_None_Match=direct.headers["ETag"])
                    self.assertEqual((again.status, again.body), (304, ""))
            self.assertEqual(call(balancer.port, "GET", BUNDLE).body, self.get(BUNDLE).body)

    def test_slow_reader(self):
        """A large file reaches a client that reads slowly, whole, while others are served."""
        path = BUNDLE if self.get(BUNDLE).status == 200 else "/openapi.yaml"
        whole = self.get(path).body.encode()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(10)
            client.connect(("127.0.0.1", self.service.ports[0]))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            received, slowest = bytearray(), 0.0
            while part := client.recv(16384):
                received += part
                if len(received) < 200_000:
                    time.sleep(0.02)
                    begin = time.monotonic()
                    self.assertEqual(self.get("/livez").status, 200)
                    slowest = max(slowest, time.monotonic() - begin)
        self.assertEqual(bytes(received).split(b"\r\n\r\n", 1)[1], whole)
        self.assertLess(slowest, 2)

    def test_many_at_once(self):
        path = BUNDLE if self.get(BUNDLE).status == 200 else "/openapi.yaml"
        whole = self.get(path).body
        port = self.service.ports[0]
        for answer in at_once(*[lambda: call(port, "GET", path)] * 16):
            self.assertEqual(answer.body, whole)


if __name__ == "__main__":
    unittest.main()
