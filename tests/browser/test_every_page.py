#!/usr/bin/env python3
"""What every page must do, narrow and wide, light and dark: fit, be read by a screen reader's rules, be used
by keyboard, and keep still for those who ask for it. The pages' own tests are in the other files."""

import unittest

from browser import PAGES, SCHEMES, WIDTHS, BrowserTest

CHAPTERS = [path for path in PAGES if path.startswith("/guide/")]
DIFFERENT = [path for path in PAGES if path not in CHAPTERS[1:]]  # the chapters of the guide are alike
DRAWN = """
return document.querySelector("h1").textContent !== ""
    && getComputedStyle(document.querySelector("header.top")).display === "flex"
"""


class Pages(BrowserTest):
    def on_each(self, check, pages=tuple(DIFFERENT)):
        """Opens one page after the other, each as a subtest, which also checks what every page must not do."""
        for path in pages:
            with self.subTest(path):
                self.open(path)
                check()
                self.check_page()

    def test_fits(self):
        """No page scrolls sideways, at no width, and not with the text at twice its size on 1280 pixels."""
        def check():
            for width in (*WIDTHS, 640):
                for scheme in SCHEMES:
                    self.browser.emulate(width=width, scheme=scheme)
                    self.assertLessEqual(self.browser.js("return document.scrollingElement.scrollWidth"), width)
                    self.assertTrue(self.browser.js(DRAWN))
        self.on_each(check, PAGES)

    def test_scan(self):
        def check():
            for scheme, width in zip(SCHEMES, WIDTHS):
                self.browser.emulate(width=width, scheme=scheme)
                self.browser.settle()
                self.assertEqual(self.axe(), [], f"{width} pixels, {scheme}")
        self.on_each(check)

    def test_keyboard(self):
        """Tab reaches every control, and each shows that it has the focus."""
        def check():
            reached, shown = self.tab_through()
            wanted = self.controls()
            self.assertEqual([self.describe(node) for node in wanted if node not in reached], [], "not reached")
            self.assertEqual([self.describe(node) for node, yes in zip(reached, shown) if not yes], [], "without focus ring")
        self.on_each(check)

    def test_skip_link(self):
        self.open("/guide")
        self.press("\ue004")  # Tab
        self.assertEqual(self.browser.js("return document.activeElement.getAttribute('href')"), "#main")

    def test_preferences(self):
        """Nothing moves for those who ask for it. Cards and buttons keep an edge when the user's colours replace
        the page's."""
        def check():
            self.assertEqual(self.browser.js(
                "return document.getAnimations().filter(one => one.playState === 'running').length"), 0)
            self.assertEqual(self.browser.js("""
                return [...document.querySelectorAll("button, .button, .card")].filter(node => node.checkVisibility()
                    && !node.closest("#description") && parseFloat(getComputedStyle(node).borderTopWidth) === 0)
                    .map(node => node.outerHTML.slice(0, 100))"""), [])
        self.browser.emulate(motion="reduce", forced="active")
        self.on_each(check)


if __name__ == "__main__":
    unittest.main()
