//! Timers by their names: `profile:99` and the like, where a function's name may stand.

use super::{AttachedProgram, Error, Refusal};
use crate::{
    platform::shown,
    tracer::{TimerPeriod, TRACER},
};
use alloc::{format, string::String};

const SECOND_NS: u64 = 1_000_000_000;
/// 100,000 times a second; nobody has a timer that is faster.
const SHORTEST_PERIOD_NS: u64 = 10_000;

/// The timer that a text names, `None` where it is the name of a function: `profile:HZ` counts the time of CPUs, `interval:` the clock's.
///
/// # Errors
/// [`Error::NoTimer`]: there is no such timer.
pub(super) fn named(text: &str) -> Option<Result<TimerPeriod, Error>> {
    let (kind, rest) = text.split_once(':')?;
    let by_clock = match kind {
        "profile" => false,
        "interval" => true,
        _ => return None,
    };
    let period = period_ns(rest, by_clock).map_err(|reason| Error::NoTimer(Refusal::new(shown(text), reason)));
    Some(period.map(|period_ns| TimerPeriod { period_ns, by_clock }))
}

/// `HZ` where the unit can be left out, `hz:N`, `s:N`, `ms:N` or `us:N`, as nanoseconds.
fn period_ns(text: &str, by_clock: bool) -> Result<u64, &'static str> {
    let (unit, number) = match text.split_once(':') {
        None if by_clock => return Err("say interval:s:N, interval:ms:N, interval:us:N or interval:hz:N"),
        None => ("hz", text),
        Some(parts) => parts,
    };
    let number: u64 = number.parse().map_err(|_| "it ends in no number")?;
    let period = match unit {
        "hz" => SECOND_NS.checked_div(number),
        "s" => number.checked_mul(SECOND_NS),
        "ms" => number.checked_mul(1_000_000),
        "us" => number.checked_mul(1_000),
        _ => return Err("units are hz, s, ms and us"),
    };
    let possible = SHORTEST_PERIOD_NS..=TimerPeriod::LONGEST_PERIOD_NS;
    period
        .filter(|period| possible.contains(period))
        .ok_or("1 to 100000 times a second, or once in up to an hour, is possible")
}

/// What is to be said of the first of these that is at a timer which is slower than was asked for.
pub(super) fn slower(attached: &[AttachedProgram]) -> Option<String> {
    attached.iter().find_map(|one| {
        let timer = named(&one.function)?.ok()?;
        let tick_ns = TRACER.tick_ns(timer);
        let there_is =
            |hz| format!("{} was asked for, and the timer of this platform ticks {hz} times a second", one.function);
        (tick_ns > timer.period_ns).then(|| there_is(SECOND_NS.checked_div(tick_ns).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_have_names() {
        let timer = |text| named(text).map(|timer| timer.map(|timer| (timer.period_ns, timer.by_clock)).map_err(drop));
        assert_eq!(timer("profile:99"), Some(Ok((10_101_010, false))));
        assert_eq!(timer("profile:hz:1000"), Some(Ok((1_000_000, false))));
        assert_eq!(timer("profile:ms:5"), Some(Ok((5_000_000, false))));
        assert_eq!(timer("interval:s:3600"), Some(Ok((TimerPeriod::LONGEST_PERIOD_NS, true))));
        assert_eq!(timer("interval:us:10"), Some(Ok((SHORTEST_PERIOD_NS, true))));
        for none in [
            "profile:",
            "profile:0",
            "profile:hz:0",
            "profile:100001",
            "profile:-1",
            "profile:x",
            "profile:99:1",
            "profile:m:1",
            "profile:18446744073709551616",
            "interval:5",
            "interval:s:3601",
            "interval:us:9",
            "interval:s:18446744073709551615",
        ] {
            assert_eq!(timer(none), Some(Err(())), "{none}");
        }
        for function in ["profile", "myfun", "std::profile", "profiles:99"] {
            assert_eq!(timer(function), None, "{function}");
        }
    }
}
