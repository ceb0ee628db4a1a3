//! Plain sentences for people, instead of the codes and numbers that programs get.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::{
    clock::Moment,
    decision::{
        Decision, Policy, Reason,
        criteria::{Comparison, Verdict},
        snapshot::Snapshot,
        soon::rule::Prediction,
    },
    model::{fault::Fault, quantity::Quantity},
};

/// A duration: `34 s`, `5 min 12 s`, `2 h 5 min`, `3 d 4 h`. The script has the same rule.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (large, unit, small, part) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3_600 => (seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => (seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {part}"),
    }
}

/// A duration like [`span`], with tenths below ten seconds: `3.8 s`.
pub(super) fn period(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        _ => span(time),
    }
}

/// What is wrong. It omits how many seconds are left, since the text stays on the page while they pass.
pub(super) fn fault(fault: &Fault) -> String {
    capital(&fault.to_string())
}

/// The text with a capital letter and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = capital(text.trim());
    match text.ends_with(['.', '?', '!']) {
        true => text,
        false => format!("{text}."),
    }
}

/// `1 agent`, `7 agents`.
pub(super) fn counted(count: impl Into<Quantity>, noun: &str) -> String {
    let count = count.into();
    let one = count == Quantity::from(1_u32);
    format!("{count} {noun}{}", if one { "" } else { "s" })
}

/// A share in per cent. Only zero is 0 %, and only everything is 100 %.
pub(super) fn share(part: f64) -> String {
    match part * 100.0 {
        few if few > 0.0 && few < 1.0 => "less than 1 %".to_owned(),
        most if most > 99.0 && most < 100.0 => "more than 99 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// The condition under which a queue accepts, to follow "accepts".
pub(super) fn rule(policy: &Policy, snapshot: Option<&Snapshot>) -> String {
    let measured = snapshot.and_then(|snapshot| snapshot.measured.as_ref().ok());
    let Some(threshold) = policy.threshold else {
        return "as its criteria say".to_owned();
    };
    match measured.map(|measured| measured.verdict) {
        Some(Verdict::Compare(comparison)) => compared(comparison, threshold),
        _ => format!("by a threshold of {threshold}"),
    }
}

/// The numbers at which a comparison holds.
pub(super) fn compared(comparison: Comparison, threshold: Quantity) -> String {
    match comparison {
        Comparison::GreaterThan => format!("above {threshold}"),
        Comparison::GreaterOrEqual => format!("at {threshold} or more"),
        Comparison::LessThan => format!("below {threshold}"),
        Comparison::LessOrEqual => format!("at {threshold} or less"),
        Comparison::Equals => format!("at exactly {threshold}"),
        Comparison::NotEquals => format!("at any number but {threshold}"),
    }
}

/// How many more are needed until a comparison holds, as a whole number; `None` if more do not help.
pub(super) fn lacking(
    comparison: Comparison,
    count: Quantity,
    threshold: Quantity,
) -> Option<Quantity> {
    let least = match comparison {
        Comparison::GreaterThan => threshold.get().floor() + 1.0,
        Comparison::GreaterOrEqual => threshold.get(),
        Comparison::LessThan
        | Comparison::LessOrEqual
        | Comparison::Equals
        | Comparison::NotEquals => return None,
    };
    let lacks = (least - count.get()).ceil();
    Quantity::new(lacks).filter(|lacks| *lacks > Quantity::ZERO)
}

/// Until when a queue is closed, in its own time zone: `closed until Mon 08:00 (in 13 h)`; `None` if it is open.
pub(super) fn closed(policy: &Policy, decision: &Decision, now: Moment) -> Option<String> {
    let until = policy.closed_until(decision)?;
    let left = decision.turns?.shortest_since(now);
    Some(format!("closed until {until} (in {})", about(left)))
}

/// A duration in its largest unit, rounded up: `13 h`.
fn about(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes.div_ceil(60)),
        _ => format!("{} d", minutes.div_ceil(1_440)),
    }
}

/// Why a decision was made.
pub(super) fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Seats => "the rule holds",
        Reason::BelowThreshold => "the rule does not hold",
        Reason::Reserved => "its seats are held for calls on their way",
        Reason::Soon => "nobody is free, but somebody is likely to be when the call arrives",
        Reason::TooOld => "the data is too old",
        Reason::NeverPolled => "its first poll has not finished yet",
        Reason::BadToken => "CallTools does not accept the token",
        Reason::NoPermission => "the token may not read this queue",
        Reason::NoSuchQueue => "the account has no such queue",
        Reason::BudgetSpent => "the hour’s requests are spent",
        Reason::Throttled => "other software uses up this account’s requests",
        Reason::UpstreamDown => "CallTools sends no usable answer",
        Reason::ClusterDown => "the cluster’s engine cannot be used",
        Reason::Closed => "the queue is closed",
    }
}

/// Why a call is accepted at zero seats, with the percentage.
pub(super) fn soon(prediction: Option<Prediction>) -> String {
    let percent = prediction.map(|prediction| format!(" ({} % likely)", prediction.percent()));
    format!("{}{}", why(Reason::Soon), percent.unwrap_or_default())
}

/// An answer, as text.
pub(super) fn answer(accept: bool) -> &'static str {
    if accept { "accept" } else { "reject" }
}

/// Capitalizes a sentence. Faults begin with a lower-case letter, since the log puts text before them.
pub(super) fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}
