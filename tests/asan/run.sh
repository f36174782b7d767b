#!/usr/bin/env bash
# The tests of the drivers that call C libraries (libext2fs, libntfs-3g), with AddressSanitizer in the Rust code and in the C shims: wrong use
# of heap, stack and globals, and what leaks. The libraries are Debian's, built without it: of them it sees malloc, free and what they hand to libc.
#
#   tests/asan/run.sh
#
# This compiler is a stable one, and its sanitizer is for those who say so (RUSTC_BOOTSTRAP): for this test alone.
set -euo pipefail
cd "$(dirname "$0")/../.."

tests/packages.sh test
export CARGO_INCREMENTAL=0 RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address
export CFLAGS_x86_64_unknown_linux_gnu='-fsanitize=address -fno-omit-frame-pointer -g'
# The libraries have no frame pointers: only the slow way sees who asked for memory that was lost.
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1:fast_unwind_on_malloc=0:malloc_context_size=6
export LSAN_OPTIONS=suppressions=$PWD/tests/asan/leaks.txt:print_suppressions=0
# Random edits: fewer than usual, each is watched.
export PROPTEST_CASES=${PROPTEST_CASES:-16}
# They call no library, and bound the time of the Rust code, or take minutes in here.
skipped=(--skip every_byte_of_the_boot_sector --skip random_damage_of_metadata --skip damaged_packed_bytes)
# See README.md: what is lost when a volume cannot be written.
skipped+=(--skip a_volume_that_cannot_be_written)

cargo test --quiet --no-fail-fast --tests --target x86_64-unknown-linux-gnu --target-dir target/asan \
    --config 'profile.dev.package."*".opt-level=1' -p ext2fs-sys -p ntfs3g-sys -p driver-fs-ext -p driver-fs-ntfs -- "${skipped[@]}"
