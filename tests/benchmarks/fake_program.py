"""What `benchmarks.ingesting.commands` runs instead of our own program: it works a little, and answers as that does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

WORK = 200_000


def main(arguments: list[str]) -> int:
    """The answer is the number of the source's lines, or `--limit`, and takes half a second a line by its own clock."""
    if "--help" in arguments:
        print("Options:\n  --workers N|auto  Processes.\n  --json  As JSON.")
        return 0
    if "broken" in arguments:
        print("Error: it is broken", file=sys.stderr)
        return 1
    sum(range(WORK))
    source = arguments[arguments.index("--source") + 1] if "--source" in arguments else arguments[1]
    read = len(Path(source).read_text().splitlines())
    if "--limit" in arguments:
        read = min(read, int(arguments[arguments.index("--limit") + 1]))
    answer: dict[str, object] = {"read": read, "seconds": read / 2}
    if arguments[0] == "ingest":
        answer["loading_seconds"] = read / 4
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
