#!/usr/bin/env bash
# Formatting, clippy with warnings as errors, committed headers.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --workspace --all-targets --quiet -- -D warnings
cargo xtask headers --check
