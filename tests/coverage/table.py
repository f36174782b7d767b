"""Prints the table of run.sh: what kcov saw of each room's parse.rs, all test binaries of a room together.

    table.py FOLDER PERCENT ROOM...

FOLDER/ROOM holds kcov's reports. Exits with 1 where a file has less than PERCENT of its lines covered.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree


def covered(reports, source):
    """Line number -> whether any report saw it executed."""
    lines = {}
    for report in reports:
        for file in ElementTree.parse(report).iter("class"):
            if (Path("formats") / source).as_posix().endswith(file.get("filename").split("formats/")[-1]):
                for line in file.iter("line"):
                    number = int(line.get("number"))
                    lines[number] = lines.get(number, False) or int(line.get("hits")) > 0
    text = Path("formats", source).read_text().splitlines()
    tests = text.index("#[cfg(test)]") if "#[cfg(test)]" in text else len(text)
    return {number: hit for number, hit in lines.items() if number <= tests}


def runs(numbers):
    """`3-5 9` for 3, 4, 5, 9."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)


def main():
    folder, least, rooms = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    failed = False
    print("| file | lines | covered | percent | missing |\n|---|---:|---:|---:|---|")
    for room in rooms:
        reports = list(folder.glob(f"{room}/*/*/cobertura.xml"))
        source_folder = Path("formats", room, "src")
        for path in sorted([*source_folder.glob("parse.rs"), *source_folder.glob("parse/*.rs")]):
            source = path.relative_to("formats").as_posix()
            lines = covered(reports, source)
            if not lines:
                # A file of `mod` lines alone has none. One with functions has to have some.
                failed |= "fn " in path.read_text()
                print(f"| {source} | 0 | 0 | | |")
                continue
            hit = sum(lines.values())
            percent = 100 * hit / len(lines)
            failed |= percent < least
            missing = runs(sorted(number for number, is_hit in lines.items() if not is_hit))
            print(f"| {source} | {len(lines)} | {hit} | {percent:.1f} | {missing} |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
