#!/usr/bin/env bash
# The main job on a fresh Debian 12: builds rehome and moves the sample EC2 machine to Hyper-V.
set -euo pipefail
cd "$(dirname "$0")"

out=${1:-demo-out}
say() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || say() { printf '\n%s\n' "$1"; }

say "Installing what the build needs"
tests/packages.sh build

say "Building (a few minutes the first time)"
cargo build --release -p rehome
rehome=target/release/rehome

say "What is in the disk that EC2 exported?"
"$rehome" inspect samples/ec2-debian.vmdk

say "Moving it to Hyper-V"
"$rehome" migrate samples/ec2-debian.vmdk --machine samples/ec2-debian.json --to hyperv --out "$out" --force

say "Is it still what was written?"
for image in "$out"/*.vhdx; do
    "$rehome" verify "$image"
done

say "Everything is in $out"
ls -l "$out"
