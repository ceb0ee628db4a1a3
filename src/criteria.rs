//! The rule that counts seats in a snapshot: the built-in one, or one that the operator wrote.
//!
//! A rule is compiled when the config is read and evaluated once per snapshot; a decision only compares the result with a
//! threshold.

use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// An operator's rule as the config spells it: `[account.queue.accept]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Which nodes of the response to look at: RFC 9535 JSONPath, or the hosted integration's short spelling of it.
    pub field: String,
    /// What to make of the nodes; by default the value of a path that can only name one node, else the count of nodes.
    pub measure: Option<Measure>,
    /// How the measurement becomes a yes or a no.
    pub condition: Condition,
    /// What to compare with.
    pub value: Option<Literal>,
}

/// What to make of the nodes that a path selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many there are, `false` and `null` left out.
    Count,
    /// The value of the only one.
    Value,
    /// Their sum.
    Sum,
    /// Whether there is any.
    Exists,
}

/// How a measurement becomes a yes or a no; the words of the hosted integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The names say it.
pub enum Condition {
    GreaterThan,
    GreaterOrEqual,
    LessThan,
    LessOrEqual,
    Equals,
    NotEquals,
    Contains,
    NotContains,
    BeginsWith,
    IsTrue,
    IsFalse,
    Exists,
    NotExists,
}

/// A value in the config to compare with.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The names say it.
pub enum Literal {
    Number(Quantity),
    Text(String),
    Bool(bool),
}

/// A rule, compiled.
#[derive(Debug)]
pub struct Criteria {}

/// A rule that cannot be compiled: which key of the definition is at fault, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DefinitionError {
    /// `field`, `measure`, `condition` or `value`.
    pub key: &'static str,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

impl Criteria {
    /// Compiles a rule.
    ///
    /// # Errors
    /// A path that does not parse, or a measure, condition and value that do not fit each other.
    pub fn compile(_definition: &Definition) -> Result<Self, DefinitionError> {
        unimplemented!("comes next")
    }

    /// What the count is compared with by default; `None` for rules that compare with no number.
    pub fn threshold(&self) -> Option<Quantity> {
        unimplemented!("comes next")
    }

    /// Evaluates the rule over the whole response: `{"count": …, "results": […]}`, all pages joined.
    ///
    /// # Errors
    /// [`Mismatch`], where the response does not have the types that the rule needs.
    pub fn measure(&self, _response: &serde_json::Value) -> Result<Measured, Mismatch> {
        unimplemented!("comes next")
    }
}

/// What a rule found in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Seats, or whatever the operator's rule measures; for rules that measure no number, 1 if they hold and else 0.
    pub count: Quantity,
    /// How the count becomes a yes or a no.
    pub verdict: Verdict,
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
    GreaterOrEqual,
    LessThan,
    LessOrEqual,
    Equals,
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
