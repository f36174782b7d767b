#!/usr/bin/env bash
# Builds the Debian package: program, man pages, completions. Needs cargo-deb (cargo install --locked cargo-deb).
#
#   convert/cli/packaging/deb.sh
set -euo pipefail
cd "$(dirname "$0")/../../.."

cargo build --release --locked -p rehome
cargo run --quiet -p xtask -- man target/deb/man
gzip -9nf target/deb/man/*.1
for shell in bash zsh fish; do target/release/rehome completions "$shell" >"target/deb/rehome.$shell"; done
cargo deb --no-build --locked -p rehome --output target/deb/
if command -v lintian >/dev/null; then lintian --fail-on error target/deb/*.deb; fi
