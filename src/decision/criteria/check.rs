//! A condition with its value, checked once when the config is read. After that, only the data can be wrong.

use serde_json::Value;

use super::{Comparison, Condition, DefinitionError, Literal, Measure, path::shortened};
use crate::model::quantity::Quantity;

/// How a measurement becomes accept or reject: a condition with a value of a type that fits it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    /// Compare a number with a threshold at decision time. The second field is the default threshold.
    Compare(Comparison, Quantity),
    /// Whether there are nodes, or none.
    Present(bool),
    /// Look at a node, and accept if the finding is `wanted`.
    Look { at: Look, wanted: bool },
}

/// What to look for in one node. Case matters, as it does in JSONPath.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// The node is this text.
    Equals(String),
    /// The node is text that contains this, or a list with this text as an element.
    ContainsText(String),
    /// The node is a list with this number as an element.
    ContainsNumber(Quantity),
    /// The node is text that begins with this.
    BeginsWith(String),
    /// The node is this truth value.
    Truth(bool),
}

impl Check {
    /// Combines a condition and its value.
    ///
    /// # Errors
    /// A value that is missing, superfluous, or of a type that never fits the condition.
    pub(super) fn new(
        condition: Condition,
        value: Option<&Literal>,
    ) -> Result<Self, DefinitionError> {
        let look = |at, wanted| Check::Look { at, wanted };
        let compare = |comparison| Ok(Check::Compare(comparison, threshold(condition, value)?));
        match condition {
            Condition::GreaterThan => compare(Comparison::GreaterThan),
            Condition::GreaterOrEqual => compare(Comparison::GreaterOrEqual),
            Condition::LessThan => compare(Comparison::LessThan),
            Condition::LessOrEqual => compare(Comparison::LessOrEqual),
            Condition::Equals => match equal(value) {
                Some(at) => Ok(look(at, true)),
                None => compare(Comparison::Equals),
            },
            Condition::NotEquals => match equal(value) {
                Some(at) => Ok(look(at, false)),
                None => compare(Comparison::NotEquals),
            },
            Condition::Contains => Ok(look(contained(condition, value)?, true)),
            Condition::NotContains => Ok(look(contained(condition, value)?, false)),
            Condition::BeginsWith => Ok(look(Look::BeginsWith(text(condition, value)?), true)),
            Condition::IsTrue => alone(condition, value, look(Look::Truth(true), true)),
            Condition::IsFalse => alone(condition, value, look(Look::Truth(false), true)),
            Condition::Exists => alone(condition, value, Check::Present(true)),
            Condition::NotExists => alone(condition, value, Check::Present(false)),
        }
    }

    /// Returns the measure to use if the config names none.
    pub(super) fn usual_measure(&self, path_names_one_node: bool) -> Measure {
        match self {
            Check::Present(_) => Measure::Exists,
            _ if path_names_one_node => Measure::Value,
            _ => Measure::Count,
        }
    }

    /// Returns the same check for the result of `measure`: whether nodes exist is a truth value too.
    ///
    /// # Errors
    /// A condition and a measure that can never fit together.
    pub(super) fn for_measure(self, measure: Measure) -> Result<Self, DefinitionError> {
        match (measure, self) {
            (Measure::Exists, Check::Look { at: Look::Truth(truth), wanted }) => {
                Ok(Check::Present(truth == wanted))
            }
            (Measure::Exists, Check::Present(wanted)) => Ok(Check::Present(wanted)),
            (Measure::Exists, _) => Err(wrong(
                "condition",
                "whether a path selects anything is a yes or a no: write condition = \"is_true\" or \"is_false\"".to_owned(),
            )),
            (Measure::Value, check) => Ok(check),
            (Measure::Count | Measure::Sum, Check::Compare(comparison, threshold)) => {
                Ok(Check::Compare(comparison, threshold))
            }
            (Measure::Count | Measure::Sum, Check::Present(_)) => Err(wrong(
                "measure",
                format!(
                    "a {} always exists: leave measure out to ask whether the path selects anything",
                    measure
                ),
            )),
            (Measure::Count | Measure::Sum, Check::Look { .. }) => Err(wrong(
                "condition",
                format!(
                    "a {} is a number: compare it with one, as in condition = \"greater_than\" and value = 0; what the rows \
                     must say goes into a filter, such as results[?@.status == 'Available']",
                    measure
                ),
            )),
        }
    }
}

impl Look {
    /// Returns whether the node matches, or the type that would be needed.
    pub(super) fn holds(&self, node: &Value) -> Result<bool, &'static str> {
        match (self, node) {
            (Look::Equals(wanted), Value::String(text)) => Ok(text == wanted),
            (Look::BeginsWith(start), Value::String(text)) => Ok(text.starts_with(start.as_str())),
            (Look::ContainsText(part), Value::String(text)) => Ok(text.contains(part.as_str())),
            (Look::ContainsText(wanted), Value::Array(list)) => {
                has(list, |element| element.as_str().map(|text| text == wanted))
                    .ok_or("a list of nothing but texts")
            }
            (Look::ContainsNumber(wanted), Value::Array(list)) => has(list, |element| {
                element.as_f64().map(|number| number == wanted.get())
            })
            .ok_or("a list of nothing but numbers"),
            (Look::Truth(wanted), Value::Bool(truth)) => Ok(truth == wanted),
            (Look::Equals(_) | Look::BeginsWith(_), _) => Err("text"),
            (Look::ContainsText(_), _) => Err("text or a list of texts"),
            (Look::ContainsNumber(_), _) => Err("a list of numbers"),
            (Look::Truth(_), _) => Err("true or false"),
        }
    }
}

/// Returns whether any element matches; `None` if an element has the wrong type.
fn has(list: &[Value], matches: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
    list.iter()
        .try_fold(false, |found, element| Some(found | matches(element)?))
}

fn threshold(condition: Condition, value: Option<&Literal>) -> Result<Quantity, DefinitionError> {
    match value {
        Some(Literal::Number(number)) => Ok(*number),
        // Like the built-in rule: one seat is enough.
        None if condition == Condition::GreaterThan => Ok(Quantity::ZERO),
        None => Err(missing(condition, "value = 2")),
        Some(Literal::Text(text)) if text.trim().parse::<Quantity>().is_ok() => {
            Err(wrong_value(format!(
                "\"{}\" is text, and {} compares numbers: write value = {} without quotes",
                shortened(text, 40),
                condition,
                shortened(text.trim(), 40)
            )))
        }
        Some(Literal::Text(_) | Literal::Bool(_)) => Err(wrong_value(format!(
            "{} compares numbers: write a number, as in value = 2",
            condition
        ))),
    }
}

/// Returns what to look for in a node that must equal this; `None` for numbers and if there is no value.
fn equal(value: Option<&Literal>) -> Option<Look> {
    match value? {
        Literal::Text(text) => Some(Look::Equals(text.clone())),
        Literal::Bool(truth) => Some(Look::Truth(*truth)),
        Literal::Number(_) => None,
    }
}

fn contained(condition: Condition, value: Option<&Literal>) -> Result<Look, DefinitionError> {
    match value {
        Some(Literal::Number(number)) => Ok(Look::ContainsNumber(*number)),
        _ => text(condition, value).map(Look::ContainsText),
    }
}

fn text(condition: Condition, value: Option<&Literal>) -> Result<String, DefinitionError> {
    match value {
        Some(Literal::Text(text)) if text.is_empty() => Err(wrong_value(format!(
            "every text fits {} with an empty value: write the text to look for",
            condition
        ))),
        Some(Literal::Text(text)) => Ok(text.clone()),
        Some(_) => Err(wrong_value(format!(
            "{} looks at text: put the value in quotes",
            condition
        ))),
        None => Err(missing(condition, "value = \"Available\"")),
    }
}

fn alone(
    condition: Condition,
    value: Option<&Literal>,
    check: Check,
) -> Result<Check, DefinitionError> {
    match value {
        None => Ok(check),
        Some(_) => Err(wrong_value(format!(
            "{} compares with nothing: leave value out",
            condition
        ))),
    }
}

fn missing(condition: Condition, example: &str) -> DefinitionError {
    wrong_value(format!(
        "{} needs a value to compare with, as in {example}",
        condition
    ))
}

fn wrong_value(message: String) -> DefinitionError {
    wrong("value", message)
}

fn wrong(key: &'static str, message: String) -> DefinitionError {
    DefinitionError { key, message }
}
