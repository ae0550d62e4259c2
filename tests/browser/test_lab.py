#!/usr/bin/env python3
"""The page /lab: what it says is what the API says, a drawing has the same rows as its table, a link
restores all settings, and the visitor can be the scheduler. By keyboard too."""

import glob
import re
import sys
import threading
import time
import unittest

from browser import SCHEMES, WIDTHS, BrowserTest, Keys

LONGEST_MS = 100  # of a task, so that the page always answers within a blink
CROWD = "scenario=lost-update&strategy={}&buyers={}&units=50&think_ms={}&workers=16&seed=3"
LINK = {"scenario": "two-instances", "strategy": "lock-table", "buyers": "9", "units": "7", "think_ms": "11", "workers": "5",
        "instances": "2", "lock": "check-first", "combine": "false", "fence": "false", "belts": "true", "duplicates": "1",
        "lease_ms": "300", "sleep_ms": "20", "seed": "42"}

# The events that the page has drawn or listed: [seq, version, left] of each read and save.
MARKS = """return [...document.querySelectorAll("#timeline .mark")].map(mark => [mark.dataset.seq,
    ...(mark.matches(".read, .save") ? [mark.dataset.version, mark.querySelector(".count").textContent] : ["", ""]),
    mark.matches(".twice")])"""
ROWS = """return [...document.querySelectorAll("#timeline tbody tr")].map(row => [row.dataset.seq,
    row.cells[4].textContent, row.cells[5].textContent, row.cells[6].textContent.startsWith("saved")])"""
# The colour at a place of the overview, in shares of its width and height.
PIXEL = """
const canvas = document.querySelector("canvas.crowd");
return [...canvas.getContext("2d").getImageData(arguments[0] * canvas.width, arguments[1] * canvas.height, 1, 1).data]"""


def driven_by(path, ancestor):
    """Whether the process of a path in /proc descends from another."""
    pid = int(path.split("/")[2])
    while pid not in (0, 1, ancestor):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
    return pid == ancestor


class ProcessorTime:
    """Samples how much processor time the main thread of the open page has used. Linux only."""

    def __init__(self, page):
        self.samples = []  # seconds since 1970, ms of processor time
        self.done = threading.Event()
        before = self.renderers()
        page.js("let sum = 0; for (let i = 0; i < 4e8; i++) sum += i % 7; return sum")  # to be recognised by
        used = {path: time - before.get(path, 0) for path, time in self.renderers().items()}
        self.path = max((path for path in used if driven_by(path, page.driver.service.process.pid)), key=used.get)
        self.thread = threading.Thread(target=self.sample)

    @staticmethod
    def renderers():
        """The ns of processor time of each of Chromium's processes that run a page."""
        found = {}
        for path in glob.glob("/proc/[0-9]*"):
            try:
                with open(path + "/cmdline", "rb") as command, open(path + "/schedstat", encoding="ascii") as times:
                    if b"--type=renderer" in command.read():
                        found[path + "/schedstat"] = int(times.read().split()[0])
            except OSError:
                pass  # it has ended
        return found

    def sample(self):
        while not self.done.wait(0.005):
            with open(self.path, encoding="ascii") as file:
                self.samples.append((time.time(), int(file.read().split()[0]) / 1e6))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def between(self, start, end):
        """At most this much: from the last sample before `start` to the first after `end`."""
        return (next(used for at, used in self.samples if at >= end)
                - next(used for at, used in reversed(self.samples) if at <= start))


class Lab(BrowserTest):
    def open_lab(self, fragment=""):
        self.browser.driver.get("about:blank")  # else only the fragment changes
        self.open("/lab" + ("#" + fragment if fragment else ""))
        self.await_find("#lab:not([hidden])")

    def run_it(self, limit_s=60):
        """Presses Run and waits for the end. Returns what the API says about the run."""
        self.find("#run").click()
        return self.await_end(limit_s)

    def await_end(self, limit_s=60):
        end = time.monotonic() + limit_s
        while not self.browser.js("""return document.querySelector("#run").disabled === false
                && /^[✗✓]/.test(document.querySelector("#outcome .sentence").textContent)"""):
            self.assertLess(time.monotonic(), end, self.text("#crowd"))
            time.sleep(0.05)
        self.browser.settle()
        return self.last_run()

    def last_run(self, after=None):
        listed = self.service.call("GET", "/v1/lab/runs").body["run"]
        if after is None:
            return listed
        return self.service.call("GET", f"/v1/lab/runs/{listed['run']}?after={after}&limit=5000").body

    def events(self):
        events = []
        while True:
            part = self.last_run(len(events))
            events += part["events"]
            if not part["more"]:
                return events

    def said(self, selector):
        """The text of an element of a drawing."""
        return self.browser.js("return document.querySelector(arguments[0])?.textContent", selector)

    def numbers(self):
        return self.browser.js("return [...document.querySelectorAll('#outcome dd')].map(node => node.textContent)")

    # ---- the crowd

    def test_none_oversells(self):
        self.open_lab(CROWD.format("none", 100, 20))
        self.find("#guess").send_keys("50")
        verdict = self.run_it()["verdict"]
        self.assertGreater(verdict["excess"], 0)
        self.assertEqual(self.numbers(), ["50", str(verdict["sold"]), str(verdict["excess"])])
        self.assertEqual(self.text("#outcome .sentence"), "✗ " + verdict["sentence"])
        self.assertIn(f"Your guess was 50: {verdict['sold'] - 50} too few.", self.text("#guessed"))
        self.assertIn(verdict["sentence"], self.text("#live"))
        self.assertRegex(self.said("#timeline .link-text"), r"^(both|all \d+) read \d+$")
        for scheme, width in zip(SCHEMES, WIDTHS):
            self.browser.emulate(width=width, scheme=scheme)
            self.assertLessEqual(self.browser.js("return document.scrollingElement.scrollWidth"), width)
            self.assertEqual(self.axe(), [], scheme)

    def test_cancel(self):
        self.open_lab(CROWD.format("none", 500, 60))
        self.find("#run").click()
        self.await_text("Running …", "#outcome .sentence")
        self.find("#cancel").click()
        self.await_text("The run was cancelled.", "#outcome .sentence")
        self.await_text("cancelled", "#runs")

    def test_wrong_setting(self):
        """A field that is out of its range says so, also if it stands in closed details."""
        self.open_lab()
        before = self.last_run()
        self.browser.js("document.querySelector('#set-workers').value = 65")
        self.find("#run").click()
        self.assertTrue(self.find("#set-workers").is_displayed())
        self.assertEqual(self.last_run(), before)

    def test_guide(self):
        """A page of the guide runs its hazard, and leads to the lab with the same settings."""
        self.open("/guide/lost-update")
        for i, mark in ((1, "✗"), (2, "✓")):
            self.await_find(f".demo button:nth-of-type({i})").click()
            self.await_text(mark, ".demo .sentence")
            self.browser.settle()
            self.assertEqual(self.text(".demo .sentence"), f"{mark} {self.last_run()['verdict']['sentence']}")
            self.assertEqual(self.axe(), [])
        self.find(".demo a").click()
        self.await_find("#lab:not([hidden])")
        self.assertEqual(self.browser.js("return document.querySelector('#set-strategy').value"), "conditional")

    def test_conditional_does_not(self):
        self.open_lab(CROWD.format("conditional", 100, 20))
        verdict = self.run_it()["verdict"]
        self.assertEqual((verdict["sold"], verdict["excess"], verdict["violations"]), (50, 0, 0))
        self.assertEqual(self.numbers(), ["50", "50", "0"])
        self.assertEqual(self.text("#outcome .sentence"), "✓ " + verdict["sentence"])
        self.assertEqual(self.find_all("#timeline .twice"), [])

    def test_presets(self):
        """Every hazard's two buttons: the harm is shown, and is not."""
        self.open_lab()
        for scenario in self.service.call("GET", "/v1/lab/runs").body["scenarios"]:
            name = scenario["scenario"]
            for preset in ("harmful", "safe"):
                with self.subTest(name, preset=preset):
                    self.browser.js("""document.querySelector("#scenario").value = arguments[0];
                        document.querySelector("#scenario").dispatchEvent(new Event("change"))""", name)
                    self.find(f"#{preset}").click()
                    verdict = self.run_it()["verdict"]
                    harmed = verdict["violations"] > 0 or verdict["excess"] > 0
                    self.assertEqual(harmed, preset == "harmful", verdict)
                    self.assertEqual(self.text("#outcome .sentence"), f"{'✗' if harmed else '✓'} {verdict['sentence']}")
                    self.assert_drawn()

    def test_drawing_equals_table(self):
        self.open_lab(CROWD.format("none", 60, 10))
        self.run_it()
        self.assert_drawn()
        for _ in range(2):
            self.find("#timeline input[type=checkbox]").click()
            self.browser.settle()
            self.assert_drawn()

    def assert_drawn(self):
        """The drawing and the table of the timeline have the events of the API, and the overview all of them."""
        events = {event[0]: event for event in self.events()}
        marks, rows = self.browser.js(MARKS), self.browser.js(ROWS)
        self.assertEqual(marks, rows)
        self.assertTrue(marks)
        saves = [event[4] for event in events.values() if event[3] == "save"]
        for seq, version, left, twice in rows:
            event = events[int(seq)]
            told = [str(event[4]), str(event[5])] if event[3] in ("read", "save") else ["", ""]
            self.assertEqual([version, left], told)
            self.assertEqual(twice, event[3] == "save" and saves.count(event[4]) > 1)
        self.assertEqual(self.browser.js("return document.querySelector('canvas.crowd').dataset.drawn"), str(len(events)))

    def test_overview(self):
        """What the overview paints, and says of a row, is what the buyer did; and so does the table of all."""
        self.open_lab("scenario=lost-update&strategy=none&buyers=4&units=2&think_ms=50&workers=4&instances=1&combine=false&belts=false")
        self.run_it()
        events = self.events()
        order = list(dict.fromkeys(event[2] for event in events))
        end = max(event[1] for event in events)
        canvas = self.find("canvas.crowd")
        width, height = canvas.size["width"], canvas.size["height"]
        for row, actor in enumerate(order):
            own = [event for event in events if event[2] == actor]
            read, save = ([event[1] for event in own if event[3] == step][0] for step in ("read", "save"))
            y = (row + 0.5) / len(order)
            colours = {tuple(self.browser.js(PIXEL, (read + (save - read) * share / 40) / end * (1 - 5 / width), y))
                       for share in range(12, 36)}
            self.assertGreater(len(colours), 1, "hatched between read and save")
            self.browser.js("""arguments[0].dispatchEvent(new PointerEvent("pointermove", {clientX: 0, clientY: 0}))""", canvas)
            self.browser.js("""
                const box = arguments[0].getBoundingClientRect();
                arguments[0].dispatchEvent(new PointerEvent("pointermove",
                    {clientX: box.left + 5, clientY: box.top + arguments[1]}))""", canvas, y * height)
            self.assertTrue(self.text(".about").startswith(f"Buyer {actor + 1} sends the request"), self.text(".about"))
        self.find("#overview details summary").click()
        self.browser.settle()
        for row in self.browser.js("return [...document.querySelectorAll('#overview tbody tr')].map(row => "
                                   "[...row.cells].map(cell => cell.textContent))"):
            actor = int(re.sub(r"\D", "", row[0])) - 1
            save = [event for event in events if event[2] == actor and event[3] == "save"][0]
            self.assertEqual(row[4], f"version {save[4]}, {save[5]} left")
            self.assertEqual(row[6], "ok")

    def test_player(self):
        self.open_lab(CROWD.format("none", 20, 10))
        self.run_it()
        later = lambda: len(self.find_all("#timeline .mark.later"))  # noqa: E731
        total = len(self.find_all("#timeline .mark"))
        self.assertEqual(later(), 0)
        self.find("#timeline .drawing").send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
        self.assertEqual(later(), 2)
        self.assertEqual(self.text("#live"), self.text("#timeline .where"))
        self.find("#timeline input[type=range]").send_keys(Keys.ARROW_RIGHT)
        self.assertEqual(later(), 1)
        self.find("#timeline input[type=range]").send_keys(Keys.HOME)
        self.assertEqual(later(), total)
        self.browser.js("document.querySelector('#live').textContent = ''; document.querySelector('.player select').value = 30")
        self.find("#timeline .player button:nth-of-type(3)").click()
        time.sleep(0.3)
        self.assertEqual(self.text("#live"), "", "playing is not announced event by event")
        self.assertLess(later(), total)
        self.await_text("The timeline has ended.", "#live")
        self.assertEqual(later(), 0)

    def test_reduced_motion(self):
        self.browser.emulate(motion="reduce")
        self.open_lab(CROWD.format("none", 20, 10))
        self.run_it()
        self.assertFalse(self.find("#timeline .player button:nth-of-type(3)").is_enabled())
        self.find("#timeline .drawing").send_keys(Keys.ARROW_LEFT)
        self.assertEqual(len(self.find_all("#timeline .mark.later")), 1)

    def test_link(self):
        """A link restores every setting, the page's own link says the same, and another link replaces them."""
        self.open_lab("&".join(f"{name}={value}" for name, value in LINK.items()))
        shown = self.browser.js("""return Object.fromEntries([...document.querySelectorAll("#setup [name]")].map(field =>
            [field.name, field.type === "checkbox" ? String(field.checked) : field.value]))""")
        self.assertEqual(shown, LINK)
        self.find("#set-units").send_keys(Keys.ARROW_UP, Keys.TAB)
        fragment = self.browser.js("return location.hash.slice(1)")
        self.assertEqual(dict(pair.split("=") for pair in fragment.split("&")), {**LINK, "units": "8"})
        self.browser.js("location.hash = '#scenario=two-draws&buyers=5'")
        self.browser.settle()
        self.assertEqual(self.browser.js("return [scenario.value, document.querySelector('#set-buyers').value]"), ["two-draws", "5"])

    def test_comparison_and_sql(self):
        self.open_lab(CROWD.format("none", 20, 5))
        for strategy in ("none", "optimistic"):
            self.find(f"#set-strategy option[value={strategy}]").click()
            self.run_it()
        rows = [self.text(f"#runs tr:nth-child({i})") for i in (1, 2)]
        self.assertIn("none", rows[0])
        self.assertIn("optimistic", rows[1])
        self.assertEqual(self.text("#sql-name"), "optimistic")
        self.assertIn("[AND version = :version_read]", re.sub(r"\s+", " ", self.text("#sql-chosen")))
        self.assertEqual(self.browser.js("return getComputedStyle(document.querySelector('mark')).textDecorationLine"), "underline")
        self.assertIn("./dev load", self.text("#load-line"))

    def test_busy(self):
        """A run that goes on elsewhere is not replaced without asking."""
        other = self.service.call("POST", "/v1/lab/runs", {"scenario": "lost-update", "manual": True, "buyers": 2}).body
        self.open_lab(CROWD.format("conditional", 10, 1))
        self.find("#run").click()
        self.await_text("the laboratory does one run at a time.")
        self.find("#refused button").click()
        self.assertNotEqual(self.await_end()["run"], other["run"])

    def test_keyboard(self):
        """Both tabs without a pointer."""
        self.open_lab(CROWD.format("none", 20, 5))
        self.tab_to("#tab-crowd")
        self.press(Keys.ARROW_RIGHT)
        self.assertTrue(self.find("#scheduler").is_displayed())
        self.press(Keys.ARROW_RIGHT)
        self.assertTrue(self.find("#crowd").is_displayed())
        self.tab_to("#guess")
        self.press("30")
        self.tab_to("#run")
        self.press(Keys.ENTER)
        self.await_end()
        self.tab_to("#timeline .drawing")
        self.press(Keys.ARROW_LEFT)
        self.assertEqual(len(self.find_all("#timeline .mark.later")), 1)

    def tab_to(self, selector):
        for _ in range(80):
            if self.browser.js("return document.activeElement.matches(arguments[0])", selector):
                return
            self.press(Keys.TAB)
        self.fail(f"Tab does not reach {selector}")

    def test_longest_task(self):
        """1,000 buyers and 10,000 events hold up the page for no longer than LONGEST_MS. What counts is the
        processor time of the page's main thread, because other processes may interrupt a task."""
        self.open_lab("scenario=lost-update&strategy=optimistic&buyers=1000&units=1000&think_ms=1&workers=16"
                      "&instances=1&combine=false")
        used = ProcessorTime(self.browser)
        self.browser.js("""window.tasks = [];
            new PerformanceObserver(list => tasks.push(...list.getEntries().map(task =>
                [(performance.timeOrigin + task.startTime) / 1000, (performance.timeOrigin + task.startTime + task.duration) / 1000])))
                .observe({type: "longtask"})""")
        with used:
            run = self.run_it(limit_s=120)
            time.sleep(0.5)
        events = len(self.events())
        self.assertEqual(self.browser.js("return document.querySelector('canvas.crowd').dataset.drawn"), str(events))
        self.assertGreaterEqual(events, 10000)
        tasks = [((end - start) * 1000, used.between(start, end)) for start, end in self.browser.js("return tasks")]
        slowest, longest = max(task[0] for task in [(0, 0), *tasks]), max(task[1] for task in [(0, 0), *tasks])
        print(f"{run['counts']['requests']} buyers, {events} events: {len(tasks)} tasks over 50 ms, the longest {slowest:.0f} ms, "
              f"the one with most processor time {longest:.0f} ms", file=sys.stderr)
        self.assertLessEqual(longest, LONGEST_MS)

    # ---- you are the scheduler

    def open_game(self, strategy, steps=""):
        self.open_lab(f"tab=scheduler&scenario=lost-update&strategy={strategy}&buyers=2&units=1&steps={steps}")
        self.button("Start").click()
        self.await_find("#scheduler [data-actor='0']")
        self.await_idle()

    def button(self, text):
        return next(node for node in self.find_all("#scheduler button") if node.text.startswith(text))

    def await_idle(self):
        end = time.monotonic() + 10
        while self.browser.js("return document.querySelector('#scheduler').getAttribute('aria-busy') === 'true'"):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.03)
        self.browser.settle(50)

    def play(self, *steps):
        for actor, label in steps:
            button = self.find(f"#scheduler [data-actor='{actor}']")
            self.assertEqual(button.text, label)
            button.click()
            self.await_idle()

    RACE = ((0, "A: sends and decides"), (1, "B: sends and decides"), (0, "A: saves"), (1, "B: saves"))

    def test_scheduler_none(self):
        self.open_game("none")
        self.play(*self.RACE)
        self.await_text("✗ 2 sold of 1: 1 too many.", "#scheduler .sentence")
        self.assertEqual(self.last_run()["verdict"]["sold"], 2)
        self.assertEqual(self.said("#scheduler .link-text"), "both read 1")
        self.assertIn("Version 2, 0 left.", self.text("#scheduler .row-now"))
        self.assertIn("steps=0,1,0,1", self.browser.js("return location.hash"))
        self.assertEqual(self.axe(), [])

    def test_scheduler_conditional(self):
        self.open_game("conditional")
        self.play(*self.RACE)
        if self.find("#scheduler [data-actor='1']").is_enabled():
            self.play((1, "B: saves again"))
        self.await_text("✓ 1 sold of 1: right.", "#scheduler .sentence")

    def test_scheduler_undo(self):
        self.open_game("none", "0,1,0")
        self.assertEqual(self.find("#scheduler [data-actor='1']").text, "B: saves")
        self.button("Undo").click()
        self.await_idle()
        self.assertIn("steps=0,1", self.browser.js("return location.hash"))
        self.assertEqual(self.find("#scheduler [data-actor='0']").text, "A: saves")
        self.assertEqual([event[3] for event in self.events()].count("save"), 0)
        self.button("Start over").click()
        self.await_idle()
        self.assertEqual(self.events(), [])

    def test_scheduler_protection(self):
        """Where both presets have the same strategy, the protection is the lock's place."""
        for preset, words in (("harmful", "locks and saves"), ("safe", "reads")):
            self.open_lab(f"tab=scheduler&scenario=check-outside-lock&preset={preset}")
            self.button("Start").click()
            self.await_find("#scheduler [data-actor='0']").click()
            self.await_text(f"A: {words}", "#scheduler .actors")

    def test_scheduler_lock(self):
        """B waits while A has the lock, by keyboard only: the focus stays on the buttons."""
        self.open_game("mutex")
        self.tab_to("#scheduler [data-actor='0']")
        self.press(Keys.ENTER)
        self.await_idle()
        self.tab_to("#scheduler [data-actor='1']")
        self.press(Keys.ENTER)
        self.await_text("Waits for the lock.", "#scheduler .actors")
        self.await_idle()
        for label in ("A: reads", "A: saves", "A: leaves"):
            self.assertEqual(self.browser.js("return document.activeElement.textContent"), label)
            self.press(Keys.ENTER)
            self.await_idle()
        self.await_text("B: reads", "#scheduler .actors")


class Closed(BrowserTest):
    settings = {}

    def test_closed(self):
        self.open("/lab")
        self.await_text("The laboratory is closed.")
        self.await_text("./dev run")
        self.assertEqual(self.axe(), [])


if __name__ == "__main__":
    unittest.main()
