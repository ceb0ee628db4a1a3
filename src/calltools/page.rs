//! Reads a reply: a page of rows, or a fault. Pure.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, ops::RangeInclusive, time::Duration};

use http::header;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use super::Reply;
use crate::{
    clock::Moment,
    model::fault::{Down, Fault, NoSuchQueue},
    process::reply_times::{age, retry_after},
};

/// The maximum of rows of a list, over all its pages: a hundred pages, far more than any queue has, and few enough for memory.
pub(super) const MAX_ROWS: usize = 25_000;

/// The bounds of a `Retry-After`. Zero would be no wait, and after an hour CallTools' window is empty.
const WAITS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// What was requested: the same answer means different things for different requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The page number, from 1.
    pub page: u32,
    /// The requested queue, if any.
    pub queue: Option<u64>,
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows as received, except for bytes that are not UTF-8.
    pub rows: Rows,
    /// CallTools' count of the rows on all pages; `None` if it sends none, and past the end of the list.
    pub count: Option<u64>,
    /// The number of the next page; `None` on the last. Always greater than this page's.
    pub next: Option<u32>,
    /// Whether the link to the next page leads to this page or an earlier one: then the pages form a circle, which closes here.
    pub leads_back: bool,
    /// Whether it ends the list although nothing says so: it is past the end, by an answer that may mean something else.
    pub breaks_off: bool,
    /// How long a cache had kept this answer.
    pub age: Duration,
}

impl Page {
    /// Parses a reply that came at `now`.
    ///
    /// # Errors
    /// The [`Fault`] that the reply means, or one that describes what came instead of a page.
    pub fn read(reply: &Reply, ask: Ask, now: Moment) -> Result<Self, Fault> {
        match reply.status.as_u16() {
            200 => Ok(Self {
                age: age(&reply.headers, now.system_time()),
                ..Self::from_body(reply, ask)?
            }),
            400 => Err(refused_queue(reply, ask).unwrap_or_else(|| fault(reply, now))),
            404 if is_past_the_end(reply, ask) => Ok(Self {
                breaks_off: !is_invalid_page(reply),
                ..Self::default()
            }),
            404 => Err(no_such_queue(reply, ask).unwrap_or_else(|| fault(reply, now))),
            _ => Err(fault(reply, now)),
        }
    }

    fn from_body(reply: &Reply, ask: Ask) -> Result<Self, Fault> {
        let body = reply.body.trim_ascii();
        if body.is_empty() {
            return Err(not_json("CallTools answered with nothing"));
        }
        if body[0] == b'<' {
            let page = "CallTools answered with a web page instead of JSON";
            return Err(not_json(page));
        }
        let text = text(body);
        match text.trim_start().as_bytes().first() {
            Some(b'[') => Ok(Self {
                rows: read::<Found<'_>>(&text)?.whole()?,
                ..Self::default()
            }),
            Some(b'{') => read::<Envelope<'_>>(&text)?.open(ask.page),
            _ => Err(read::<IgnoredAny>(&text)
                .err()
                .unwrap_or_else(|| shape("CallTools answered with neither a list nor an object"))),
        }
    }
}

/// Returns what a reply that came at `now` means if its status is not 200, for any request.
pub(super) fn fault(reply: &Reply, now: Moment) -> Fault {
    let wait = retry_after(&reply.headers, now.system_time(), WAITS);
    match reply.status.as_u16() {
        401 => Fault::BadToken,
        403 => forbidden(reply),
        429 => Fault::Throttled {
            until: wait.map(|wait| now.later(wait)),
        },
        300..=303 | 305..=399 => redirect(reply),
        500..=599 => Fault::UpstreamDown {
            kind: Down::ServerError,
            detail: format!("CallTools answered {}", reply.status),
            wait,
        },
        404 => unexpected(Down::NotFound, reply),
        407 => Fault::down(
            Down::Proxy,
            format!("a proxy on the way to CallTools answered {}", reply.status),
        ),
        _ => unexpected(Down::UnexpectedStatus, reply),
    }
}

/// A list in CallTools' envelope. Some deployments answer with a bare list of all rows.
#[derive(serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    results: Option<Found<'a>>,
    #[serde(borrow)]
    count: Option<&'a RawValue>,
    #[serde(borrow)]
    next: Option<&'a RawValue>,
}

impl Envelope<'_> {
    fn open(self, page: u32) -> Result<Page, Fault> {
        let rows = self
            .results
            .ok_or_else(|| shape("CallTools answered without \"results\""))?;
        let count = self.count.map(count).transpose()?.flatten();
        let next = self.next.map(next).transpose()?.flatten();
        Ok(Page {
            rows: rows.whole()?,
            count,
            next: next.filter(|next| *next > page),
            leads_back: next.is_some_and(|next| next <= page),
            ..Page::default()
        })
    }
}

/// The rows of a page, in one text. Each is JSON without deep nesting; nothing else is known about it.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    text: String,
    /// Where each row ends in the text. It begins where the one before ends.
    ends: Vec<usize>,
}

impl Rows {
    /// Returns each row's JSON.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        begins
            .zip(&self.ends)
            .map(|(begin, end)| &self.text[begin..*end])
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the length of all rows in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl<'a> FromIterator<&'a RawValue> for Rows {
    fn from_iter<I: IntoIterator<Item = &'a RawValue>>(found: I) -> Self {
        let found: Vec<&str> = found.into_iter().map(RawValue::get).collect();
        let mut rows = Self {
            text: String::with_capacity(found.iter().map(|row| row.len()).sum()),
            ends: Vec::with_capacity(found.len()),
        };
        for row in found {
            rows.text.push_str(row);
            rows.ends.push(rows.text.len());
        }
        rows
    }
}

/// The value of `results`.
enum Found<'a> {
    These(Vec<&'a RawValue>),
    /// More than [`MAX_ROWS`]: an array of a million ones is a small body, but takes much memory.
    TooMany,
}

impl Found<'_> {
    fn whole(self) -> Result<Rows, Fault> {
        match self {
            Found::These(rows) => Ok(rows.into_iter().collect()),
            Found::TooMany => Err(Fault::down(
                Down::TooLarge,
                format!("CallTools answered with more than {MAX_ROWS} rows"),
            )),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(FoundVisitor)
    }
}

struct FoundVisitor;

impl<'de> Visitor<'de> for FoundVisitor {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Found<'de>, A::Error> {
        let mut rows = Vec::new();
        while rows.len() < MAX_ROWS {
            match elements.next_element()? {
                Some(row) => rows.push(row),
                None => return Ok(Found::These(rows)),
            }
        }
        match elements.next_element::<IgnoredAny>()? {
            None => Ok(Found::These(rows)),
            Some(_) => {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Found::TooMany)
            }
        }
    }
}

/// Decodes a body. Bytes that are not UTF-8 become U+FFFD: they occur in names that a program has truncated, and the rest of the list is good.
fn text(body: &[u8]) -> Cow<'_, str> {
    // JSON allows no byte-order mark, but some programs write one.
    String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// Parses a body, in one pass.
fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => shape("\"results\" is not a list, or a key appears twice"),
        _ => not_json(&format!(
            "CallTools' answer stops being JSON at line {}, column {}",
            error.line(),
            error.column()
        )),
    })
}

/// Returns the content of a string; anything else as it is written.
fn written(value: &RawValue) -> Cow<'_, str> {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Cow::Owned(text.trim().to_owned()),
        Err(_) => Cow::Borrowed(value.get()),
    }
}

/// Parses the number of rows on all pages. A count that is switched off is negative, `false`, or a constant above the limit of any list.
fn count(value: &RawValue) -> Result<Option<u64>, Fault> {
    let written = written(value);
    let number = match &*written {
        "" | "false" => None,
        text => Some(
            text.parse::<f64>()
                .ok()
                .filter(|number| number.is_infinite() || number.fract() == 0.0)
                .ok_or_else(|| shape("\"count\" is not a number of rows"))?,
        ),
    };
    let is_a_count = |number: &f64| (0.0..=MAX_ROWS as f64).contains(number);
    Ok(number.filter(is_a_count).map(|number| number as u64))
}

/// Parses the page number in a `next` link, or its bare number. The link is never followed: behind a proxy it has another scheme or host, and the
/// token goes to the configured origin only.
fn next(value: &RawValue) -> Result<Option<u32>, Fault> {
    let written = written(value);
    match &*written {
        "" | "false" | "0" => Ok(None),
        text if value.get().starts_with('"') || text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let number = text.parse().ok().or_else(|| page_number(text));
            let none = || shape("CallTools' link to the next page bears no page number");
            number.map(Some).ok_or_else(none)
        }
        _ => Err(shape("\"next\" is not a link")),
    }
}

fn page_number(link: &str) -> Option<u32> {
    let (_, query) = link.split_once('?')?;
    let query = query.split('#').next()?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, number) = pairs.find(|(key, _)| key == "page")?;
    number.parse().ok()
}

/// Returns whether this is a page past the end: the list has shrunk since the previous page. The same URL answered for page 1, so CallTools' own
/// 404 hardly means anything else.
fn is_past_the_end(reply: &Reply, ask: Ask) -> bool {
    ask.page > 1 && error_text(reply, "detail").is_some()
}

/// Returns whether CallTools says that there is no such page. "Not found." may also mean that the queue is gone meanwhile.
fn is_invalid_page(reply: &Reply) -> bool {
    error_text(reply, "detail").is_some_and(|detail| detail.starts_with("Invalid page"))
}

/// Recognises CallTools' own 404: its API is there, and the queue is not. Any other 404 means that the API is not there.
fn no_such_queue(reply: &Reply, ask: Ask) -> Option<Fault> {
    error_text(reply, "detail")?;
    Some(Fault::NoSuchQueue(NoSuchQueue::Id(ask.queue?)))
}

/// Recognises an error about the queue: `{"queue":["Select a valid choice…"]}`, `{"queue":["Enter a number."]}`.
fn refused_queue(reply: &Reply, ask: Ask) -> Option<Fault> {
    error_text(reply, "queue")?;
    Some(Fault::NoSuchQueue(NoSuchQueue::Id(ask.queue?)))
}

/// Tells a 403 that stands for a 401 from others by its text: CallTools' framework answers 403 if it has no challenge.
fn forbidden(reply: &Reply) -> Fault {
    let about_the_token = |detail: &str| {
        detail.starts_with("Invalid token")
            || detail.starts_with("Authentication credentials were not provided")
    };
    match error_text(reply, "detail") {
        Some(detail) if about_the_token(&detail) => Fault::BadToken,
        _ => Fault::NoPermission,
    }
}

/// Returns the text under `key` in an error's body, or the first of several. It is for comparing, not for display.
fn error_text(reply: &Reply, key: &str) -> Option<String> {
    let text = text(&reply.body);
    let body: serde_json::Value = serde_json::from_str(&text).ok()?;
    let value = body.get(key)?;
    let value = value.get(0).unwrap_or(value);
    value.as_str().map(str::to_owned)
}

/// Names only the host: the rest of the target could contain anything.
fn redirect(reply: &Reply) -> Fault {
    let location = reply.headers.get(header::LOCATION);
    let target = location
        .and_then(|location| url::Url::parse(location.to_str().ok()?).ok())
        .and_then(|url| Some(format!(" to {}", url.host_str()?)));
    let target = target.unwrap_or_default();
    let status = reply.status.as_u16();
    Fault::down(
        Down::Redirect,
        format!("CallTools answered with a redirect{target} ({status})"),
    )
}

fn unexpected(kind: Down, reply: &Reply) -> Fault {
    Fault::down(kind, format!("CallTools answered {}", reply.status))
}

fn shape(detail: &str) -> Fault {
    Fault::down(Down::UnexpectedShape, detail)
}

fn not_json(detail: &str) -> Fault {
    Fault::down(Down::NotJson, detail)
}
