#!/usr/bin/env bash
# Formatting, clippy and rustdoc with warnings as errors, committed headers.
set -euo pipefail
cd "$(dirname "$0")/.."
# Crates outside of the workspace have the same style: rustfmt.toml at the root.
for crate in . platforms/qemu platforms/unikraft platforms/unikraft/tool fuzz bench; do
	(cd "$crate" && cargo fmt --all --check)
done
cargo clippy --workspace --all-targets --quiet -- -D warnings
# What is not of the workspace is built in a folder of its own there, so that nothing is built twice over.
outside() {
	(cd "$1" && CARGO_TARGET_DIR="$target/$2" cargo clippy --quiet "${@:3}" -- -D warnings)
}
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")/lint"
outside platforms/qemu image --release
outside platforms/qemu image --release --features tests
outside platforms/unikraft image --lib
outside platforms/unikraft/tool host --all-targets
outside fuzz host
outside bench host --workspace
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
cargo xtask headers --check
