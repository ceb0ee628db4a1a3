//! A condition and its value, checked against each other once, so that an evaluation has nothing left to refuse but the data.

use serde_json::Value;

use super::{Comparison, Condition, DefinitionError, Literal, Measure, path::shortened};
use crate::model::quantity::Quantity;

/// How a measurement becomes a yes or a no: a condition together with the kind of value that fits it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    /// Compare a number with the threshold at decision time; this is the default threshold.
    Compare(Comparison, Quantity),
    /// Whether there is any node, or none.
    Present(bool),
    /// Look at a node, and take the answer or its opposite.
    Look { at: Look, wanted: bool },
}

/// What to look for in one node. Upper and lower case differ everywhere, as they do in JSONPath.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// It is this text.
    Equals(String),
    /// It is text with this in it, or a list with this text as an element.
    ContainsText(String),
    /// It is a list with this number as an element.
    ContainsNumber(Quantity),
    /// It is text that begins so.
    BeginsWith(String),
    /// It is this truth value.
    Truth(bool),
}

impl Check {
    /// Puts a condition and its value together.
    ///
    /// # Errors
    /// A value that is missing, superfluous, or of a kind that the condition never fits.
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

    /// What to measure where the operator leaves that open.
    pub(super) fn usual_measure(&self, path_names_one_node: bool) -> Measure {
        match self {
            Check::Present(_) => Measure::Exists,
            _ if path_names_one_node => Measure::Value,
            _ => Measure::Count,
        }
    }

    /// The same check of what `measure` yields: whether nodes exist is a truth value too.
    ///
    /// # Errors
    /// Two that can never fit each other.
    pub(super) fn of(self, measure: Measure) -> Result<Self, DefinitionError> {
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
                    measure.word()
                ),
            )),
            (Measure::Count | Measure::Sum, Check::Look { .. }) => Err(wrong(
                "condition",
                format!(
                    "a {} is a number: compare it with one, as in condition = \"greater_than\" and value = 0; what the rows \
                     must say goes into a filter, such as results[?@.status == 'Available']",
                    measure.word()
                ),
            )),
        }
    }
}

impl Look {
    /// What the node says, or what kind of value would have been needed.
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

/// Whether any element matches; `None` where an element is of a kind that cannot be asked.
fn has(list: &[Value], matches: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
    list.iter()
        .try_fold(false, |found, element| Some(found | matches(element)?))
}

fn threshold(condition: Condition, value: Option<&Literal>) -> Result<Quantity, DefinitionError> {
    match value {
        Some(Literal::Number(number)) => Ok(*number),
        // As with the threshold of the built-in rule: any seat will do.
        None if condition == Condition::GreaterThan => Ok(Quantity::ZERO),
        None => Err(missing(condition, "value = 2")),
        Some(Literal::Text(text)) if text.trim().parse::<Quantity>().is_ok() => {
            Err(wrong_value(format!(
                "\"{}\" is text, and {} compares numbers: write value = {} without quotes",
                shortened(text, 40),
                condition.word(),
                shortened(text.trim(), 40)
            )))
        }
        Some(Literal::Text(_) | Literal::Bool(_)) => Err(wrong_value(format!(
            "{} compares numbers: write a number, as in value = 2",
            condition.word()
        ))),
    }
}

/// What to look for in a node that is to equal this; `None` where a number is compared, or nothing is given.
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
            condition.word()
        ))),
        Some(Literal::Text(text)) => Ok(text.clone()),
        Some(_) => Err(wrong_value(format!(
            "{} looks at text: put the value in quotes",
            condition.word()
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
            condition.word()
        ))),
    }
}

fn missing(condition: Condition, example: &str) -> DefinitionError {
    wrong_value(format!(
        "{} needs a value to compare with, as in {example}",
        condition.word()
    ))
}

fn wrong_value(message: String) -> DefinitionError {
    wrong("value", message)
}

fn wrong(key: &'static str, message: String) -> DefinitionError {
    DefinitionError { key, message }
}
