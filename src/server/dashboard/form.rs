//! The form in which somebody asks what another rule would have answered.

use maud::{Markup, html};
use serde::de::DeserializeOwned;
use serde_json::Value;
use strum::VariantNames;

use super::{history::Period, what_if::Rule};
use crate::{
    decision::criteria::{Condition, Criteria, Definition, Literal},
    model::quantity::Quantity,
    server::http::{params::Params, problem::Problem},
};

/// The names of the form's fields.
pub(super) const FIELDS: [&str; 5] = ["threshold", "field", "measure", "condition", "value"];

/// The form as somebody filled it in.
#[derive(Debug, Default)]
pub(super) struct Form([String; 5]);

/// The rule that somebody asks about.
#[derive(Debug)]
pub(super) enum Wish {
    Rule(Rule),
    Criteria(Box<Criteria>, Option<Quantity>),
}

impl Form {
    pub(super) fn parse(params: &Params<'_>) -> Result<Self, Problem> {
        let mut form = Self::default();
        for (text, field) in form.0.iter_mut().zip(FIELDS) {
            *text = params.one(field)?.unwrap_or_default().trim().to_owned();
        }
        Ok(form)
    }

    /// Whether nothing is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.text("threshold").is_empty() && self.text("field").is_empty()
    }

    fn text(&self, field: &str) -> &str {
        let place = FIELDS.iter().position(|known| *known == field);
        place.map_or("", |place| &self.0[place])
    }

    /// What is asked; nothing by an empty form. What cannot be asked says why.
    pub(super) fn wish(&self, rule: Option<Rule>) -> Result<Option<Wish>, String> {
        let threshold = match self.text("threshold") {
            "" => None,
            text => Some(text.parse().map_err(|_| "The threshold is not a number.")?),
        };
        if !self.text("field").is_empty() {
            let criteria = Criteria::compile(&self.definition()?)
                .map_err(|error| format!("The {}: {error}.", error.key))?;
            let threshold = threshold.or(criteria.threshold());
            return Ok(Some(Wish::Criteria(Box::new(criteria), threshold)));
        }
        match (threshold, rule) {
            (None, _) => Ok(None),
            (Some(threshold), Some(Rule::Compare(comparison, _))) => {
                Ok(Some(Wish::Rule(Rule::Compare(comparison, threshold))))
            }
            (Some(_), Some(Rule::Holds)) => {
                Err("This queue’s criteria compare with no number.".to_owned())
            }
            (Some(_), None) => {
                Err("Nothing is known yet of what this queue’s rule compares.".to_owned())
            }
        }
    }

    fn definition(&self) -> Result<Definition, String> {
        let condition = match self.text("condition") {
            "" => Condition::GreaterThan,
            text => word(text).ok_or("There is no such condition.")?,
        };
        let measure = match self.text("measure") {
            "" => None,
            text => Some(word(text).ok_or("There is no such measure.")?),
        };
        Ok(Definition {
            field: self.text("field").to_owned(),
            measure,
            condition,
            value: literal(self.text("value")),
        })
    }
}

/// A word of the config.
fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

/// A value as the config would have it, without the quotation marks.
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

/// The form.
pub(super) fn form(form: &Form, address: &str, period: Period, rule: Option<Rule>) -> Markup {
    let option = |field: &str, word: &str, name: &str| {
        let selected = form.text(field) == word;
        html! { option value=(word) selected[selected] { (name) } }
    };
    html! {
        form.what_if method="get" action={ (address) "#what-if" } {
            input type="hidden" name="range" value=(period.word());
            div.field {
                label for="threshold" { "Threshold" }
                input #threshold name="threshold" inputmode="decimal" autocomplete="off" value=(form.text("threshold"))
                    placeholder=[rule.and_then(present)];
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
                            (option("measure", "", "as usual"))
                            @for word in ["count", "value", "sum", "exists"] { (option("measure", word, word)) }
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

fn present(rule: Rule) -> Option<String> {
    match rule {
        Rule::Compare(_, threshold) => Some(format!("now {threshold}")),
        Rule::Holds => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::criteria::Comparison;

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
    fn what_cannot_be_asked_says_why() {
        let cases = [
            (
                filled(&[("threshold", "two")]),
                Some(ABOVE_0),
                "not a number",
            ),
            (
                filled(&[("threshold", "2")]),
                Some(Rule::Holds),
                "no number",
            ),
            (filled(&[("threshold", "2")]), None, "Nothing is known yet"),
            (filled(&[("field", "$.results[?")]), None, "The field: "),
            (
                filled(&[("field", "count"), ("condition", "is_near")]),
                None,
                "no such condition",
            ),
        ];
        for (form, rule, said) in cases {
            let error = form.wish(rule).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
        assert!(matches!(Form::default().wish(None), Ok(None)));
    }
}
