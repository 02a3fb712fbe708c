#!/usr/bin/env bash
# The engine with less in it. For a CPU that it does not know: built and tested on this one, and checked for another one where its standard
# library is. Without packages, and terse: tested.
set -euo pipefail
cd "$(dirname "$0")/.."
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")/none"
export CARGO_TARGET_DIR="$target"
# What machine code alone uses is dead here.
export RUSTFLAGS='--cfg ubpf_arch="none" -D warnings -A dead_code'
cargo test --quiet -p ubpf-rs --lib -- tracer:: helpers::
cargo test --quiet -p ubpf-program-tests --test interpreter
export RUSTFLAGS='-D warnings -A dead_code'
cargo test --quiet -p ushell-rs --no-default-features --test less
cargo test --quiet -p ushell-rs --features terse --test less
cargo test --quiet -p ubpf-rs --lib --features terse,texts -- text::
foreign=aarch64-unknown-none
if [ -d "$(rustc --print sysroot)/lib/rustlib/$foreign" ]; then
	cargo check --quiet -p ubpf-rs -p ushell-rs --target "$foreign"
else
	echo "not checked for $foreign: rustup target add $foreign"
fi
