//! The rule that counts seats in a snapshot: the built-in one, or one that the operator wrote.
//!
//! A rule is compiled when the config is read, and evaluated once per snapshot. A decision only compares the result with a threshold.
//!
//! [`seats()`] is the built-in rule. An operator's rule is a [`Definition`], which [`Criteria::compile`] rejects or makes ready:
//! - `path` selects nodes of the response. `scan` bounds what the JSONPath parser gets, `hints` explains common mistakes, `query` reads the
//!   structure of the path, and `cost` and `functions` keep the evaluation quick;
//! - `check` turns the nodes into a yes or a no.
//!
//! Both rules return a [`Measured`].

mod check;
mod cost;
mod definition;
mod functions;
mod hints;
mod measured;
mod path;
mod query;
mod renewal;
mod scan;
mod seats;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::{check::Check, path::Path};
pub use self::{
    definition::{Condition, Definition, DefinitionError, Literal, Measure},
    measured::{Comparison, Measured, Mismatch, Verdict},
    renewal::Renewal,
    seats::{BelowZero, Seat, SeatRule, Tally, only_other_names, seat, seats, threshold_of_seats},
};
use crate::model::quantity::Quantity;

/// A rule, compiled.
#[derive(Debug)]
pub struct Criteria {
    definition: Definition,
    path: Path,
    measure: Measure,
    check: Check,
}

/// Rules are equal if they are written the same.
impl PartialEq for Criteria {
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition
    }
}

impl Criteria {
    /// Compiles a rule.
    ///
    /// # Errors
    /// A path that does not parse, or a measure, condition and value that do not fit together.
    pub fn compile(definition: &Definition) -> Result<Self, DefinitionError> {
        let path = path_of(&definition.field)?;
        let check = Check::new(definition.condition, definition.value.as_ref())?;
        let usual = check.usual_measure(path.names_one_node());
        let measure = definition.measure.unwrap_or(usual);
        let check = check
            .for_measure(measure)
            .map_err(|error| match definition.measure {
                Some(_) => error,
                None => error.after(format!(
                    "{path} can select several nodes, so they are counted"
                )),
            })?;
        Ok(Self {
            definition: definition.clone(),
            path,
            measure,
            check,
        })
    }

    /// Checks the path of a rule, whatever the rest of it is.
    ///
    /// # Errors
    /// It does not parse.
    pub fn check_field(field: &str) -> Result<(), DefinitionError> {
        path_of(field).map(drop)
    }

    /// Checks that a condition and its value fit together, whatever the rest of the rule is.
    ///
    /// # Errors
    /// They do not.
    pub fn check_condition(
        condition: Condition,
        value: Option<&Literal>,
    ) -> Result<(), DefinitionError> {
        Check::new(condition, value).map(drop)
    }

    /// Returns the rule as it was written.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Returns how the nodes are measured, as written or by default.
    pub fn measured_by(&self) -> Measure {
        self.measure
    }

    /// Returns how many nodes of a response the path selects. If there are rows but no nodes, a field may be misspelt.
    ///
    /// # Errors
    /// Like [`measure`](Self::measure), if evaluating the path would take too long.
    pub fn selects(&self, response: &Value) -> Result<usize, Mismatch> {
        Ok(self.path.nodes(response)?.len())
    }

    /// Returns the default threshold; `None` for rules that do not compare numbers.
    pub fn threshold(&self) -> Option<Quantity> {
        match self.check {
            Check::Compare(_, threshold) => Some(threshold),
            Check::Present(_) | Check::Look { .. } => None,
        }
    }

    /// Returns which lists renew the result.
    pub fn renewal(&self) -> Renewal {
        self.path.renewal()
    }

    /// Evaluates the rule over the whole response: `{"count": …, "results": […]}`, all pages joined.
    ///
    /// # Errors
    /// [`Mismatch`], if the response does not have the types that the rule needs, or is so long that evaluating the path could take too
    /// long.
    pub fn measure(&self, response: &Value) -> Result<Measured, Mismatch> {
        let nodes = self.path.nodes(response)?;
        match &self.check {
            Check::Compare(comparison, _) => Ok(Measured {
                count: self.number(&nodes)?,
                verdict: Verdict::Compare(*comparison),
            }),
            Check::Present(wanted) => Ok(Measured::decided(nodes.is_empty() != *wanted)),
            Check::Look { at, wanted } => {
                let node = self.only(&nodes)?;
                let seen = at.holds(node).map_err(|needed| self.misfit(node, needed))?;
                Ok(Measured::decided(seen == *wanted))
            }
        }
    }

    fn number(&self, nodes: &[&Value]) -> Result<Quantity, Mismatch> {
        match self.measure {
            Measure::Count => Ok(Quantity::from(count(nodes))),
            Measure::Sum => self.sum(nodes),
            Measure::Value => self.quantity(self.only(nodes)?),
            // It is never compared with a number, but shown as a count.
            Measure::Exists => Ok(Quantity::from(u32::from(!nodes.is_empty()))),
        }
    }

    fn sum(&self, nodes: &[&Value]) -> Result<Quantity, Mismatch> {
        let numbers = nodes.iter().filter(|node| !node.is_null());
        let sum = numbers
            .map(|node| Ok(self.quantity(node)?.get()))
            .sum::<Result<f64, Mismatch>>()?;
        Quantity::new(sum)
            .ok_or_else(|| Mismatch(format!("{} adds up to no finite number", self.path)))
    }

    fn quantity(&self, node: &Value) -> Result<Quantity, Mismatch> {
        let number = node.as_f64().and_then(Quantity::new);
        number.ok_or_else(|| self.misfit(node, "a number"))
    }

    fn only<'a>(&self, nodes: &[&'a Value]) -> Result<&'a Value, Mismatch> {
        match nodes {
            [node] => Ok(node),
            [] => Err(Mismatch(format!(
                "{} selects nothing in this response: there is no value to look at",
                self.path
            ))),
            several => Err(Mismatch(format!(
                "{} selects {} nodes where one value is needed",
                self.path,
                several.len()
            ))),
        }
    }

    /// Names the type that was found, never the value: that may be long, or a person's name.
    fn misfit(&self, node: &Value, needed: &str) -> Mismatch {
        Mismatch(format!(
            "{} is {} where {needed} is needed",
            self.path,
            kind(node)
        ))
    }
}

fn path_of(field: &str) -> Result<Path, DefinitionError> {
    Path::parse(field).map_err(|message| DefinitionError {
        key: "field",
        message,
    })
}

/// Counts nodes, except `null` and `false`.
fn count(nodes: &[&Value]) -> usize {
    let says_no = |node: &Value| matches!(node, Value::Null | Value::Bool(false));
    nodes.iter().filter(|node| !says_no(node)).count()
}

fn kind(node: &Value) -> &'static str {
    match node {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
