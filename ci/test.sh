#!/usr/bin/env bash
# The whole test suite, as the README prints it.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo xtask test
