#!/usr/bin/env python3
"""The pages /, /docs and /guide, and the field for a token."""

import os
import unittest

from browser import GUIDE, SWAGGER, BrowserTest

TOKENS = {"auth.client_token": "client-0123456789", "auth.admin_token": "admin-0123456789"}


class Index(BrowserTest):
    def test_index(self):
        self.open("/")
        self.await_text("Healthy: everything can be served.")
        self.await_text("conditional for products, coupons, lotteries, points, reservations, orders")
        links = [link.get_attribute("href").removeprefix(self.origin) for link in self.find_all("main li a")]
        self.assertEqual(links, ["/lab", "/shop", "/guide", "/docs", "/openapi.yaml"])

    def test_health_follows(self):
        self.open("/")
        self.await_text("Healthy: everything can be served.")
        self.service.instances[0].kill()
        self.addCleanup(self.service.restart, 0)
        self.await_text("No answer. Is the service running?")
        self.assertEqual(self.text("#live"), "No answer. Is the service running?")

    def test_strategy_is_told(self):
        self.assertEqual(self.service.call("PUT", "/v1/strategies/lottery", {"strategy": "row-lock"}).status, 200)
        self.open("/")
        self.await_text("row-lock for lotteries")

    def test_docs(self):
        """The description is drawn, and a call is tried out."""
        if not os.path.exists(SWAGGER):
            if os.environ.get("HOLDFAST_TEST_REQUIRE_NPM"):
                self.fail("swagger-ui-dist is missing")
            self.open("/docs")
            self.await_text("built without npm")
            return
        self.open("/docs")
        self.await_text("Products and their remaining stock.")
        self.await_find("#operations-tag-stock").click()
        self.await_find("#operations-stock-getStock .opblock-summary-control").click()
        self.await_find("#operations-stock-getStock .try-out__btn").click()
        field = self.await_find("tr[data-param-name=sku] input")
        field.clear()
        field.send_keys("SKU-2")
        self.await_find("button.execute").click()
        self.await_find(".live-responses-table")
        self.await_text('"title": "Mug"', ".live-responses-table")
        self.assertEqual(self.axe(), [])

    def test_guide(self):
        """The contents lead to each page, and no link of the guide leads nowhere."""
        seen, todo = set(), ["/guide"]
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            self.open(path)
            self.check_page()
            links = self.browser.js("return [...document.querySelectorAll('main a[href]')].map(link => link.getAttribute('href'))")
            for link in links:
                address = link.split("#")[0].split("?")[0]
                self.assertRegex(link, "^(/|#|https://)")
                if address.startswith("/guide"):
                    todo.append(address)
                elif address.startswith("/") and address not in seen:
                    seen.add(address)
                    self.assertEqual(self.service.call("GET", address).status, 200, f"{link} on {path}")
        for name in GUIDE:
            self.assertIn("/guide" if name == "README" else f"/guide/{name}", seen)


class WithTokens(BrowserTest):
    settings = {"lab": "on", **{name.replace(".", "__"): token for name, token in TOKENS.items()}}
    tokens = {"Authorization": "Bearer " + TOKENS["auth.admin_token"]}

    def enter(self, token):
        self.find("main form.note input").send_keys(token)
        self.find("main form.note button").click()
        self.browser.settle()

    def test_token(self):
        self.open("/")
        self.browser.js("sessionStorage.clear()")
        self.open("/")
        self.await_text("Healthy: everything can be served.")
        self.await_text("This service asks for a token.")
        self.assertEqual(self.axe(), [])
        self.enter("wrong")
        self.await_text("The service refuses this token.")
        self.enter(TOKENS["auth.client_token"])
        self.await_text("conditional for products")
        self.await_text("The laboratory is open here.")
        self.assertEqual(self.find_all("main form.note"), [])
        self.assertEqual(self.browser.js("return location.href"), self.origin + "/")

    def test_laboratory(self):
        self.open("/lab")
        self.browser.js("sessionStorage.clear()")
        self.open("/lab")
        self.await_text("This service asks for a token.")
        self.assertEqual(len(self.find_all("main form.note")), 1)
        self.enter(TOKENS["auth.admin_token"])
        self.await_text("How many will be sold?")


class WithoutLaboratory(BrowserTest):
    settings = {}

    def test_it_says_so(self):
        for path in ("/lab", "/guide/lost-update"):
            with self.subTest(path):
                self.open(path)
                self.await_text("The laboratory is closed.")
                self.assertEqual(self.axe(), [])
        self.open("/")
        self.await_text("The laboratory is closed here.")


if __name__ == "__main__":
    unittest.main()
