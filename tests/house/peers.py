"""docs/peers.md promises a test for each answer: every test it names is there, every thread has a row, and every row names a test or says that
there is no answer. Usage: peers.py SOURCE_DIR"""
import os
import re
import sys

REFERENCE = re.compile(r"`((?:unit|integration|scenarios|bench|house)/[\w/.]+?\.(?:c|py|sh))(?::(\w+))?`")
NO_ANSWER = ("Not available", "Not answered")
COMPLAINTS = 31


def references(root, line):
    for path, name in REFERENCE.findall(line):
        try:
            with open(os.path.join(root, "tests", path)) as f:
                text = f.read()
        except OSError:
            yield f"there is no tests/{path}"
            continue
        # Once where it is written, once where it is run.
        if name and len(re.findall(rf"\b{name}\b", text)) < 2:
            yield f"tests/{path} has no test {name}"


def problems(root):
    with open(os.path.join(root, "docs/peers.md")) as f:
        lines = f.read().splitlines()
    rows, answers = {}, 0
    for number, line in enumerate(lines, 1):
        for problem in references(root, line):
            yield f"docs/peers.md:{number}: {problem}"
        if not line.startswith("| ") or (number < len(lines) and lines[number].startswith("|---")):
            continue
        answers += 1
        if not REFERENCE.search(line) and not any(words in line for words in NO_ANSWER):
            yield f"docs/peers.md:{number}: neither a test nor the admission that there is none"
        if complaint := re.match(r"\| (\d+) \|", line):
            rows[int(complaint.group(1))] = number
    for missing in sorted(set(range(1, COMPLAINTS + 1)) - set(rows)):
        yield f"docs/peers.md: complaint {missing} has no row"
    if answers < COMPLAINTS + 30:
        yield f"docs/peers.md: only {answers} rows; the check looks in the wrong place"


if __name__ == "__main__":
    found = list(problems(sys.argv[1]))
    print("\n".join(found) or "every test that docs/peers.md names is there")
    sys.exit(1 if found else 0)
