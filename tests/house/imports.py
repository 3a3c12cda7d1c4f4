"""The house rules that a compiler does not check: imports point one way, headers compile alone, private headers stay private,
no file is a catch-all. Usage: imports.py SOURCE_DIR"""
import os
import re
import sys

# What each folder may include besides itself (docs/ARCHITECTURE.md).
BELOW = {
    "base": set(),
    "data": {"base"},
    "artifacts": {"base"},
    "pipelines": {"base", "data", "artifacts"},
    "gates": {"base", "data", "artifacts", "pipelines"},
    "stages": {"base", "data", "artifacts", "pipelines", "gates"},
    "deployers": {"base", "data", "artifacts", "pipelines", "gates"},
    "runner": {"base", "data", "artifacts", "pipelines", "gates", "stages", "deployers"},
}
CATCH_ALL = re.compile(r"^(util|utils|misc|common|helper|helpers)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def too_long(path, lines):
    if len(lines) > 800:
        yield f"{path}: {len(lines)} lines; more than 800 is more than one concept"


def problems(root):
    files = 0
    for house, below in BELOW.items():
        for folder, _, names in os.walk(os.path.join(root, house)):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), root)
                if CATCH_ALL.match(name):
                    yield f"{path}: a name that says nothing; name the concept"
                if not name.endswith((".c", ".h")):
                    continue
                files += 1
                with open(os.path.join(folder, name)) as f:
                    lines = f.readlines()
                yield from too_long(path, lines)
                for number, line in enumerate(lines, 1):
                    match = INCLUDE.match(line)
                    if not match:
                        continue
                    target = match.group(1)
                    other = target.split("/")[0]
                    if other not in BELOW:
                        yield f'{path}:{number}: "{target}" is not named from the root of the tree'
                    elif other != house and other not in below:
                        yield f'{path}:{number}: {house} must not include "{target}": {other} stands above or beside it'
                    elif target.endswith("_priv.h") and os.path.dirname(target) != os.path.dirname(path):
                        yield f'{path}:{number}: "{target}" is private to its folder'
    for folder, _, names in os.walk(os.path.join(root, "tests")):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if CATCH_ALL.match(name):
                yield f"{path}: a name that says nothing; name the concept"
            if name.endswith((".c", ".h", ".py")):
                yield from too_long(path, open(os.path.join(folder, name)).readlines())
    if files < 50:
        yield f"only {files} sources found below {root}: the check looks in the wrong place"


if __name__ == "__main__":
    found = list(problems(sys.argv[1]))
    print("\n".join(found) or "imports point one way")
    sys.exit(1 if found else 0)
