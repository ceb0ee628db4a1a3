//! One reply, read: a page of rows, or the fault that it stands for. Pure.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, header};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use super::Reply;
use crate::clock::Moment;
use crate::model::fault::{Down, Fault, NoSuchQueue};

/// Rows in one list, over all its pages: a hundred pages, far beyond any queue, and few enough to fit into memory.
pub(super) const MAX_ROWS: usize = 25_000;

/// The shortest and the longest wait that `Retry-After` can ask for: a wait of nothing would be no wait, and after an hour
/// CallTools' window holds none of the requests before it.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// What a reply is the answer to; the same words mean different things for different questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Counts from one.
    pub page: u32,
    /// The queue that was asked for, where one was.
    pub queue: Option<u64>,
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows as they came, but for characters that cannot be read. Each is JSON without deep nesting; whether it makes sense is
    /// for others to say.
    pub rows: Vec<Box<RawValue>>,
    /// How many rows CallTools counts on all pages; `None` where it does not, and past the end of the list.
    pub count: Option<u64>,
    /// The number of the next page; `None` on the last. Always greater than this page's.
    pub next: Option<u32>,
    /// The link to the next page leads to this one or one before: the pages go in a circle, and this is where it closes.
    pub leads_back: bool,
    /// How long a cache has kept this answer.
    pub age: Duration,
}

impl Page {
    /// Reads a reply that came at `now`.
    ///
    /// # Errors
    /// The [`Fault`] that the reply stands for, or one that says what kind of answer it is instead of a page.
    pub fn read(reply: &Reply, ask: Ask, now: Moment) -> Result<Self, Fault> {
        match reply.status.as_u16() {
            200 => Ok(Self {
                age: age(&reply.headers, now),
                ..Self::from_body(reply, ask)?
            }),
            400 => Err(refused_queue(reply, ask).unwrap_or_else(|| fault(reply, now))),
            404 if is_past_the_end(reply, ask) => Ok(Self::default()),
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
                rows: read::<Rows>(&text)?.whole()?,
                ..Self::default()
            }),
            Some(b'{') => read::<Envelope<'_>>(&text)?.open(ask.page),
            _ => Err(read::<IgnoredAny>(&text)
                .err()
                .unwrap_or_else(|| shape("CallTools answered with neither a list nor an object"))),
        }
    }
}

/// What a reply that came at `now` stands for, whatever was asked, when its status is not the one that was hoped for.
pub(super) fn fault(reply: &Reply, now: Moment) -> Fault {
    let wait = retry_after(&reply.headers, now);
    match reply.status.as_u16() {
        401 => Fault::BadToken,
        403 => forbidden(reply),
        429 => Fault::Throttled {
            until: wait.map(|wait| now.later(wait)),
        },
        300..=399 => redirect(reply),
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

/// A list as CallTools' framework wraps it. A bare list, which some deployments answer with, is all of its rows.
#[derive(serde::Deserialize)]
struct Envelope<'a> {
    results: Option<Rows>,
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
            age: Duration::ZERO,
        })
    }
}

/// What stands where the rows should be.
enum Rows {
    These(Vec<Box<RawValue>>),
    /// More than [`MAX_ROWS`]: an array of a million ones is a small body and a lot of memory.
    TooMany,
}

impl Rows {
    fn whole(self) -> Result<Vec<Box<RawValue>>, Fault> {
        match self {
            Rows::These(rows) => Ok(rows),
            Rows::TooMany => Err(Fault::down(
                Down::TooLarge,
                format!("CallTools answered with more than {MAX_ROWS} rows"),
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Rows, A::Error> {
        let mut rows = Vec::new();
        while rows.len() < MAX_ROWS {
            match elements.next_element()? {
                Some(row) => rows.push(row),
                None => return Ok(Rows::These(rows)),
            }
        }
        match elements.next_element::<IgnoredAny>()? {
            None => Ok(Rows::These(rows)),
            Some(_) => {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Rows::TooMany)
            }
        }
    }
}

/// A body as text. Bytes that are not UTF-8 become U+FFFD: they turn up in names that a program has cut, and the rest of the list is good.
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

/// A text's content; anything else as it is written.
fn written(value: &RawValue) -> Cow<'_, str> {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Cow::Owned(text.trim().to_owned()),
        Err(_) => Cow::Borrowed(value.get()),
    }
}

/// How many rows there are on all pages. A count that is switched off is negative, `false`, or a constant that is more than any list may
/// have rows.
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

/// The page that a `next` link leads to, or its bare number. The link itself is never followed: behind a proxy it bears another scheme or
/// host, and the token goes to the configured origin only.
fn next(value: &RawValue) -> Result<Option<u32>, Fault> {
    let written = written(value);
    match &*written {
        "" | "false" | "0" => Ok(None),
        text if value.get().starts_with('"') || text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let number = text.parse().ok().or_else(|| page_number(text));
            let none = || shape("CallTools' link to the next page bears no page number");
            number.map(Some).ok_or_else(none)
        }
        _ => Err(shape("\"next\" is no link")),
    }
}

fn page_number(link: &str) -> Option<u32> {
    let (_, query) = link.split_once('?')?;
    let query = query.split('#').next()?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, number) = pairs.find(|(key, _)| key == "page")?;
    number.parse().ok()
}

/// A page past the end: the list has shrunk since the page before. The same address has answered for page 1, so a 404 in
/// CallTools' own words can mean nothing else.
fn is_past_the_end(reply: &Reply, ask: Ask) -> bool {
    ask.page > 1 && error_text(reply, "detail").is_some()
}

/// A 404 in CallTools' own words: its API is there, the queue is not. One in other words says that the API is not there either.
fn no_such_queue(reply: &Reply, ask: Ask) -> Option<Fault> {
    error_text(reply, "detail")?;
    Some(Fault::NoSuchQueue(NoSuchQueue::Id(ask.queue?)))
}

/// `{"queue":["Select a valid choice…"]}`, `{"queue":["Enter a number."]}`: whatever it says, it says it of the queue.
fn refused_queue(reply: &Reply, ask: Ask) -> Option<Fault> {
    error_text(reply, "queue")?;
    Some(Fault::NoSuchQueue(NoSuchQueue::Id(ask.queue?)))
}

/// CallTools' framework answers 403 instead of 401 where it is set up without a challenge; the words tell them apart.
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

/// What an error body says under `key`: a text, or the first of a list of them. For comparing, not for showing.
fn error_text(reply: &Reply, key: &str) -> Option<String> {
    let text = text(&reply.body);
    let body: serde_json::Value = serde_json::from_str(&text).ok()?;
    let said = body.get(key)?;
    let said = said.get(0).unwrap_or(said);
    said.as_str().map(str::to_owned)
}

/// The host alone: the rest of the target may bear anything.
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

/// How long `Retry-After` asks us to wait: seconds, or an HTTP date; of several headers the longest, since less would be too little.
///
/// A date is measured from the reply's own `Date`, since only those two come from one clock; where there is none, from ours.
/// A date that has passed is the doing of some clock and says nothing, like any other text that cannot be read.
fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    let sent = date(headers).unwrap_or(SystemTime::UNIX_EPOCH + now.wall);
    let wait = |asked: &str| {
        seconds(asked).or_else(|| {
            let until = httpdate::parse_http_date(asked).ok()?;
            until.duration_since(sent).ok()
        })
    };
    let (shortest, longest) = WAITS;
    let asked = texts(headers, header::RETRY_AFTER).filter_map(wait).max()?;
    Some(asked.clamp(shortest, longest))
}

/// How long a cache has kept an answer: what `Age` says, of several the most. With any `Age` but zero a cache has answered, so that the
/// `Date` is when CallTools did: if that was longer ago, or `Age` cannot be read, the answer is as old as its `Date`.
///
/// Without `Age` the `Date` tells nothing but how clocks differ.
fn age(headers: &HeaderMap, now: Moment) -> Duration {
    let ages = texts(headers, header::AGE).flat_map(|text| text.split(','));
    let ages: Vec<_> = ages.map(|age| seconds(age.trim())).collect();
    if ages.iter().all(|age| *age == Some(Duration::ZERO)) {
        return Duration::ZERO;
    }
    let told = ages.into_iter().flatten().max().unwrap_or_default();
    let now = SystemTime::UNIX_EPOCH + now.wall;
    let since_date = date(headers).and_then(|date| now.duration_since(date).ok());
    told.max(since_date.unwrap_or_default())
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

/// All headers of a name. One that is no text is an empty one: it is there, and cannot be read.
fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let headers = headers.get_all(name).into_iter();
    headers.map(|header| header.to_str().unwrap_or_default().trim())
}

/// Seconds, a fraction rounded up; so many that they do not fit a number are simply many.
fn seconds(text: &str) -> Option<Duration> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let rest = fraction.bytes().any(|digit| digit != b'0');
    Some(Duration::from_secs(whole.saturating_add(rest.into())))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::*;

    const FIRST: Ask = Ask {
        page: 1,
        queue: Some(5450),
    };
    const THIRD: Ask = Ask {
        page: 3,
        queue: Some(5450),
    };
    const LOOK_UP: Ask = Ask {
        page: 1,
        queue: None,
    };

    /// 2026-11-22 10:00:00 UTC.
    const NOW: Moment = Moment {
        boot: Duration::from_secs(86_400),
        wall: Duration::from_secs(1_795_341_600),
    };

    fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    fn read(status: u16, body: impl Into<Bytes>, ask: Ask) -> Result<Page, Fault> {
        Page::read(&reply(status, body), ask, NOW)
    }

    fn kind(fault: Fault) -> Down {
        match fault {
            Fault::UpstreamDown { kind, detail, .. } => {
                assert!(!detail.is_empty() && !detail.contains('\n'), "{detail:?}");
                kind
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_envelope_and_a_bare_array_are_pages() {
        let envelope = r#"{"count":3,"next":"http://x/api/?page=2&queue=1","previous":null,"results":[{"a": 1},{}]}"#;
        let page = read(200, envelope, FIRST).unwrap();
        assert_eq!((page.count, page.next), (Some(3), Some(2)));
        assert_eq!(page.rows[0].get(), r#"{"a": 1}"#);
        let page = read(200, " [{},{}]", FIRST).unwrap();
        assert_eq!((page.rows.len(), page.count, page.next), (2, None, None));
        let page = read(200, r#"{"results":[]}"#, FIRST).unwrap();
        assert_eq!((page.rows.len(), page.count, page.next), (0, None, None));
    }

    #[test]
    fn other_bodies_are_not() {
        let many = format!("[{}0]", "0,".repeat(MAX_ROWS));
        let cases: [(&[u8], Down); 21] = [
            (b"<!DOCTYPE html><title>Maintenance</title>", Down::NotJson),
            (b"\n  <html>", Down::NotJson),
            (b"", Down::NotJson),
            (b"  ", Down::NotJson),
            (b"{\"results\":[{}", Down::NotJson),
            (b"{\"results\":[]} trailing", Down::NotJson),
            (b"{\"results\":[{\"a\":\"\n\"}]}", Down::NotJson),
            (b"\xff\xfe{\0\"\0", Down::NotJson),
            (b"nobody", Down::NotJson),
            (b"null", Down::UnexpectedShape),
            (b"\"results\"", Down::UnexpectedShape),
            (b"{}", Down::UnexpectedShape),
            (b"{\"detail\":\"Welcome\"}", Down::UnexpectedShape),
            (b"{\"results\":null}", Down::UnexpectedShape),
            (b"{\"results\":{}}", Down::UnexpectedShape),
            (b"{\"results\":7}", Down::UnexpectedShape),
            (b"{\"results\":[],\"results\":[]}", Down::UnexpectedShape),
            (
                b"{\"results\":[],\"count\":\"none\"}",
                Down::UnexpectedShape,
            ),
            (b"{\"results\":[],\"count\":[3]}", Down::UnexpectedShape),
            (b"{\"results\":[],\"next\":true}", Down::UnexpectedShape),
            (many.as_bytes(), Down::TooLarge),
        ];
        for (body, down) in cases {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            let fault = read(200, body.to_vec(), FIRST).unwrap_err();
            assert_eq!(kind(fault), down, "{shown}");
        }
    }

    #[test]
    fn a_body_with_an_odd_character_is_a_page_all_the_same() {
        for (body, row) in [
            (&b"\xef\xbb\xbf{\"results\":[{}]}"[..], "{}"),
            (b"{\"results\":[{\"a\":\"\xff\"}]}", "{\"a\":\"\u{fffd}\"}"),
            // The reader of the row takes the last.
            (br#"[{"a":1,"a":2}]"#, r#"{"a":1,"a":2}"#),
        ] {
            let page = read(200, body.to_vec(), FIRST).unwrap();
            assert_eq!(page.rows[0].get(), row);
        }
    }

    #[test]
    fn counts_come_in_many_forms_and_some_count_nothing() {
        let count = |count: &str| {
            let body = format!(r#"{{"results":[],"count":{count}}}"#);
            read(200, body, FIRST).map(|page| page.count).map_err(kind)
        };
        for (text, expected) in [
            ("3", Some(3)),
            ("\"3\"", Some(3)),
            ("\" 3 \"", Some(3)),
            ("3.0", Some(3)),
            ("25000", Some(25_000)),
            ("0", Some(0)),
            ("null", None),
            ("false", None),
            ("\"\"", None),
            ("-1", None),
            ("\"-1\"", None),
            ("25001", None),
            ("9223372036854775807", None),
            ("99999999999999999999999", None),
            ("1e999", None),
        ] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
        for text in ["\"many\"", "3.5", "{}", "[1]", "true", "\"NaN\""] {
            assert_eq!(count(text), Err(Down::UnexpectedShape), "{text}");
        }
    }

    #[test]
    fn a_next_that_leads_nowhere_is_none() {
        let next = |next: &str| {
            let body = format!(r#"{{"results":[],"next":{next}}}"#);
            read(200, body, THIRD).map(|page| page.next).map_err(kind)
        };
        for none in ["null", "\"\"", "\"  \"", "false", "0"] {
            assert_eq!(next(none), Ok(None), "{none}");
        }
        assert_eq!((next("4"), next("\"4\"")), (Ok(Some(4)), Ok(Some(4))));
        for odd in ["true", "-4", "4.5", "[4]", "{}", "99999999999"] {
            assert_eq!(next(odd), Err(Down::UnexpectedShape), "{odd}");
        }
    }

    fn age(headers: &[(HeaderName, &str)]) -> u64 {
        let mut reply = reply(200, "[]");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            reply.headers.append(name, value);
        }
        Page::read(&reply, FIRST, NOW).unwrap().age.as_secs()
    }

    #[test]
    fn an_answer_of_a_cache_is_as_old_as_its_age() {
        for (text, expected) in [
            ("3000", 3000),
            (" 3000 ", 3000),
            ("0", 0),
            ("0.5", 1),
            ("10, 3000", 3000),
            ("99999999999999999999999", u64::MAX),
            ("", 0),
            ("-5", 0),
            ("soon", 0),
            ("soon, 70", 70),
        ] {
            assert_eq!(age(&[(header::AGE, text)]), expected, "{text:?}");
        }
        let two = [(header::AGE, "20"), (header::AGE, "3000")];
        assert_eq!(age(&two), 3000);
        assert_eq!(age(&[]), 0);
    }

    #[test]
    fn a_date_can_make_a_cached_answer_older_and_no_other() {
        let an_hour_ago = (header::DATE, "Sun, 22 Nov 2026 09:00:00 GMT");
        let in_an_hour = (header::DATE, "Sun, 22 Nov 2026 11:00:00 GMT");
        for (value, expected) in [
            ("20", 3600),
            ("5000", 5000),
            ("soon", 3600),
            ("-1", 3600),
            ("0", 0),
        ] {
            let headers = [(header::AGE, value), an_hour_ago.clone()];
            assert_eq!(age(&headers), expected, "{value}");
        }
        assert_eq!(age(&[an_hour_ago]), 0, "clocks differ");
        assert_eq!(age(&[(header::AGE, "20"), in_an_hour]), 20);
        assert_eq!(age(&[(header::AGE, "20"), (header::DATE, "garbage")]), 20);
    }

    #[test]
    fn a_next_link_serves_for_its_page_number() {
        let next = |link: &str, ask| {
            let body = serde_json::json!({"results": [], "next": link}).to_string();
            read(200, body, ask).map(|page| page.next).map_err(kind)
        };
        for link in [
            "https://east-1.calltools.io/api/agentstatuses/?page=4&page_size=250",
            "http://user:pw@evil.example:8080/?a=b&page=4#page=9",
            "/api/agentstatuses/?page=4",
            "?page=4",
            "javascript:alert(1)?page=4",
        ] {
            assert_eq!(next(link, THIRD), Ok(Some(4)), "{link}");
        }
        assert_eq!(next("?page=9", THIRD), Ok(Some(9)));
        for link in [
            "?",
            "?page=",
            "?page=last",
            "?page=-4",
            "?page=99999999999",
            "?cursor=x",
            "https://x/page=4",
        ] {
            assert_eq!(next(link, THIRD), Err(Down::UnexpectedShape), "{link}");
        }
        for link in ["?page=3", "?page=1", "?page=0"] {
            let body = serde_json::json!({"results": [], "next": link}).to_string();
            let page = read(200, body, THIRD).unwrap();
            assert!(page.leads_back && page.next.is_none(), "{link}");
        }
    }

    #[test]
    fn errors_in_calltools_words() {
        let no_queue = Fault::NoSuchQueue(NoSuchQueue::Id(5450));
        let cases = [
            (401, r#"{"detail":"Invalid token."}"#, Fault::BadToken),
            (401, "<html>", Fault::BadToken),
            (
                403,
                r#"{"detail":"You do not have permission to perform this action."}"#,
                Fault::NoPermission,
            ),
            (403, "<html>", Fault::NoPermission),
            (403, r#"{"detail":"Invalid token."}"#, Fault::BadToken),
            (
                403,
                r#"{"detail":"Authentication credentials were not provided."}"#,
                Fault::BadToken,
            ),
            (400, r#"{"queue":["Enter a number."]}"#, no_queue.clone()),
            (
                400,
                r#"{"queue":["Select a valid choice. That choice is not one of the available choices."]}"#,
                no_queue.clone(),
            ),
            (400, r#"{"queue":"Enter a number."}"#, no_queue.clone()),
            (404, r#"{"detail":"Not found."}"#, no_queue),
            (
                429,
                r#"{"detail":"Request was throttled."}"#,
                Fault::Throttled { until: None },
            ),
        ];
        for (status, body, fault) in cases {
            assert_eq!(
                read(status, body, FIRST).unwrap_err(),
                fault,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn other_statuses_are_upstreams_trouble() {
        let cases = [
            (
                400,
                r#"{"page_size":["Enter a number."]}"#,
                FIRST,
                Down::UnexpectedStatus,
            ),
            (
                400,
                r#"{"queue":["Enter a number."]}"#,
                LOOK_UP,
                Down::UnexpectedStatus,
            ),
            (400, "<html>", FIRST, Down::UnexpectedStatus),
            (404, r#"{"detail":"Not found."}"#, LOOK_UP, Down::NotFound),
            (404, "<html>", FIRST, Down::NotFound),
            (404, "<html>", THIRD, Down::NotFound),
            (204, "", FIRST, Down::UnexpectedStatus),
            (206, r#"{"results":[]}"#, FIRST, Down::UnexpectedStatus),
            (418, "", FIRST, Down::UnexpectedStatus),
            (500, "", FIRST, Down::ServerError),
            (502, "<html>", FIRST, Down::ServerError),
            (503, r#"{"results":[]}"#, FIRST, Down::ServerError),
            (301, "", FIRST, Down::Redirect),
            (304, "", FIRST, Down::Redirect),
        ];
        for (status, body, ask, down) in cases {
            let fault = read(status, body, ask).unwrap_err();
            assert_eq!(kind(fault), down, "{status} {body}");
        }
    }

    #[test]
    fn a_page_past_the_end_is_the_end_of_the_list() {
        let page = read(404, r#"{"detail":"Invalid page."}"#, THIRD).unwrap();
        assert!(page.rows.is_empty() && page.next.is_none() && page.count.is_none());
    }

    #[test]
    fn a_redirect_names_the_host_and_nothing_else_of_its_target() {
        let mut redirect = reply(302, "");
        let target = HeaderValue::from_static("https://login.example/?next=%2Fsecret");
        redirect.headers.insert(header::LOCATION, target);
        let fault = Page::read(&redirect, FIRST, NOW).unwrap_err().to_string();
        assert_eq!(
            fault,
            "CallTools answered with a redirect to login.example (302)"
        );
    }

    fn wait(retry_after: &str, date: Option<&str>) -> Option<u64> {
        let date = date.map(|date| (header::DATE, date));
        waits(
            429,
            [(header::RETRY_AFTER, retry_after)].into_iter().chain(date),
        )
    }

    fn waits<'a>(
        status: u16,
        headers: impl IntoIterator<Item = (HeaderName, &'a str)>,
    ) -> Option<u64> {
        let mut refusal = reply(status, "");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            refusal.headers.append(name, value);
        }
        let fault = Page::read(&refusal, FIRST, NOW).unwrap_err();
        let wait = match fault {
            Fault::Throttled { until } => until.map(|until| until.shortest_since(NOW)),
            Fault::UpstreamDown { wait, .. } => wait,
            _ => None,
        };
        wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn a_server_that_is_down_may_say_for_how_long() {
        for status in [500, 502, 503, 504] {
            let header = (header::RETRY_AFTER, "600");
            assert_eq!(waits(status, [header]), Some(600), "{status}");
            assert_eq!(waits(status, []), None, "{status}");
            let header = (header::RETRY_AFTER, "-1");
            assert_eq!(waits(status, [header]), None, "{status}");
        }
        // There it would mean something else.
        for status in [301, 401, 403, 404] {
            let header = (header::RETRY_AFTER, "600");
            assert_eq!(waits(status, [header]), None, "{status}");
        }
    }

    #[test]
    fn of_several_waits_the_longest_counts() {
        let waits = |values: &[&'static str]| {
            let header = |value: &&'static str| (header::RETRY_AFTER, *value);
            waits(429, values.iter().map(header))
        };
        assert_eq!(waits(&["60", "600", "30"]), Some(600));
        assert_eq!(waits(&["soon", "600"]), Some(600));
        assert_eq!(waits(&["60", "Sun, 22 Nov 2026 10:02:00 GMT"]), Some(120));
        assert_eq!(waits(&["-1", ""]), None);
    }

    #[test]
    fn retry_after_comes_in_seconds() {
        let cases = [
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("0", Some(1)),
            ("3600", Some(3600)),
            ("99999", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1.5", Some(2)),
            ("600.0", Some(600)),
            ("1.", None),
            (".5", None),
            ("1e3", None),
            ("NaN", None),
            ("soon", None),
        ];
        for (text, expected) in cases {
            assert_eq!(wait(text, None), expected, "{text:?}");
        }
    }

    #[test]
    fn retry_after_comes_as_a_date_on_the_servers_clock() {
        let later = "Sun, 22 Nov 2026 10:02:00 GMT";
        assert_eq!(wait(later, None), Some(120));
        assert_eq!(wait(later, Some("Sun, 22 Nov 2026 10:01:00 GMT")), Some(60));
        assert_eq!(wait(later, Some("garbage")), Some(120));
        assert_eq!(wait(later, Some(later)), Some(1));
        assert_eq!(wait("Sun, 22 Nov 2026 23:00:00 GMT", None), Some(3600));
        // It has passed: by some clock's fault, so nothing can be learned from it.
        assert_eq!(wait("Sun, 22 Nov 2026 09:00:00 GMT", None), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_to_survive(
            status in prop::sample::select(vec![200_u16, 302, 400, 401, 403, 404, 429, 500]),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = read(status, body, THIRD);
        }

        #[test]
        fn nor_is_any_piece_of_a_page(
            status in prop::sample::select(vec![200_u16, 400, 404]),
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"", "\"results\"", "\"count\"", "\"next\"", "\"?page=4\"", "\"queue\"",
                    "null", "true", "1", "-1", "1e999", "\\u0000", "\\ud800", " ", "\u{feff}",
                ]),
                0..24,
            ),
        ) {
            let _ = read(status, pieces.concat(), THIRD);
        }

        #[test]
        fn a_page_never_leads_back(number in any::<u32>(), page in 1..1000_u32) {
            let body = format!(r#"{{"results":[],"next":"?page={number}"}}"#);
            if let Ok(read) = read(200, body, Ask { page, queue: None }) {
                prop_assert!(read.next.is_some_and(|next| next > page));
            }
        }
    }
}
