//! Long runs: a month in virtual time, which runs like any other test, and hours of the whole program in real time, on demand
//! (`scripts/soak.sh`).
//!
//! A test binary of its own, because the month checks the memory of its process.

mod daemon;
mod month;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, time::Duration};

use openseat::simulator::InjectedFault;

/// The resident memory of a process in kB, by its id or as `self`.
fn resident_kb(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux has this file");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line
        .expect("the status has VmRSS")
        .split_whitespace()
        .next();
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// A fault that all requests may have for a while.
fn fault(chance: &mut fastrand::Rng) -> InjectedFault {
    match chance.u8(..11) {
        0 => InjectedFault::WebPage(503),
        1 => InjectedFault::WebPage(200),
        2 => InjectedFault::InvalidToken,
        3 => InjectedFault::Forbidden,
        4 => InjectedFault::NotFound,
        5 => InjectedFault::Hang,
        6 => InjectedFault::Dropped,
        7 => InjectedFault::BrokenJson,
        8 => InjectedFault::Throttled(Some(Duration::from_secs(chance.u64(1..1_200)))),
        9 => InjectedFault::Redirect("https://elsewhere.invalid/".to_owned()),
        _ => InjectedFault::Slow(Duration::from_secs(8)),
    }
}
