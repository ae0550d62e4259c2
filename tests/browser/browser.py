"""A headless Chromium, and a test case with a service whose pages it opens.

Needs Debian's chromium, chromium-driver and python3-selenium. Without them a test is skipped, or fails if
HOLDFAST_TEST_REQUIRE is set. The service is that of tests/http/cluster.py.

Every test fails if the browser has sent a request to another origin, if a page has broken its
Content-Security-Policy, if a script has failed, or if a page or a file of it was not found.
"""

import atexit
import base64
import glob
import json
import os
import sys
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "http"))

from cluster import ROOT, Cluster, SqliteDatabase, call  # noqa: E402

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    MISSING = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromedriver") if not os.path.exists(path)), "")
except ImportError as error:
    MISSING = str(error)

GUIDE = sorted(os.path.basename(path)[:-3] for path in glob.glob(f"{ROOT}/guide/*.md"))
PAGES = ["/", "/shop", "/lab", "/docs", "/guide", *(f"/guide/{name}" for name in GUIDE if name != "README")]
WIDTHS = (360, 1280)
SCHEMES = ("light", "dark")
AXE = os.path.join(ROOT, "build/vendor/axe-core/axe.min.js")
SWAGGER = os.path.join(ROOT, "build/vendor/swagger-ui-dist")

# Runs before a page's own scripts: notes violations and errors, and when the page has last changed.
WATCH = """
window.watched = {violations: [], errors: [], changed: performance.now()};
addEventListener("securitypolicyviolation", event => watched.violations.push(
    `${event.effectiveDirective} forbids ${event.blockedURI} (${event.sourceFile}:${event.lineNumber}) ${event.sample}`));
addEventListener("error", event => watched.errors.push(event.message ?? String(event)));
addEventListener("unhandledrejection", event => watched.errors.push(String(event.reason)));
new MutationObserver(() => watched.changed = performance.now())
    .observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
"""

# All that Tab must reach. Of a group of radio buttons the keyboard reaches one.
CONTROLS = """
return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter(node =>
    !node.disabled && node.tabIndex >= 0 && node.checkVisibility({visibilityProperty: true})
    && node.getClientRects().length > 0 && !node.closest("[inert]")
    && !(node.type === "radio" && !node.checked
         && document.querySelector(`input[type=radio][name="${CSS.escape(node.name)}"]:checked`)))
"""


class Browser:
    """One Chromium. A viewport, colour scheme and motion are set by emulation, so it need not start again."""

    def __init__(self):
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
                         "--disable-background-networking", "--disable-component-update", "--no-first-run",
                         "--disable-extensions", "--hide-scrollbars", "--mute-audio"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_page_load_timeout(20)
        self.driver.set_script_timeout(20)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def cdp(self, method, **parameters):
        return self.driver.execute_cdp_cmd(method, parameters)

    def emulate(self, width=1280, height=800, scheme="light", motion="no-preference", forced="none"):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion},
            {"name": "forced-colors", "value": forced}])

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def settle(self, quiet_ms=150, limit_s=5):
        """Waits until the page has not changed for a while. A page that counts down changes all the time."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if self.js("return document.readyState === 'complete' && performance.now() - watched.changed > arguments[0]",
                       quiet_ms):
                return
            time.sleep(0.03)

    def screenshot(self, path):
        """The whole page, not only what the window shows."""
        height = self.js("return document.documentElement.scrollHeight")
        width = self.js("return innerWidth")
        image = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))


_browser = None


def browser():
    """The one browser of this process."""
    global _browser  # pylint: disable=global-statement
    if MISSING:
        if os.environ.get("HOLDFAST_TEST_REQUIRE"):
            raise AssertionError(f"no browser: {MISSING}")
        raise unittest.SkipTest(f"no browser: {MISSING}")
    if _browser is None:
        _browser = Browser()
        atexit.register(_browser.driver.quit)
    return _browser


def put_demo(port, **headers):
    """What `./dev run` puts into an empty database."""
    for path, body in (
            ("/v1/stock/SKU-1", {"title": "Teapot", "price_cents": 1999, "quantity": 100}),
            ("/v1/stock/SKU-2", {"title": "Mug", "price_cents": 1250, "quantity": 10}),
            ("/v1/stock/SKU-3", {"title": "Spoon", "price_cents": 333, "quantity": 1}),
            ("/v1/stock/SKU-4", {"title": "Tea towel", "price_cents": 799, "quantity": 25}),
            ("/v1/coupons/SPRING", {"total": 50, "per_user_limit": 1, "discount_percent": 10, "min_cents": 500}),
            ("/v1/lotteries/WHEEL", {"draws_per_user": 3, "blank_weight": 80, "prizes": [
                {"prize": "gold", "quantity": 1, "weight": 1}, {"prize": "silver", "quantity": 10, "weight": 19}]})):
        answer = call(port, "PUT", path, body, **headers)
        if answer.status not in (200, 201):
            raise AssertionError(answer)


class BrowserTest(unittest.TestCase):
    """Opens the pages of a service in laboratory mode on SQLite, with demo data. One service a class."""

    maxDiff = None
    settings = {"lab": "on"}
    tokens = {}  # header fields for the demo data

    @classmethod
    def setUpClass(cls):
        cls.browser = browser()
        database = SqliteDatabase()
        cls.addClassCleanup(database.drop)
        cls.service = cls.enterClassContext(Cluster(database.store, **cls.settings))
        put_demo(cls.service.ports[0], **cls.tokens)
        cls.origin = f"http://127.0.0.1:{cls.service.ports[0]}"

    def setUp(self):
        self.browser.emulate()
        self.browser.driver.get("about:blank")
        self.read_logs()  # those of an earlier test
        # Paths that may answer 404: a build without npm has no Swagger UI, and its page says so.
        self.allowed = set() if os.path.exists(SWAGGER) else {"/web/swagger-ui-bundle.js", "/web/swagger-ui.css"}

    def tearDown(self):
        self.check_page()
        self.check_logs()

    # ---- what no page may do

    def read_logs(self):
        driver = self.browser.driver
        return driver.get_log("browser"), [json.loads(entry["message"])["message"]
                                           for entry in driver.get_log("performance")]

    def check_page(self):
        """What the page that is open has noted. Call it before the next one is opened."""
        watched = self.browser.js("return window.watched ?? {violations: [], errors: []}")
        self.assertEqual(watched["violations"], [], "Content-Security-Policy")
        self.assertEqual(watched["errors"], [])

    def check_logs(self):
        console, events = self.read_logs()
        for event in events:
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                self.assertTrue(url.startswith((self.origin + "/", "data:", "about:", "blob:" + self.origin)),
                                f"a request to {url}")
            elif event["method"] == "Network.responseReceived":
                response = event["params"]["response"]
                path = urllib.parse.urlsplit(response["url"]).path
                # The API's own refusals are a part of what the pages show.
                if response["status"] >= 400 and not path.startswith(("/v1/", "/readyz")):
                    self.assertIn(path, self.allowed, f"{path} answered {response['status']}")
        for entry in console:
            if entry["level"] == "SEVERE" and entry["source"] != "network":
                self.fail(f"console: {entry['message']}")

    # ---- steps

    def open(self, path):
        self.browser.driver.get(self.origin + path)
        self.browser.settle()

    def find(self, selector):
        return self.browser.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector):
        return self.browser.driver.find_elements(By.CSS_SELECTOR, selector)

    def await_find(self, selector, limit_s=10):
        """Waits until the element is there and visible."""
        end = time.monotonic() + limit_s
        while not (found := [node for node in self.find_all(selector) if node.is_displayed()]):
            if time.monotonic() > end:
                self.fail(f"{selector} does not appear")
            time.sleep(0.05)
        return found[0]

    def text(self, selector="main"):
        """The text that is seen. (The innerText of a hidden element is not empty.)"""
        return self.browser.js("const node = document.querySelector(arguments[0]);"
                               " return node?.checkVisibility() ? node.innerText : ''", selector)

    def await_text(self, words, selector="main", limit_s=10):
        """Waits until the words stand in the element."""
        end = time.monotonic() + limit_s
        while words not in self.text(selector):
            if time.monotonic() > end:
                self.fail(f"{words!r} is not in {selector}:\n{self.text(selector)}")
            time.sleep(0.05)

    def press(self, *keys):
        ActionChains(self.browser.driver, duration=0).send_keys(*keys).perform()

    def tab_through(self, limit=400):
        """Presses Tab until it has been everywhere. Returns the elements and whether each shows its focus."""
        self.browser.js("document.activeElement?.blur(); scrollTo(0, 0); window.seen = new Map()")
        for _ in range(limit):
            self.press(Keys.TAB)
            if not self.browser.js("""
                    const node = document.activeElement;
                    if (node === document.body || node === null || seen.has(node))
                        return false;
                    const style = getComputedStyle(node);
                    seen.set(node, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0
                             || style.boxShadow !== "none");
                    return true;"""):
                break
        return self.browser.js("return [...seen.keys()]"), self.browser.js("return [...seen.values()]")

    def controls(self):
        return self.browser.js(CONTROLS)

    def describe(self, node):
        return self.browser.js("return arguments[0].outerHTML.slice(0, 160)", node)

    def axe(self):
        """Scans the open page for barriers. Returns what axe-core says of each."""
        if not os.path.exists(AXE):
            if os.environ.get("HOLDFAST_TEST_REQUIRE_NPM"):
                self.fail(f"{AXE} is missing")
            self.skipTest("axe-core is missing: npm or its registry could not be reached")
        if not self.browser.js("return 'axe' in window"):
            with open(AXE, encoding="utf-8") as file:
                self.browser.js(file.read())
        result = self.browser.driver.execute_async_script(
            "axe.run({resultTypes: ['violations']}).then(arguments[0])")
        return [f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:200]} {node['failureSummary']}"
                for rule in result["violations"] for node in rule["nodes"]]
