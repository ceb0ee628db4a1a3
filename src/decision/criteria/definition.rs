//! A rule as the operator writes it in the config, before it is compiled.

use serde::{Deserialize, Serialize};
use strum::{Display, VariantNames};

use crate::model::quantity::Quantity;

/// An operator's rule as the config spells it: `[account.queue.accept]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Selects nodes of the response: an RFC 9535 JSONPath, or the hosted integration's short spelling of one.
    pub field: String,
    /// How to measure the nodes. By default, the value if the path can select only one node, else the number of nodes.
    pub measure: Option<Measure>,
    /// How the measurement becomes accept or reject.
    pub condition: Condition,
    /// The value to compare with.
    pub value: Option<Literal>,
}

/// How to measure the nodes that a path selects. Each element of a list is a node, and so is a `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Display, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Measure {
    /// Their number, without `false` and `null`: rows count, and of truth values only the true ones.
    Count,
    /// The value of the only one. No node, or several, is an unknown.
    Value,
    /// Their sum, without `null`; 0 if there are none.
    Sum,
    /// Whether there are any, `false` and `null` included.
    Exists,
}

/// How a measurement becomes accept or reject, named as in the hosted integration.
///
/// Text is compared exactly: case and spaces matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Display, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Condition {
    /// A number above the value, which is 0 by default.
    GreaterThan,
    /// A number at or above the value.
    GreaterOrEqual,
    /// A number below the value.
    LessThan,
    /// A number at or below the value.
    LessOrEqual,
    /// A number, text or truth value that equals the value.
    Equals,
    /// A number, text or truth value that does not equal the value.
    NotEquals,
    /// Text that contains the value, or a list of text or numbers with the value as an element.
    Contains,
    /// The opposite of [`Contains`](Condition::Contains), for text and lists alike.
    NotContains,
    /// Text that begins with the value.
    BeginsWith,
    /// `true`.
    IsTrue,
    /// `false`.
    IsFalse,
    /// The path selects something, even if it is `null`.
    Exists,
    /// The path selects nothing.
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

/// Why a rule cannot be compiled: the key at fault and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DefinitionError {
    /// `field`, `measure`, `condition` or `value`.
    pub key: &'static str,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

impl DefinitionError {
    /// The same error, with its cause in front.
    pub(super) fn after(self, what: String) -> Self {
        Self {
            message: format!("{what}, and {}", self.message),
            ..self
        }
    }
}
