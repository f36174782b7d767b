#!/usr/bin/env bash
# Which lines of `formats/*/src/parse.rs` (and `parse/*.rs`) the tests of each room reach: a line for each file, with the lines that none reaches.
# Fails where a file is below 95 %.
#
#   tests/coverage/run.sh [ROOM...]      measures all rooms with such a file when none is named
#
# kcov counts, with breakpoints: the profiles of this compiler's LLVM are newer than what Debian's tools read. A room is built without
# optimisation, else lines vanish; the code that it is built on keeps its own. What stands below `#[cfg(test)]` does not count.
set -euo pipefail
cd "$(dirname "$0")/../.."

export CARGO_INCREMENTAL=0
# Random edits: what they reach, the first ones reach.
export PROPTEST_CASES=${PROPTEST_CASES:-16}
at_least=95
out=$PWD/target/coverage

say() { printf 'coverage: %s\n' "$*" >&2; }

mapfile -t all < <(printf '%s\n' formats/*/src/parse.rs | cut -d/ -f2)
rooms=("$@")
((${#rooms[@]})) || rooms=("${all[@]}")

tests/packages.sh test
if ! command -v kcov >/dev/null; then
    # packages.sh knows this suite where the machine needs it.
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    [[ $suite == bookworm ]] && suite=bookworm-backports
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -t "$suite" kcov >&2
fi

say "building"
mkdir -p "$out"
arguments=()
# All at once: fewer rooms have other features of the libraries, and build them again.
for room in "${all[@]}"; do
    arguments+=(-p "format-$room" --config "profile.dev.package.format-$room.opt-level=0")
done
cargo test --quiet --no-run --message-format=json "${arguments[@]}" >"$out/build.json"

# The test binaries of a room: a name and a path a line.
binaries() { # ROOM
    jq -r --arg folder "/formats/$1/Cargo.toml" \
        'select(.reason == "compiler-artifact" and .executable != null and .profile.test and (.manifest_path | endswith($folder)))
        | "\(.target.name) \(.executable)"' "$out/build.json"
}

# On a busy machine kcov may miss where the program was loaded, and then sees nothing at all: so it tries again.
measure() { # ROOM
    local name binary folder attempt
    rm -rf "${out:?}/$1"
    while read -r name binary; do
        folder=$out/$1/$name-${binary##*-}
        for attempt in 1 2 3; do
            rm -rf "$folder"
            mkdir -p "$folder"
            # As cargo does: tests look for their files below the room's folder. Tests that bound their time may fail in here.
            (cd "formats/$1" && CARGO_MANIFEST_DIR=$PWD timeout 900 kcov --include-path="$PWD/src" "$folder" "$binary") \
                >"$folder/log" 2>&1 </dev/null || say "$1: a test of $name failed, see $folder/log"
            if grep -q '^running 0 tests' "$folder/log" || grep -q 'lines-covered="[1-9]' "$folder"/*/cobertura.xml; then break; fi
            say "$1: nothing was seen of $name, attempt $attempt of 3"
        done
    done < <(binaries "$1")
}

for room in "${rooms[@]}"; do
    say "$room"
    measure "$room"
done
python3 tests/coverage/table.py "$out" "$at_least" "${rooms[@]}"
