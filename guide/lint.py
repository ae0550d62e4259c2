#!/usr/bin/env python3
"""The guide is whole: a page for each hazard of the laboratory, five parts a page, links that lead somewhere,
tests that exist, and a table of contents that agrees with its own checklist. Prints what is wrong, and exits with 1."""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PARTS = ["The story", "Run it", "The timeline", "The fix", "The test"]
LINES_MAX, WIDTH_MAX = 90, 120
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
# `name` in [file](../file), and further names before the file or in the next sentences.
NAME = re.compile(r"`([a-z][a-z0-9]*(?:[_-][a-z0-9]+){2,})`")

wrong = []


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def check(good, page, what):
    if not good:
        wrong.append(f"{page}: {what}")


def anchor(heading):
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def check_links(page, text):
    for _, target in LINK.findall(text):
        if target.startswith("http"):
            continue
        path, _, fragment = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        check(os.path.exists(os.path.join(ROOT, file)), page, f"no {target}")
        if fragment and os.path.exists(os.path.join(ROOT, file)):
            headings = re.findall(r"^#+ (.*)$", read(file), re.M)
            check(fragment in map(anchor, headings), page, f"no heading {target}")


def defined():
    """Names of tests, faults and mutants, each with the files that define it."""
    names = {}
    for folder, _, files in os.walk(os.path.join(ROOT, "tests")):
        for file in files:
            if file.endswith((".c", ".py")):
                path = os.path.relpath(os.path.join(folder, file), ROOT)
                for name in re.findall(r'START_TEST\((\w+)\)|def (test_\w+)\(|@fault\("([\w-]+)"|Mutant\("([\w-]+)"',
                                       read(path)):
                    names.setdefault("".join(name), set()).add(path)
    return names


def check_tests(page, text, names):
    """Each item names tests and then the files that have them."""
    found = False
    for item in re.split(r"^- |\n\n", text, flags=re.M):
        files = [os.path.normpath(os.path.join(os.path.dirname(page), target)) for _, target in LINK.findall(item)]
        mutants = re.findall(r"\./dev mutants ([a-z -]+)`", item)
        for name in NAME.findall(item) + [name for list_ in mutants for name in list_.split()]:
            found = True
            check(name in names, page, f"no test, fault or mutant {name}")
            if name in names and "mutants.py" not in "".join(names[name]):
                check(names[name] & set(files), page, f"{name} is not in {files}, but in {sorted(names[name])}")
    check(found, page, "names no test")
    hazard = "test_" + os.path.basename(page)[:-3].replace("-", "_")
    check(hazard in text and hazard in names, page, f"names no {hazard}")


def check_page(page, names):
    text = read(page)
    lines = text.splitlines()
    check(re.findall(r"^## (.*)$", text, re.M) == PARTS, page, f"expected the parts {PARTS}")
    check(len(lines) < LINES_MAX, page, f"{len(lines)} lines")
    for number, line in enumerate(lines, 1):
        check(len(line) <= WIDTH_MAX or line.startswith("|"), page, f"line {number} has {len(line)} characters")
    check("<" not in re.sub(r"^    .*$|`[^`]*`| < \d", "", text, flags=re.M), page, "raw HTML")
    check("Ask in a review:" in text, page, 'no "Ask in a review:"')
    check(f'"scenario": "{os.path.basename(page)[:-3]}"' in text, page, "does not start its own run")
    check_links(page, text)
    check_tests(page, text.partition("## The test")[2].partition("Ask in a review:")[0], names)


def check_contents(hazards):
    """The table of hazards lists the questions of the checklist that link to them."""
    page = "guide/README.md"
    text = read(page)
    check_links(page, text)
    questions = {hazard: [] for hazard in hazards}
    for number, links in re.findall(r"^\| (\d+) \|.*\|([^|]*)\|$", text, re.M):
        for _, target in LINK.findall(links):
            questions[target[:-3]].append(number)
    listed = dict(re.findall(r"^\| \[[^\]]*\]\(([a-z-]+)\.md\) \|[^|]*\| ([\d, ]+) \|$", text, re.M))
    check(listed == {hazard: ", ".join(numbers) for hazard, numbers in questions.items()}, page,
          f"the hazards' questions should be {questions}")


def main():
    hazards = re.findall(r'^        \.name = "([a-z-]+)",$', read("service/http/lab/scenario.c"), re.M)
    pages = {name[:-3] for name in os.listdir(HERE) if name.endswith(".md")} - {"README"}
    check(pages == set(hazards), "guide", f"pages and hazards differ: {sorted(pages ^ set(hazards))}")
    names = defined()
    for hazard in sorted(pages):
        check_page(f"guide/{hazard}.md", names)
    check_contents(sorted(pages))
    checklist = read("docs/checklist.md")
    check_links("docs/checklist.md", checklist)
    for hazard in sorted(pages):
        check(f"../guide/{hazard}.md" in checklist, "docs/checklist.md", f"does not link to {hazard}")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
