//! Engine, tracer and shell inside a Linux process.
