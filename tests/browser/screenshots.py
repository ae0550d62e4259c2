#!/usr/bin/env python3
"""Writes a picture of each page into build/screenshots: narrow and wide, light and dark.

    python3 tests/browser/screenshots.py [PATH...]     such as /lab; all pages without

HOLDFAST_BIN names the program; `./dev screenshots` builds it and calls this.
"""

import os
import sys

from browser import PAGES, ROOT, SCHEMES, WIDTHS, BrowserTest


def main():
    folder = os.path.join(ROOT, "build/screenshots")
    os.makedirs(folder, exist_ok=True)
    BrowserTest.setUpClass()
    try:
        test = BrowserTest()
        for path in sys.argv[1:] or PAGES:
            for width in WIDTHS:
                for scheme in SCHEMES:
                    test.browser.emulate(width=width, height=740 if width == 360 else 800, scheme=scheme)
                    test.open(path)
                    name = path.strip("/").replace("/", "-") or "index"
                    file = os.path.join(folder, f"{name}-{width}-{scheme}.png")
                    test.browser.screenshot(file)
                    print(os.path.relpath(file))
    finally:
        BrowserTest.doClassCleanups()


if __name__ == "__main__":
    main()
