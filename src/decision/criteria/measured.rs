//! What a rule finds in one snapshot, and how that becomes accept or reject.

use serde::Serialize;

use crate::model::quantity::Quantity;

/// What a rule found in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Seats, or whatever the operator's rule measures; for rules that measure no number, 1 if they hold and else 0.
    pub count: Quantity,
    /// How the count becomes a yes or a no.
    pub verdict: Verdict,
}

impl Measured {
    /// The finding of a rule that measures no number.
    pub(super) fn decided(holds: bool) -> Self {
        Self {
            count: Quantity::from(u32::from(holds)),
            verdict: Verdict::Holds(holds),
        }
    }
}

/// How a measurement becomes a yes or a no.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Compare the count with the threshold at decision time.
    Compare(Comparison),
    /// The rule looks at texts or truth values, and has already decided.
    Holds(bool),
}

/// Comparisons of a count with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Strictly greater: with a threshold of 0, any seat will do.
    GreaterThan,
    /// The threshold itself will do.
    GreaterOrEqual,
    /// Strictly less.
    LessThan,
    /// The threshold itself will do.
    LessOrEqual,
    /// The threshold and nothing else.
    Equals,
    /// Anything but the threshold.
    NotEquals,
}

impl Comparison {
    /// Whether `count` compares so with `threshold`.
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

/// What CallTools sent does not have the type that the rule needs. An unknown, never a zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);
