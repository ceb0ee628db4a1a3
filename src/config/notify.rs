//! `[[notify]]`: who gets a message when something lasts, and who gets each change of a queue's answer.

use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};
use toml::de::DeValue;

use super::{
    client::queues,
    keys,
    section::Section,
    source::{Checked, all},
    value::{Value, refuse_repeats},
};

/// A few channels for people, and a router for each of some dozen buyers. Each has its own connections and its own memory.
const MAX_RECIPIENTS: usize = 64;

/// Long enough that a failed poll and its retry cause no message, short enough that somebody can act on it.
const DEFAULT_AFTER: Duration = Duration::from_secs(5 * 60);

/// A message a day later about something that still lasts is no use.
const AFTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// A recipient of messages or pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The file with the address, which is a secret.
    pub url_file: PathBuf,
    /// Whether the address may be plain HTTP to another machine.
    pub insecure_plain_http: bool,
    /// What is sent there.
    pub what: Subscription,
    /// The queues to report, by name, id or `account/queue`; `None` for all.
    pub queues: Option<Arc<[Box<str>]>>,
}

/// What a recipient gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// One message when one of these has lasted, and one when it ends.
    Conditions {
        /// At least one.
        on: BTreeSet<Condition>,
        /// How long it must have lasted.
        after: Duration,
    },
    /// Each change of a queue's answer.
    Decisions,
}

/// What can last and be worth a message.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    VariantArray,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Condition {
    /// CallTools does not accept an account's token.
    BadToken,
    /// The token's user may not read a queue.
    NoPermission,
    /// An account has no such queue.
    NoSuchQueue,
    /// CallTools cannot be reached, or does not answer as it should.
    UpstreamDown,
    /// Other software spends the account's requests.
    Throttled,
    /// An account's hour is nearly spent, and polling has slowed down or stopped.
    Budget,
    /// A queue has no seats while questions come.
    NoSeats,
    /// A part of the state folder cannot be written.
    State,
    /// The cluster's engine does not answer or refuses a command, or no node leads an account.
    Cluster,
}

impl Condition {
    /// Every condition, in the order of the documentation.
    pub const ALL: &[Condition] = Self::VARIANTS;

    /// Its name in the config and in messages.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The word of `on` for changes of answers. Every other word is a [`Condition`].
const DECISION: &str = "decision";

/// Reads every `[[notify]]`.
pub(super) fn recipients(root: &Section<'_>) -> Checked<Vec<Notify>> {
    let sections = root.tables("notify", &keys::NOTIFY, |_, number| {
        format!("notify number {number}")
    })?;
    let recipients = all(sections.iter().map(recipient))?;
    if let Some(first) = sections.get(MAX_RECIPIENTS) {
        return Err(first.wrong(format_args!("is one more than {MAX_RECIPIENTS}")));
    }
    refuse_the_same_twice(&sections, &recipients).map(|()| recipients)
}

/// Makes sure that an address gets each message once.
fn refuse_the_same_twice(sections: &[Section<'_>], recipients: &[Notify]) -> Checked<()> {
    let sent = sections.iter().zip(recipients);
    let sent = sent.flat_map(|(section, one)| {
        let what: Vec<_> = match &one.what {
            Subscription::Conditions { on, .. } => on.iter().copied().map(Some).collect(),
            Subscription::Decisions => vec![None],
        };
        let file = section.value("url_file");
        what.into_iter()
            .filter_map(move |what| Some(((&one.url_file, what), file?)))
    });
    refuse_repeats(sent, |line| {
        format!(
            "gets a word of its `on` from line {line} already; name each word once for each url_file"
        )
    })
}

fn recipient(section: &Section<'_>) -> Checked<Notify> {
    let url_file = section.required("url_file", address_path);
    let insecure_plain_http = section.optional("insecure_plain_http", Value::flag);
    let on = section.optional("on", words);
    let queues = section.optional("queues", queues);
    let why = "nobody needs to learn after more than a day that something lasts";
    let after = section.optional("after", |value| value.duration(AFTER, why));
    let (on, after) = (on?, after?);
    let what = match on {
        None => Subscription::Conditions {
            on: Condition::ALL.iter().copied().collect(),
            after: after.unwrap_or(DEFAULT_AFTER),
        },
        Some(Some(on)) => Subscription::Conditions {
            on,
            after: after.unwrap_or(DEFAULT_AFTER),
        },
        Some(None) => Subscription::Decisions,
    };
    if let (Subscription::Decisions, Some(value), true) =
        (&what, section.value("after"), after.is_some())
    {
        return Err(value.wrong(
            "applies to conditions; a change of an answer is pushed at once, so remove this line",
        ));
    }
    Ok(Notify {
        url_file: url_file?,
        insecure_plain_http: insecure_plain_http?.unwrap_or_default(),
        what,
        queues: queues?,
    })
}

/// Reads the path of an address file. An address that was pasted here would be shown as the path of a missing file.
fn address_path(value: &Value<'_>) -> Checked<PathBuf> {
    let text = value.text()?;
    if text.contains("://") {
        return Err(value.wrong(
            "must be the path of a file that holds the address, such as \"/etc/openseat/slack.url\"; the address is a secret and does not belong in this file",
        ));
    }
    if !text.contains('/') {
        return Err(value.wrong(
            "must be the path of a file, with a slash in it, such as \"./slack.url\"; the address itself does not belong in this file",
        ));
    }
    value.path()
}

/// Reads the conditions; `None` for changes of answers.
fn words(value: &Value<'_>) -> Checked<Option<BTreeSet<Condition>>> {
    let DeValue::Array(_) = value.node() else {
        return Err(value.not_a("a list of words"));
    };
    let items = value.items();
    if items.is_empty() {
        return Err(value.wrong("is an empty list; leave it out for every condition"));
    }
    let words = all(items.iter().map(word))?;
    refuse_repeats(words.iter().copied().zip(items), |_| {
        "has the same word twice".to_owned()
    })?;
    if words == [None] {
        return Ok(None);
    }
    if words.contains(&None) {
        return Err(value.wrong(
            "has \"decision\" beside conditions: a router that takes pushes cannot read messages; write a [[notify]] of its own for it",
        ));
    }
    Ok(Some(words.into_iter().flatten().collect()))
}

/// Reads one condition; `None` for changes of answers.
fn word(value: &Value<'_>) -> Checked<Option<Condition>> {
    let text = value.text()?;
    if text == DECISION {
        return Ok(None);
    }
    let named = Condition::ALL.iter().find(|one| one.as_str() == text);
    named.map(|one| Some(*one)).ok_or_else(|| {
        let words = Condition::ALL.iter().map(|one| one.as_str());
        let words: Vec<_> = words.chain([DECISION]).collect();
        value.none_of(text, &words)
    })
}
