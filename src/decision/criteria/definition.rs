//! A rule as the operator writes it, before it is compiled.

use serde::{Deserialize, Serialize};

use crate::model::quantity::Quantity;

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

/// What to make of the nodes that a path selects. An element of a list is a node; so is a `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many there are, `false` and `null` left out: rows count, and of truth values only the true ones.
    Count,
    /// The value of the only one. None, or more than one, is an unknown.
    Value,
    /// Their sum, `null` left out; 0 where there are none.
    Sum,
    /// Whether there is any, `false` and `null` included.
    Exists,
}

impl Measure {
    /// The word for it in the config.
    pub fn word(self) -> &'static str {
        match self {
            Measure::Count => "count",
            Measure::Value => "value",
            Measure::Sum => "sum",
            Measure::Exists => "exists",
        }
    }
}

/// How a measurement becomes a yes or a no; the words of the hosted integration.
///
/// Texts are compared as they stand: upper and lower case differ, and spaces count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// A number above the value, which is 0 where none is given.
    GreaterThan,
    /// A number that is the value or above.
    GreaterOrEqual,
    /// A number below the value.
    LessThan,
    /// A number that is the value or below.
    LessOrEqual,
    /// A number, a text or a truth value that is the value.
    Equals,
    /// A number, a text or a truth value that is not the value.
    NotEquals,
    /// A text with the value in it, or a list of texts or of numbers with the value as an element.
    Contains,
    /// The opposite of [`Contains`](Condition::Contains), of a text or a list all the same.
    NotContains,
    /// A text that begins with the value.
    BeginsWith,
    /// `true`.
    IsTrue,
    /// `false`.
    IsFalse,
    /// The path selects something, be it `null`.
    Exists,
    /// The path selects nothing.
    NotExists,
}

impl Condition {
    /// How the config and the dashboard spell them, in the order of the documentation.
    pub const WORDS: [&str; 13] = [
        "greater_than",
        "greater_or_equal",
        "less_than",
        "less_or_equal",
        "equals",
        "not_equals",
        "contains",
        "not_contains",
        "begins_with",
        "is_true",
        "is_false",
        "exists",
        "not_exists",
    ];
}

impl Condition {
    /// The word for it in the config.
    pub fn word(self) -> &'static str {
        match self {
            Condition::GreaterThan => "greater_than",
            Condition::GreaterOrEqual => "greater_or_equal",
            Condition::LessThan => "less_than",
            Condition::LessOrEqual => "less_or_equal",
            Condition::Equals => "equals",
            Condition::NotEquals => "not_equals",
            Condition::Contains => "contains",
            Condition::NotContains => "not_contains",
            Condition::BeginsWith => "begins_with",
            Condition::IsTrue => "is_true",
            Condition::IsFalse => "is_false",
            Condition::Exists => "exists",
            Condition::NotExists => "not_exists",
        }
    }
}

/// A value in the config to compare with.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The names say it.
pub enum Literal {
    Number(Quantity),
    Text(String),
    Bool(bool),
}

/// A rule that cannot be compiled: which key of the definition is at fault, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DefinitionError {
    /// `field`, `measure`, `condition` or `value`.
    pub key: &'static str,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

impl DefinitionError {
    /// The same error with what led to it in front.
    pub(super) fn after(self, what: String) -> Self {
        Self {
            message: format!("{what}, and {}", self.message),
            ..self
        }
    }
}
