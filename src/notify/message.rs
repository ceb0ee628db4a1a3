//! The content of a message: `text` for people, as chat services show it, and fields for programs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;

use super::{sight::Subject, tracker::News};
use crate::{clock::Moment, config::Condition};

/// The most queues that a text names; it counts the others. More do not fit a line of chat.
const NAMED_QUEUES: usize = 8;

/// The most queues in the field `queues`, so that a message stays below some kilobytes.
const LISTED_QUEUES: usize = 100;

/// The longest `what` or `advice`: a few sentences.
const MAX_CHARS: usize = 600;

/// A message about queues of one account, the account itself, or the process.
#[derive(Debug, Serialize)]
struct Message<'a> {
    /// For people. Chat services show it.
    text: String,
    /// `began`, `ended` or `test`.
    event: &'static str,
    /// The condition; null in a test.
    condition: Option<&'static str>,
    /// The account's name; null if it is about the process.
    account: Option<&'a str>,
    /// Its queues, at most a hundred; empty if it is about the whole account.
    queues: Vec<&'a str>,
    /// When it began.
    since: Option<String>,
    /// When it ended; null while it lasts.
    until: Option<String>,
    /// How long it has lasted.
    lasted_seconds: Option<u64>,
    /// What is wrong, and what to do.
    detail: Option<String>,
    advice: Option<String>,
    /// The machine that openseat runs on.
    host: &'a str,
    /// The same in the message of the beginning and that of the end, and in every attempt to send them.
    id: Option<String>,
}

/// The messages for some news: one for all queues of an account that have the same condition and were told together. The id has the second in which
/// they were told, so each queue ends with the id with which it began, even if the others end at another time.
pub(super) fn messages(news: &[News], now: Moment, host: &str) -> Vec<Bytes> {
    type Group = (Condition, Option<Arc<str>>, bool, u64);
    let mut groups: BTreeMap<Group, Vec<&News>> = BTreeMap::new();
    for one in news {
        let Subject {
            condition, account, ..
        } = &one.subject;
        let (has_ended, told) = (one.until.is_some(), one.told.wall.as_secs());
        let group = (*condition, account.clone(), has_ended, told);
        groups.entry(group).or_default().push(one);
    }
    groups
        .values()
        .map(|group| message(group, now, host))
        .collect()
}

fn message(group: &[&News], now: Moment, host: &str) -> Bytes {
    let first = group[0];
    let (subject, until) = (&first.subject, first.until);
    let oldest = group.iter().map(|one| one.since);
    let since = oldest.min_by_key(|since| since.boot).unwrap_or(first.since);
    let end = until.unwrap_or(now);
    let lasted = match since.boot {
        // Boot time does not reach back farther than that.
        Duration::ZERO => end.longest_since(since),
        _ => end.boot_since(since),
    };
    let evidence = first.evidence.as_ref();
    let queues: Vec<_> = group
        .iter()
        .filter_map(|one| one.subject.queue.as_deref())
        .collect();
    let (account, condition) = (subject.account.as_deref(), subject.condition);
    let detail = evidence.map(|evidence| short(&evidence.what));
    let advice = evidence.map(|evidence| short(&evidence.advice));
    let about = about(account, &queues);
    let (lasted_for, began) = (spoken(lasted), clock_time(since));
    let text = match until {
        None => {
            let detail = detail.as_deref().unwrap_or_default();
            let advice = advice.as_deref().unwrap_or_default();
            format!("{about}{detail}, for {lasted_for} (since {began}). What to do: {advice}")
        }
        Some(_) => {
            let over = over(condition);
            format!("{about}{over}, after {lasted_for} (since {began})")
        }
    };
    json(&Message {
        text: harmless(&format!("openseat on {host}: {text}")),
        event: if until.is_none() { "began" } else { "ended" },
        condition: Some(condition.as_str()),
        account,
        id: Some(id(subject, first.told)),
        queues: queues.into_iter().take(LISTED_QUEUES).collect(),
        since: Some(since.rfc3339()),
        until: until.map(Moment::rfc3339),
        lasted_seconds: Some(lasted.as_secs()),
        detail,
        advice,
        host,
    })
}

/// A test message.
pub fn test_message() -> Bytes {
    let host = &host();
    json(&Message {
        text: harmless(&format!(
            "openseat on {host}: this is a test; messages arrive here"
        )),
        event: "test",
        condition: None,
        account: None,
        queues: Vec::new(),
        since: None,
        until: None,
        lasted_seconds: None,
        detail: None,
        advice: None,
        host,
        id: None,
    })
}

/// Returns the name of this machine.
pub(super) fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

fn json(message: &Message<'_>) -> Bytes {
    let json = serde_json::to_vec(message);
    json.expect("texts and numbers can be written").into()
}

/// What a text is about, including the colon.
fn about(account: Option<&str>, queues: &[&str]) -> String {
    let Some(account) = account else {
        return String::new();
    };
    let named: Vec<_> = queues
        .iter()
        .take(NAMED_QUEUES)
        .map(|queue| format!("\"{queue}\""))
        .collect();
    match queues.len() {
        0 => format!("account \"{account}\": "),
        1 => format!("queue {} of account \"{account}\": ", named[0]),
        all if all > NAMED_QUEUES => format!(
            "queues {} and {} more of account \"{account}\": ",
            named.join(", "),
            all - NAMED_QUEUES
        ),
        _ => format!("queues {} of account \"{account}\": ", named.join(", ")),
    }
}

/// What to say when the condition has ended.
fn over(condition: Condition) -> &'static str {
    match condition {
        Condition::BadToken => "CallTools accepts the token again",
        Condition::NoPermission => "the token's user may read this again",
        Condition::NoSuchQueue => "CallTools has this queue again",
        Condition::UpstreamDown => "CallTools answers again",
        Condition::Throttled => "no more sign of other software spending the account's requests",
        Condition::Budget => "there are requests again",
        Condition::NoSeats => "there are seats again",
        Condition::State => "the state folder can be written again",
        Condition::Cluster => "the cluster works again",
    }
}

/// Of the condition and the second since 1970 in which it was told. It is the same after a restart, because the wall time is stored.
fn id(subject: &Subject, told: Moment) -> String {
    let account = subject.account.as_deref().unwrap_or_default();
    let condition = subject.condition.as_str();
    format!("{condition}:{account}:{}", told.wall.as_secs())
}

/// Cuts a text to one line of bounded length.
fn short(text: &str) -> String {
    let line: String = text.chars().take(MAX_CHARS).collect();
    line.replace(char::is_control, " ")
}

/// A text that mentions nobody: in chat services `<!channel>` and `@here` notify everybody, and names of queues may contain them.
fn harmless(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('@', "@\u{200b}")
}

/// Formats the two largest units of a duration.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let rounded = match seconds {
        0..=3599 => seconds,
        _ => seconds / 60 * 60,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

fn clock_time(moment: Moment) -> String {
    let time = format!("{:.0}", moment.timestamp());
    let time = time.replace('T', " ").replace('Z', "");
    format!("{time} UTC")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{super::sight::Evidence, *};

    const START: Moment = Moment {
        boot: Duration::from_secs(500_000),
        wall: Duration::from_secs(1_795_341_600),
    };

    fn news(condition: Condition, queue: Option<String>, until: Option<Moment>) -> News {
        News {
            subject: Subject {
                condition,
                account: Some("main".into()),
                queue: queue.map(Arc::from),
            },
            since: START,
            told: START.later(Duration::from_secs(301)),
            until,
            evidence: Some(Evidence {
                since: None,
                what: "the account has no queue named \"<!channel>\"".to_owned(),
                advice: "tell @here".to_owned(),
                asked: None,
            }),
        }
    }

    fn parsed(news: &[News]) -> Vec<Value> {
        let now = START.later(Duration::from_secs(301));
        let messages = messages(news, now, "router-1");
        let parsed = messages.iter().map(|json| serde_json::from_slice(json));
        parsed.map(|json| json.expect("JSON")).collect()
    }

    #[test]
    fn a_message_has_a_text_for_people_and_fields_for_programs() {
        let messages = parsed(&[news(Condition::NoSuchQueue, Some("sales".to_owned()), None)]);
        assert_eq!(
            messages[0]["text"],
            "openseat on router-1: queue \"sales\" of account \"main\": the account has no queue named \"&lt;!channel&gt;\", for 5m 1s (since 2026-11-22 10:00:00 UTC). What to do: tell @\u{200b}here"
        );
        let fields = serde_json::json!({
            "event": "began", "condition": "no_such_queue", "account": "main", "queues": ["sales"],
            "since": "2026-11-22T10:00:00.000Z", "until": null, "lasted_seconds": 301,
            "detail": "the account has no queue named \"<!channel>\"", "advice": "tell @here",
            "host": "router-1", "id": "no_such_queue:main:1795341901",
        });
        for (name, value) in fields.as_object().expect("an object") {
            assert_eq!(messages[0][name], *value, "{name}");
        }
    }

    #[test]
    fn the_message_about_the_end_names_the_beginning() {
        let until = Some(START.later(Duration::from_secs(7380)));
        let messages = parsed(&[news(Condition::BadToken, None, until)]);
        assert_eq!(
            messages[0]["text"],
            "openseat on router-1: account \"main\": CallTools accepts the token again, after 2h 3m (since 2026-11-22 10:00:00 UTC)"
        );
        assert_eq!(messages[0]["event"], "ended");
        assert_eq!(messages[0]["until"], "2026-11-22T12:03:00.000Z");
        assert_eq!(messages[0]["id"], "bad_token:main:1795341901");
    }

    #[test]
    fn each_queue_ends_with_the_id_with_which_it_began() {
        // They began together, but were told at different moments.
        let queue = |name: &str, told: u64, until: Option<u64>| News {
            told: START.later(Duration::from_secs(told)),
            ..news(
                Condition::NoSeats,
                Some(name.to_owned()),
                until.map(|until| START.later(Duration::from_secs(until))),
            )
        };
        let told = |news: &[News]| -> Vec<(Value, Value)> {
            let messages = parsed(news).into_iter();
            let told = messages.map(|message| (message["id"].clone(), message["queues"].clone()));
            told.collect()
        };
        let early = |queues: &[&str]| {
            let id = "no_seats:main:1795341600";
            (Value::from(id), serde_json::json!(queues))
        };
        let late = (
            Value::from("no_seats:main:1795341720"),
            serde_json::json!(["q2"]),
        );
        let told_at = [("q1", 0), ("q2", 120), ("q3", 0)];
        let all = |until| told_at.map(|(name, at)| queue(name, at, until));
        assert_eq!(told(&all(None)), [early(&["q1", "q3"]), late.clone()]);
        assert_eq!(told(&all(Some(240))), [early(&["q1", "q3"]), late.clone()]);
        assert_eq!(told(&all(Some(240))[..1]), [early(&["q1"])]);
        assert_eq!(told(&all(Some(240))[1..2]), [late]);
    }

    #[test]
    fn what_began_long_before_the_machine_booted_is_told_in_full() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let mut one = news(Condition::BadToken, None, None);
        one.since = Moment {
            boot: Duration::ZERO,
            wall: START.wall - days(10),
        };
        let lasted = parsed(&[one])[0]["lasted_seconds"].as_u64();
        assert_eq!(lasted, Some(days(10).as_secs() + 301));
    }

    #[test]
    fn many_queues_are_one_message_of_bounded_length() {
        let queues =
            (0..300).map(|number| news(Condition::NoSeats, Some(format!("q{number}")), None));
        let mut all: Vec<_> = queues.collect();
        all.push(news(Condition::BadToken, None, None));
        let messages = parsed(&all);
        assert_eq!(messages.len(), 2, "one for each condition");
        let text = messages[1]["text"].as_str().expect("a text");
        assert!(
            text.contains("\"q7\" and 292 more of account \"main\""),
            "{text}"
        );
        assert_eq!(messages[1]["queues"].as_array().map(Vec::len), Some(100));
        assert!(messages[1].to_string().len() < 4096);
    }
}
