//! The form that asks what another rule would have answered.

use maud::{Markup, html};
use serde::de::DeserializeOwned;
use serde_json::Value;
use strum::VariantNames;

use super::{
    period::Period,
    what_if::{OtherRule, Rule},
};
use crate::{
    decision::criteria::{Condition, Criteria, Definition, Literal},
    server::http::{params::Params, problem::Problem},
};

/// The names of the form's fields.
pub(super) const FIELDS: [&str; 5] = ["threshold", "field", "measure", "condition", "value"];

/// The form as filled in.
#[derive(Debug, Default)]
pub(super) struct Form([String; 5]);

impl Form {
    pub(super) fn from_params(params: &Params<'_>) -> Result<Self, Problem> {
        let mut form = Self::default();
        for (text, field) in form.0.iter_mut().zip(FIELDS) {
            *text = params.one(field)?.unwrap_or_default().trim().to_owned();
        }
        Ok(form)
    }

    /// Whether no rule is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.text("threshold").is_empty() && self.text("field").is_empty()
    }

    fn text(&self, field: &str) -> &str {
        let place = FIELDS.iter().position(|known| *known == field);
        place.map_or("", |place| &self.0[place])
    }

    /// Returns the rule that the form asks for; `None` if it is empty.
    ///
    /// # Errors
    /// A sentence that says why the form makes no sense.
    pub(super) fn other_rule(&self, rule: Option<Rule>) -> Result<Option<OtherRule>, String> {
        let threshold = match self.text("threshold") {
            "" => None,
            text => Some(text.parse().map_err(|_| "The threshold is not a number.")?),
        };
        if !self.text("field").is_empty() {
            let criteria = Criteria::compile(&self.definition()?)
                .map_err(|error| format!("The {}: {error}.", error.key))?;
            let threshold = threshold.or(criteria.threshold());
            return Ok(Some(OtherRule::Criteria(Box::new(criteria), threshold)));
        }
        match (threshold, rule) {
            (None, _) => Ok(None),
            (Some(threshold), Some(Rule::Compare(comparison, _))) => {
                Ok(Some(OtherRule::Rule(Rule::Compare(comparison, threshold))))
            }
            (Some(_), Some(Rule::Holds)) => Err(
                "This queue’s criteria do not compare a number, so no threshold can be tried."
                    .to_owned(),
            ),
            (Some(_), None) => {
                Err("It is not known yet what this queue’s rule compares.".to_owned())
            }
        }
    }

    fn definition(&self) -> Result<Definition, String> {
        let condition = match self.text("condition") {
            "" => Condition::GreaterThan,
            text => config_word(text).ok_or("There is no such condition.")?,
        };
        let measure = match self.text("measure") {
            "" => None,
            text => Some(config_word(text).ok_or("There is no such measure.")?),
        };
        Ok(Definition {
            field: self.text("field").to_owned(),
            measure,
            condition,
            value: literal(self.text("value")),
        })
    }
}

/// Parses a value that the config spells as one word.
fn config_word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

/// Parses a value as in the config, but text without quotation marks.
fn literal(text: &str) -> Option<Literal> {
    Some(match text {
        "" => return None,
        "true" => Literal::Bool(true),
        "false" => Literal::Bool(false),
        text => match text.parse() {
            Ok(number) => Literal::Number(number),
            Err(_) => Literal::Text(text.to_owned()),
        },
    })
}

/// Renders the form.
pub(super) fn form(form: &Form, address: &str, period: Period, rule: Option<Rule>) -> Markup {
    let option = |field: &str, value: &str, name: &str| {
        let selected = form.text(field) == value;
        html! { option value=(value) selected[selected] { (name) } }
    };
    html! {
        form.what_if method="get" action={ (address) "#what-if" } {
            input type="hidden" name="range" value=(period.as_str());
            div.field {
                label for="threshold" { "Threshold" }
                input #threshold name="threshold" inputmode="decimal" autocomplete="off" value=(form.text("threshold"))
                    placeholder=[rule.and_then(current)];
            }
            details open[!form.text("field").is_empty()] {
                summary { "Other criteria" }
                div.fields {
                    div.field.long {
                        label for="field" { "Field" }
                        input #field name="field" autocomplete="off" spellcheck="false" value=(form.text("field"))
                            placeholder="$.results[?@.status == 'Available']";
                    }
                    div.field {
                        label for="measure" { "Measure" }
                        select #measure name="measure" {
                            (option("measure", "", "automatic"))
                            @for value in ["count", "value", "sum", "exists"] { (option("measure", value, value)) }
                        }
                    }
                    div.field {
                        label for="condition" { "Condition" }
                        select #condition name="condition" {
                            @for word in Condition::VARIANTS { (option("condition", word, &word.replace('_', " "))) }
                        }
                    }
                    div.field {
                        label for="value" { "Value" }
                        input #value name="value" autocomplete="off" spellcheck="false" value=(form.text("value"));
                    }
                }
            }
            button type="submit" { "What if?" }
        }
    }
}

fn current(rule: Rule) -> Option<String> {
    match rule {
        Rule::Compare(_, threshold) => Some(format!("now {threshold}")),
        Rule::Holds => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decision::criteria::Comparison, model::quantity::Quantity};

    const ABOVE_0: Rule = Rule::Compare(Comparison::GreaterThan, Quantity::ZERO);

    fn filled(fields: &[(&str, &str)]) -> Form {
        let mut form = Form::default();
        for (field, text) in fields {
            let place = FIELDS.iter().position(|known| known == field);
            form.0[place.expect("a field")] = (*text).to_owned();
        }
        form
    }

    #[test]
    fn an_invalid_form_says_why() {
        let cases = [
            (
                filled(&[("threshold", "two")]),
                Some(ABOVE_0),
                "not a number",
            ),
            (
                filled(&[("threshold", "2")]),
                Some(Rule::Holds),
                "do not compare",
            ),
            (filled(&[("threshold", "2")]), None, "not known yet"),
            (filled(&[("field", "$.results[?")]), None, "The field: "),
            (
                filled(&[("field", "count"), ("condition", "is_near")]),
                None,
                "no such condition",
            ),
        ];
        for (form, rule, message) in cases {
            let error = form.other_rule(rule).expect_err(message);
            assert!(error.contains(message), "{error}");
        }
        assert!(matches!(Form::default().other_rule(None), Ok(None)));
    }
}
