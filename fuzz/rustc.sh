#!/bin/sh
# The compiler for our own crates. It adds the counters that libFuzzer needs, as `cargo fuzz` does. Dependencies are built as usual
# and shared with other builds. Our code has no `unsafe`, so no sanitizer is needed: panics and overflows are found without one.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
