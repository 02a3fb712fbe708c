//! Host-side tool.
fn main() {}
