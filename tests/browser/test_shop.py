#!/usr/bin/env python3
"""The page /shop: two tabs that race for the last unit, reloads and lost answers in the middle of an order, and the
curl lines that it shows."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import unittest

from browser import ROOT, WATCH, BrowserTest, Keys, SqliteDatabase, put_demo

from cluster import Cluster, ledger

# After this the page sends its POSTs, and never hears the answers; or it does not even send them.
ANSWERS_LOST = "const real = fetch; fetch = async (url, sent) => { const answer = await real(url, sent);" \
               " return sent.method === 'POST' ? new Promise(() => {}) : answer; }"
REQUESTS_LOST = "const real = fetch; fetch = (url, sent) =>" \
                " sent.method === 'POST' ? new Promise(() => {}) : real(url, sent)"


class Shop(BrowserTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.forget)

    def forget(self):
        """Of this tab and its user's cart."""
        with contextlib.suppress(Exception):
            self.browser.js("sessionStorage.clear()")

    # ---- steps

    def call(self, *arguments, **named):
        return self.service.call(*arguments, **named)

    def product(self, sku, quantity):
        """A new product with this stock, which the page shows when it is opened next."""
        put = self.call("PUT", f"/v1/stock/{sku}", {"title": sku.title(), "price_cents": 1000, "quantity": quantity})
        self.assertEqual(put.status, 201)
        return sku

    def open_shop(self, user=None):
        self.open("/shop")
        self.await_text("SKU-1")
        if user:
            field = self.find("#user")
            field.clear()
            field.send_keys(user, Keys.ENTER)
            self.await_text(f"You shop as {user}.")

    def click(self, selector):
        self.browser.js("arguments[0].scrollIntoView({block: 'center'})", self.find(selector))
        self.find(selector).click()

    def put_into_cart(self, sku):
        self.click(f"[data-sku='{sku}'] button")

    def card(self, sku):
        return f"[data-sku='{sku}']"

    def shown_answer(self):
        """The newest request's answer, and its curl line."""
        entry = "#requests details"
        answer = self.browser.js("return document.querySelector(arguments[0]).querySelectorAll('dd > pre')", entry)[-2]
        return json.loads(answer.text), self.text(f"{entry} .curl")

    def second_tab(self):
        """Opens the page's link to a second tab, as another user. Returns both tabs."""
        driver = self.browser.driver
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        second = driver.current_window_handle
        self.browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self.addCleanup(self.close_tab, second, first)
        self.open("/shop#guest")
        self.await_text("SKU-1")
        return first, second

    def close_tab(self, tab, other):
        driver = self.browser.driver
        driver.switch_to.window(tab)
        self.check_page()
        driver.close()
        driver.switch_to.window(other)

    def reasons(self, counter):
        return [row["reason"] for row in ledger(self.service.ports[0], counter)]

    # ---- the race

    def test_two_tabs_race_for_the_last_unit(self):
        sku = self.product("race-1", 1)
        driver = self.browser.driver
        self.open_shop()
        tabs = self.second_tab()
        users = []
        moment = time.time() + 2
        for tab in tabs:
            driver.switch_to.window(tab)
            users.append(self.find("#user").get_attribute("value"))
            self.put_into_cart(sku)
            self.browser.js("setTimeout(() => document.getElementById('hold').click(), arguments[0] - Date.now())",
                            moment * 1000)
        self.assertEqual(users[0], "ann")
        self.assertRegex(users[1], "^guest-")

        outcomes = []
        for tab in tabs:
            driver.switch_to.window(tab)
            self.await_any(("Held: the units are yours", "Not enough in stock"), "#outcome-cart")
            outcomes.append("Held" if "Held: the" in self.text("#outcome-cart") else "refused")
            self.await_text("Sold out", self.card(sku))
        self.assertEqual(sorted(outcomes), ["Held", "refused"])
        self.assertEqual(self.reasons(f"stock/{sku}"), ["opening", "reserve"])

        winner, loser = tabs if outcomes[0] == "Held" else reversed(tabs)
        driver.switch_to.window(loser)
        self.await_text("Held by a buyer. The next hold ends at", self.card(sku))
        self.assertRegex(self.text(self.card(sku)), r"in 1[012]\d s")
        self.assertIn("409", self.text("#requests summary"))
        driver.switch_to.window(winner)
        self.click("#release")
        self.await_text("for sale again", "#outcome-cart")
        driver.switch_to.window(loser)
        self.await_text("The last one", self.card(sku))
        self.click("#order")
        self.await_text("is placed", "#outcome-checkout")
        driver.switch_to.window(winner)
        self.await_text("Sold out", self.card(sku))
        self.await_text("only a restock helps", self.card(sku))
        self.click("#order")
        self.await_text("Not enough in stock", "#outcome-checkout")
        self.assertEqual(self.call("GET", f"/v1/stock/{sku}").body["remaining"], 0)
        self.assertEqual(self.reasons(f"stock/{sku}"), ["opening", "reserve", "release", "order"])

    def await_any(self, words, selector):
        end = time.monotonic() + 10
        while not any(word in self.text(selector) for word in words):
            self.assertLess(time.monotonic(), end, self.text())
            time.sleep(0.05)

    # ---- reloads and lost connections

    def test_a_reload_in_the_middle_of_an_order(self):
        for name, lost in (("answer", ANSWERS_LOST), ("request", REQUESTS_LOST)):
            with self.subTest(name):
                sku = self.product(f"reload-{name}", 5)
                self.open_shop(f"reload-{name}")
                self.put_into_cart(sku)
                self.browser.js(lost)
                self.click("#order")
                key = self.pending_key()
                if name == "answer":
                    self.await_order(sku)
                self.check_page()
                self.open("/shop")
                self.await_text("is placed", "#outcome-checkout")
                self.assertIn(key, self.text("#requests"))
                self.assertEqual("Idempotent-Replayed" in self.text("#requests"), name == "answer")
                self.assertEqual(self.reasons(f"stock/{sku}"), ["opening", "order"])
                self.assertIsNone(self.pending())
                self.check_page()
                self.open("/shop")
                self.await_text("placed", "#orders")
                self.assertEqual(self.reasons(f"stock/{sku}"), ["opening", "order"])
                self.forget()

    def pending(self):
        return self.browser.js("return JSON.parse(sessionStorage.getItem('holdfast.shop')).pending")

    def pending_key(self):
        return self.pending()["key"]

    def await_order(self, sku):
        end = time.monotonic() + 10
        while "order" not in self.reasons(f"stock/{sku}"):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_the_service_goes_away_and_comes_back(self):
        sku = self.product("away-1", 5)
        self.open_shop("away")
        self.put_into_cart(sku)
        self.service.instances[0].kill()
        self.click("#hold")
        self.await_text("No answer from the service", "#offline")
        self.await_text("with the same key", "#outcome-cart")
        self.service.restart(0)
        self.await_text("Held: the units are yours", "#outcome-cart", 20)
        self.await_text("4 left", self.card(sku), 20)
        self.assertFalse(self.find("#offline").is_displayed())
        self.assertEqual(self.reasons(f"stock/{sku}"), ["opening", "reserve"])

    # ---- a whole purchase

    def test_a_purchase_with_everything(self):
        sku = self.product("whole-1", 5)
        self.open_shop("whole")
        self.click("#gift")
        self.await_text("whole has 100 points", "#outcome-who")
        self.click("#gift")
        self.await_text("This order has earned its points", "#outcome-who")
        self.put_into_cart(sku)
        self.click(f"#more-{sku}")
        self.click("#hold")
        self.await_text("Held for 1:5", "#held")
        self.await_text("3 left", self.card(sku))
        self.click("#extend")
        self.await_text("Held for longer", "#outcome-cart")
        self.assertFalse(self.find("#user").is_enabled())
        self.click("#issue")
        self.await_text("whole has the code", "#outcome-checkout")
        self.click("#check")
        self.await_text("worth 2.00 now", "#outcome-checkout")
        self.find("#points").clear()
        self.find("#points").send_keys("40")
        self.await_text("17.60", "#sum")
        self.assertEqual(self.axe(), [])
        self.browser.emulate(width=360)
        self.assertLessEqual(self.browser.js("return document.documentElement.scrollWidth"), 360)
        self.browser.emulate()
        self.click("#order")
        self.await_text("is placed: 18.00, 20 points earned", "#outcome-checkout")
        self.await_text("80 points", "#balance")
        self.click("#orders [id$='-refund-0']")
        self.await_text("Refunded: 9.00", "#outcome-orders")
        self.await_text("4 left", self.card(sku))
        self.click("#orders [id$='-cancel']")
        self.await_text("Cancelled: 9.00 and 40 points come back", "#outcome-orders")
        self.await_text("5 left", self.card(sku))
        self.await_text("100 points", "#balance")
        self.browser.emulate(motion="reduce")
        self.click("#spin")
        self.await_any(("A blank", "wins"), "#outcome-wheel")
        self.assertEqual(self.axe(), [])

    def test_the_curl_line_does_what_it_says(self):
        sku = self.product("curl-1", 5)
        self.open_shop("curl")
        self.put_into_cart(sku)
        self.click("#hold")
        self.await_text("Held: the units are yours", "#outcome-cart")
        answer, line = self.shown_answer()
        done = subprocess.run(["bash", "-ec", line + " -sS -i"], capture_output=True, text=True, check=True)
        head, _, body = done.stdout.partition("\n\n") if "\n\n" in done.stdout else done.stdout.partition("\r\n\r\n")
        self.assertIn("Idempotent-Replayed: true", head)
        self.assertEqual(json.loads(body), answer)
        fresh = re.sub("Idempotency-Key: [^']+", "Idempotency-Key: another", line)
        done = subprocess.run(["bash", "-ec", fresh + " -sS"], capture_output=True, text=True, check=True)
        self.assertEqual(json.loads(done.stdout)["legs"][0]["remaining"], answer["legs"][0]["remaining"] - 1)
        self.await_text("3 left", self.card(sku))

    def test_a_hold_that_ends(self):
        """The server says that the time is over, whatever the page believes."""
        sku = self.product("ends-1", 1)
        self.open_shop("ends")
        self.put_into_cart(sku)
        self.click("#hold")
        self.await_text("Held: the units are yours", "#outcome-cart")
        held = self.browser.js("return JSON.parse(sessionStorage.getItem('holdfast.shop')).reservation")
        self.call("POST", f"/v1/reservations/{held}/release", {}, "elsewhere")
        self.click("#extend")
        self.await_text("The reservation is resolved", "#outcome-cart")
        self.await_text("Not held", "#held")


class OtherShops(BrowserTest):
    """Services without demo data, or with tokens."""

    def serve(self, **settings):
        database = SqliteDatabase()
        self.addCleanup(database.drop)
        service = self.enterContext(Cluster(database.store, **settings))
        self.origin = f"http://127.0.0.1:{service.ports[0]}"
        self.addCleanup(self.browser.driver.get, "about:blank")
        return service

    def test_an_empty_catalogue(self):
        service = self.serve()
        self.open("/shop")
        self.await_text("The catalogue is empty", "#empty")
        self.assertEqual(self.axe(), [])
        self.find("#create").click()
        self.await_text("The demo products are there", "#outcome-products")
        self.await_text("Teapot", "#products")
        with open(os.path.join(ROOT, "dev"), encoding="utf-8") as file:
            puts = re.findall(r"put_demo \"\$url\" (\S+)[ \\\n]+'(.*?)'", file.read(), re.S)
        self.assertGreater(len(puts), 4)
        for path, body in puts:
            found = service.call("GET", path).body
            for name, value in json.loads(body).items():
                if name == "prizes":
                    found[name] = [{key: prize[key] for key in value[0]} for prize in found[name]]
                self.assertEqual(found["remaining" if name == "quantity" else name], value, path)

    def test_a_token(self):
        service = self.serve(auth__admin_token="a" * 20, auth__client_token="c" * 20)
        put_demo(service.ports[0], Authorization="Bearer " + "a" * 20)
        self.open("/shop")
        self.await_text("This service asks for a token", "#access")
        self.find("#access input").send_keys("c" * 20, Keys.ENTER)
        self.await_text("Teapot", "#products")
        self.find("[data-sku=SKU-1] button").click()
        self.find("#hold").click()
        self.await_text("Held: the units are yours", "#outcome-cart")
        self.assertIn('-H "Authorization: Bearer $TOKEN"', self.text("#requests .curl"))
        self.assertNotIn("c" * 20, self.browser.js("return document.documentElement.outerHTML"))


if __name__ == "__main__":
    sys.exit(unittest.main())
