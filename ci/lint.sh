#!/usr/bin/env bash
# Formatting, clippy with warnings as errors, committed headers.
set -euo pipefail
cd "$(dirname "$0")/.."
# Crates outside of the workspace have the same style: rustfmt.toml at the root.
for crate in . platforms/qemu platforms/unikraft platforms/unikraft/tool fuzz bench; do
	(cd "$crate" && cargo fmt --all --check)
done
cargo clippy --workspace --all-targets --quiet -- -D warnings
cargo xtask headers --check
