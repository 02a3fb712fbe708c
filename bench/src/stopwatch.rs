//! Time of short things.

use std::time::Instant;

/// Nanoseconds per call of `batch`, which makes `calls` of them.
pub fn per_call(calls: u64, batch: impl FnOnce(u64)) -> f64 {
    let begin = Instant::now();
    batch(calls);
    begin.elapsed().as_nanos() as f64 / calls as f64
}

/// The least: what else the machine does can only add to a time.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().reduce(f64::min).unwrap_or(f64::NAN)
}

/// Calls that take about so many nanoseconds together, found by doubling.
#[allow(dead_code)] // one of the two programs that share this needs it
pub fn calls_for(ns: f64, mut batch: impl FnMut(u64)) -> u64 {
    let mut calls = 1;
    loop {
        let each = per_call(calls, &mut batch);
        if each * calls as f64 >= ns / 4.0 || calls >= 1 << 30 {
            return ((ns / each) as u64).max(1);
        }
        calls *= 2;
    }
}
