//! The result of a rule over one snapshot, and how it becomes accept or reject.

use serde::Serialize;

use crate::model::quantity::Quantity;

/// The result of a rule over one snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Seats, or what the operator's rule measures. For rules that measure no number, 1 if they hold, else 0.
    pub count: Quantity,
    /// How the count becomes accept or reject.
    pub verdict: Verdict,
}

impl Measured {
    /// Creates the result of a rule that measures no number.
    pub(super) fn decided(holds: bool) -> Self {
        Self {
            count: Quantity::from(u32::from(holds)),
            verdict: Verdict::Holds(holds),
        }
    }
}

/// How a measurement becomes accept or reject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Compare the count with the threshold at decision time.
    Compare(Comparison),
    /// The rule looks at text or truth values, and has already decided.
    Holds(bool),
}

/// Comparisons of a count with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Strictly greater: with a threshold of 0, one seat is enough.
    GreaterThan,
    /// Greater than the threshold, or equal to it.
    GreaterOrEqual,
    /// Strictly less.
    LessThan,
    /// Less than the threshold, or equal to it.
    LessOrEqual,
    /// Exactly the threshold.
    Equals,
    /// Anything but the threshold.
    NotEquals,
}

impl Comparison {
    /// Returns whether the comparison of `count` with `threshold` holds.
    pub fn holds(self, count: Quantity, threshold: Quantity) -> bool {
        match self {
            Comparison::GreaterThan => count > threshold,
            Comparison::GreaterOrEqual => count >= threshold,
            Comparison::LessThan => count < threshold,
            Comparison::LessOrEqual => count <= threshold,
            Comparison::Equals => count == threshold,
            Comparison::NotEquals => count != threshold,
        }
    }
}

/// CallTools sent something whose type does not fit the rule. This is an unknown, never a zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);
