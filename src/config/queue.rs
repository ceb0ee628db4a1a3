//! `[[account.queue]]`: which queue, and when it has a seat.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use toml::de::DeValue;

use super::{
    Queue, QueueRef, Rule, Soon,
    keys::{self, HOSTED_FIELD},
    pasted::{self, NoId, is_address, is_id},
    section::Section,
    source::{Checked, Reported, all},
    value::{Value, integer_value},
};
use crate::{
    decision::{
        OnUnknown, Patience,
        criteria::{
            Condition, Criteria, Definition, DefinitionError, Literal, Measure, SeatRule,
            threshold_of_seats,
        },
        soon::rule::Terms,
    },
    model::{
        hours::{Entry, HoursError, OpeningHours, Zone},
        quantity::Quantity,
    },
};

const MAX_AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

const WHY_MAX_AGES: &str =
    "no budget polls more than once a second, and yesterday's agents say nothing about today's";

const FORGOTTEN_AFTER: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

const WHY_FORGOTTEN_AFTER: &str =
    "agents often wait a minute between calls, and more than a week has no effect";

const FRESH: RangeInclusive<Duration> = Duration::ZERO..=Patience::MAX_FRESH;

/// What to do about a queue whose name at CallTools is none that the config can have.
const INSTEAD_OF_NAME: &str =
    "; write the queue's id instead, the number in the address of its settings page";

const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Patience::MAX_WAIT;

const WHY_WAIT: &str = "nobody holds a ringing call for longer than a few seconds";

/// The most lines of opening hours: several times a day on each day of a week, and some to spare.
const MAX_ENTRIES: usize = 50;

const LEAD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(25);

const WHY_LEAD: &str = "announcements, transfer and ringing hardly take longer together, and no prediction reaches that far";

const CALLERS_PATIENCE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

const WHY_CALLERS_PATIENCE: &str =
    "a call that may wait for more than a minute needs no prediction";

/// Reads one `[[account.queue]]`.
pub(super) fn queue(section: &Section<'_>) -> Checked<Queue> {
    let reference = section.required("queue", reference);
    let max_age = section.optional("max_age", |value| value.duration(MAX_AGES, WHY_MAX_AGES));
    let on_unknown = section.optional("on_unknown", |value| value.one_of::<OnUnknown>());
    let threshold = section.optional("threshold", Value::quantity);
    let hours = hours(section);
    let patience = patience(section);
    let rule = rule(section, threshold);
    let soon = soon(section);
    let reference = reference?;
    let (rule, threshold) = rule?;
    let soon = soon?;
    Ok(Queue {
        spelling: reference.to_string().into(),
        reference,
        rule,
        threshold,
        max_age: max_age?,
        on_unknown: on_unknown?.unwrap_or_default(),
        hours: hours?,
        patience: patience?,
        soon,
    })
}

/// Reads whether the queue accepts at zero seats. The prediction is about agents, so it needs the built-in rule, which counts them.
fn soon(section: &Section<'_>) -> Checked<Soon> {
    let usual = Terms::default();
    let is_on = section.optional("soon", Value::flag);
    let lead = section.optional("lead", |value| value.duration(LEAD, WHY_LEAD));
    let patience = section.optional("patience", |value| {
        value.duration(CALLERS_PATIENCE, WHY_CALLERS_PATIENCE)
    });
    let cost = section.optional("cost", cost);
    let is_on = is_on?.unwrap_or_default();
    if let (true, true, Some(soon)) = (
        is_on,
        section.value("accept").is_some(),
        section.value("soon"),
    ) {
        return Err(soon.wrong("predicts agents, which only the built-in rule counts; remove it, or [account.queue.accept]"));
    }
    let (lead, patience) = (
        lead?.unwrap_or(usual.lead()),
        patience?.unwrap_or(usual.patience()),
    );
    let terms = Terms::new(lead, patience, cost?.unwrap_or(usual.cost()));
    let terms = terms.expect("the cost was checked");
    Ok(Soon { is_on, terms })
}

fn cost(value: &Value<'_>) -> Checked<f64> {
    let cost = value.quantity()?.get();
    let terms = Terms::new(Duration::ZERO, Duration::ZERO, cost);
    terms.map_err(|error| value.wrong(error))?;
    Ok(cost)
}

/// Reads whether decisions wait for fresh answers: they do if one of the two keys is present.
fn patience(section: &Section<'_>) -> Checked<Option<Patience>> {
    let fresh = section.optional("fresh", |value| {
        value.duration(FRESH, Patience::WHY_MAX_FRESH)
    });
    let wait = section.optional("wait", |value| value.duration(WAIT, WHY_WAIT));
    let (fresh, wait) = (fresh?, wait?);
    Ok((fresh.is_some() || wait.is_some()).then(|| Patience {
        fresh: fresh.unwrap_or(Patience::USUAL.fresh),
        wait: wait.unwrap_or(Patience::USUAL.wait),
    }))
}

/// Reads the opening hours. Hours need a time zone, and a time zone needs hours.
fn hours(section: &Section<'_>) -> Checked<Option<Arc<OpeningHours>>> {
    let entries = section.optional("open", entries);
    let zone = section.optional("time_zone", |value| {
        Zone::find(value.text()?).map_err(|error| value.wrong(error))
    });
    match (section.value("open"), section.value("time_zone")) {
        (Some(open), None) => {
            return Err(open.wrong(
                "needs a time zone; write below it for example `time_zone = \"America/New_York\"`",
            ));
        }
        (None, Some(zone)) => {
            return Err(zone
                .wrong("belongs to opening hours, but there are none; add `open`, or remove it"));
        }
        _ => {}
    }
    let (entries, zone) = (entries?, zone?);
    Ok(entries
        .zip(zone)
        .map(|(entries, zone)| Arc::new(OpeningHours::new(entries, zone))))
}

/// Reads the lines of hours: a list of texts, or one text.
fn entries(value: &Value<'_>) -> Checked<Vec<Entry>> {
    let items = value.items();
    if items.is_empty() {
        return Err(value.wrong("is an empty list; remove it for a queue that is always open"));
    }
    if items.len() > MAX_ENTRIES {
        return Err(value.wrong(format_args!("has more than {MAX_ENTRIES} lines")));
    }
    let entry = |item: &Value<'_>| {
        let text = item.as_text();
        let text = text.ok_or_else(|| item.not_a("a list of days and times"))?;
        text.parse().map_err(|error: HoursError| item.wrong(error))
    };
    all(items.iter().map(entry))
}

/// Returns the queue that a value names, if it names one.
pub(super) fn peek(value: &Value<'_>) -> Option<QueueRef> {
    match value.node() {
        DeValue::Integer(integer) => u64::try_from(integer_value(integer)?)
            .ok()
            .map(QueueRef::Id),
        DeValue::String(text) => pasted::queue(text).ok(),
        _ => None,
    }
}

fn reference(value: &Value<'_>) -> Checked<QueueRef> {
    match value.node() {
        DeValue::String(text) if is_address(text) => {
            let reference = pasted::queue(text).map_err(|error| value.wrong(error))?;
            value.note(format_args!("is taken as the id {reference}"));
            Ok(reference)
        }
        DeValue::String(text) if !is_id(text) => {
            let name = value.name_or(INSTEAD_OF_NAME);
            name.map(|name| QueueRef::Name(name.to_owned()))
        }
        DeValue::String(_) | DeValue::Integer(_) => match peek(value) {
            Some(QueueRef::Id(id)) if id > 0 => Ok(QueueRef::Id(id)),
            _ => Err(value.wrong(NoId)),
        },
        _ => Err(value.not_a("a name or an id")),
    }
}

/// Reads the rule and its threshold.
fn rule(
    section: &Section<'_>,
    threshold: Checked<Option<Quantity>>,
) -> Checked<(Rule, Option<Quantity>)> {
    let accept = section.table("accept", &keys::ACCEPT, "accept")?;
    match &accept {
        Some(accept) => custom(section, accept, threshold),
        None => seats(section, threshold),
    }
}

fn seats(
    section: &Section<'_>,
    threshold: Checked<Option<Quantity>>,
) -> Checked<(Rule, Option<Quantity>)> {
    let forgotten_after = section.optional("forgotten_after", |value| {
        value.duration(FORGOTTEN_AFTER, WHY_FORGOTTEN_AFTER)
    });
    let count_on_call = section.optional("count_on_call", Value::flag);
    let threshold = threshold?.unwrap_or(Quantity::ZERO);
    if let (Err(error), Some(value)) = (threshold_of_seats(threshold), section.value("threshold")) {
        return Err(value.wrong(error));
    }
    let rule = SeatRule {
        forgotten_after: forgotten_after?,
        count_on_call: count_on_call?.unwrap_or_default(),
    };
    Ok((Rule::Seats(rule), Some(threshold)))
}

fn custom(
    section: &Section<'_>,
    accept: &Section<'_>,
    threshold: Checked<Option<Quantity>>,
) -> Checked<(Rule, Option<Quantity>)> {
    let built_in = ["forgotten_after", "count_on_call"].map(|key| {
        section.optional(key, |value| {
            Err::<(), _>(value.wrong(
                "belongs to the built-in rule, which [account.queue.accept] replaces; remove one of the two",
            ))
        })
    });
    let definition = definition(section, accept, threshold);
    let criteria = compile(section, accept, &definition?)?;
    for key in built_in {
        key?;
    }
    let threshold = criteria.threshold();
    Ok((Rule::Custom(Arc::new(criteria)), threshold))
}

/// Reads the rule as written. A `threshold` means the same as a `value`, so it can replace one but not stand beside one. What can be wrong by
/// itself is reported even if another key is wrong.
fn definition(
    section: &Section<'_>,
    accept: &Section<'_>,
    threshold: Checked<Option<Quantity>>,
) -> Checked<Definition> {
    let field = field(accept).and_then(|field| match Criteria::check_field(&field) {
        Ok(()) => Ok(field),
        Err(error) => Err(unfit(section, accept, error)),
    });
    let measure = accept.optional("measure", |value| value.one_of::<Measure>());
    let condition = accept.required("condition", condition);
    let value = accept.optional("value", |value| literal(value, condition));
    let clash = match (section.value("threshold"), accept.value("value")) {
        (Some(threshold), Some(_)) => {
            Err(threshold.wrong("repeats value in [account.queue.accept]; remove one of the two"))
        }
        _ => Ok(()),
    };
    let value = clash
        .and(value)
        .and_then(|value| Ok(value.or(threshold?.map(Literal::Number))));
    let fits = match (condition, &value) {
        (Ok(condition), Ok(value)) => Criteria::check_condition(condition, value.as_ref())
            .map_err(|error| unfit(section, accept, error)),
        _ => Ok(()),
    };
    Ok(Definition {
        field: field?,
        measure: measure?,
        condition: fits.and(condition)?,
        value: value?,
    })
}

/// Reports what the rule's own check finds, at the key it names.
fn compile(
    section: &Section<'_>,
    accept: &Section<'_>,
    definition: &Definition,
) -> Checked<Criteria> {
    if let ("count" | "$.count", Some(value)) = (definition.field.trim(), field_value(accept)) {
        value.warn("counts everybody in the queue, including people who are offline; leave out [account.queue.accept] to count those who can take a call");
    }
    match (Criteria::compile(definition), section.value("threshold")) {
        (Ok(criteria), Some(threshold)) if criteria.threshold().is_none() => {
            Err(incomparable(&threshold))
        }
        (compiled, _) => compiled.map_err(|error| unfit(section, accept, error)),
    }
}

/// Reports a mistake of the rule at the key that it names.
fn unfit(section: &Section<'_>, accept: &Section<'_>, error: DefinitionError) -> Reported {
    match (section.value("threshold"), accept.value(error.key)) {
        (Some(threshold), _) if error.key == "value" => incomparable(&threshold),
        (_, Some(value)) => value.wrong_because(error.message),
        (_, None) => accept.wrong(format_args!("`{}`: {}", error.key, error.message)),
    }
}

/// Reports a threshold whose rule does not compare numbers.
fn incomparable(threshold: &Value<'_>) -> Reported {
    threshold.wrong(
        "has no effect: the condition in [account.queue.accept] does not compare numbers; remove it",
    )
}

/// Returns the path as written, under either name.
fn field_value<'s>(accept: &'s Section<'_>) -> Option<Value<'s>> {
    accept.value("field").or_else(|| accept.value(HOSTED_FIELD))
}

/// Reads the path of a rule, under our name or the hosted form's.
fn field(accept: &Section<'_>) -> Checked<String> {
    let text = |value: &Value<'_>| value.text().map(str::to_owned);
    let Some(hosted) = accept.value(HOSTED_FIELD) else {
        return accept.required("field", text);
    };
    if accept.value("field").is_some() {
        return Err(hosted.wrong("repeats field; remove one of the two"));
    }
    hosted.note("is taken as `field`");
    text(&hosted)
}

fn condition(value: &Value<'_>) -> Checked<Condition> {
    let text = value.text()?;
    match pasted::condition(text) {
        Some(name) if name != text => {
            value.note(format_args!("is taken as \"{name}\""));
            value.one_of_as(name)
        }
        _ => value.one_of_as(text),
    }
}

/// Returns whether a condition compares numbers only.
fn compares_numbers(condition: Condition) -> bool {
    use Condition::{GreaterOrEqual, GreaterThan, LessOrEqual, LessThan};
    matches!(
        condition,
        GreaterThan | GreaterOrEqual | LessThan | LessOrEqual
    )
}

fn literal(value: &Value<'_>, condition: Checked<Condition>) -> Checked<Literal> {
    match value.node() {
        DeValue::String(text) if condition.is_ok_and(compares_numbers) => {
            let number = text.trim().parse().ok().and_then(Quantity::new);
            if let Some(number) = number {
                value.note(format_args!("is taken as the number {number}"));
            }
            Ok(number.map_or_else(|| Literal::Text(text.to_string()), Literal::Number))
        }
        DeValue::String(text) => Ok(Literal::Text(text.to_string())),
        DeValue::Boolean(flag) => Ok(Literal::Bool(*flag)),
        _ => value.quantity().map(Literal::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde::{
        Serialize,
        de::{DeserializeOwned, IntoDeserializer, value::Error},
    };

    use strum::VariantNames;

    use super::*;

    /// Each word stands for one variant and prints as itself, and the variants have no other words.
    fn assert_words<T: DeserializeOwned + Serialize + VariantNames>() {
        for word in T::VARIANTS {
            let read = T::deserialize((*word).into_deserializer());
            let read = read.unwrap_or_else(|error: Error| panic!("{word}: {error}"));
            let printed = serde_json::to_value(read).expect("words serialize");
            assert_eq!(printed.as_str(), Some(*word));
        }
        let refused: Result<T, Error> = T::deserialize("?".into_deserializer());
        let known = refused.err().expect("no such word").to_string();
        assert_eq!(
            known.matches('`').count(),
            2 + 2 * T::VARIANTS.len(),
            "{known}"
        );
    }

    #[test]
    fn the_lists_of_words_are_complete() {
        assert_words::<OnUnknown>();
        assert_words::<Measure>();
        assert_words::<Condition>();
    }
}
