//! One reply, read: a page of rows, or the fault that it stands for. Pure.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Down, Fault, NoSuchQueue, Reply,
    json::{self, Unsound},
};
use crate::clock::Moment;

/// Rows in one list, over all its pages: a hundred pages, far beyond any queue, and few enough to fit into memory.
pub(super) const MAX_ROWS: usize = 25_000;

/// The shortest and the longest wait that a 429 can ask for: a wait of nothing would be no wait, and after an hour
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
    /// The rows as they came. Each is JSON without double keys and deep nesting; whether it makes sense is for others to say.
    pub rows: Vec<Box<RawValue>>,
    /// How many rows CallTools counts on all pages; `None` where the list came without an envelope, or past its end.
    pub count: Option<u64>,
    /// The number of the next page; `None` on the last. Always greater than this page's.
    pub next: Option<u32>,
}

impl Page {
    /// Reads a reply that came at `now`.
    ///
    /// # Errors
    /// The [`Fault`] that the reply stands for, or one that says what kind of answer it is instead of a page.
    pub fn read(reply: &Reply, ask: Ask, now: Moment) -> Result<Self, Fault> {
        let status = reply.status.as_u16();
        match status {
            200 => Self::from_body(reply, ask),
            400 => Err(refused_queue(reply, ask).unwrap_or_else(|| fault(reply, now))),
            404 if is_past_the_end(reply, ask) => Ok(Self::default()),
            _ => Err(fault(reply, now)),
        }
    }

    fn from_body(reply: &Reply, ask: Ask) -> Result<Self, Fault> {
        let text = json::check(&reply.body).map_err(|unsound| not_usable(reply, unsound))?;
        match text.trim_start().as_bytes().first() {
            Some(b'[') => Self::bare(text),
            Some(b'{') => Self::envelope(text, ask.page),
            _ => Err(shape(
                "CallTools answered with neither a list nor an object",
            )),
        }
    }

    /// Some deployments of CallTools' framework answer with the rows alone, all of them.
    fn bare(text: &str) -> Result<Self, Fault> {
        let Rows(rows) = serde_json::from_str(text).map_err(|_| too_many())?;
        Ok(Self {
            rows,
            count: None,
            next: None,
        })
    }

    fn envelope(text: &str, page: u32) -> Result<Self, Fault> {
        let envelope: Envelope<'_> = serde_json::from_str(text)
            .map_err(|_| shape("\"results\", \"count\" or \"next\" is not what it should be"))?;
        let results = envelope
            .results
            .ok_or_else(|| shape("CallTools answered without \"results\""))?;
        let Rows(rows) = serde_json::from_str(results.get()).map_err(|_| {
            if results.get().starts_with('[') {
                too_many()
            } else {
                shape("\"results\" is not a list")
            }
        })?;
        Ok(Self {
            rows,
            count: envelope.count,
            next: envelope.next.map(|link| next(&link, page)).transpose()?,
        })
    }
}

/// What a reply that came at `now` stands for, whatever was asked, when its status is not the one that was hoped for.
pub(super) fn fault(reply: &Reply, now: Moment) -> Fault {
    match reply.status.as_u16() {
        401 => Fault::BadToken,
        403 => forbidden(reply),
        429 => Fault::Throttled {
            wait: retry_after(&reply.headers, now),
        },
        300..=399 => redirect(reply),
        500..=599 => Fault::down(
            Down::ServerError,
            format!("CallTools answered {}", reply.status),
        ),
        404 => unexpected(Down::NotFound, reply),
        _ => unexpected(Down::UnexpectedStatus, reply),
    }
}

#[derive(serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    count: Option<u64>,
    #[serde(borrow)]
    next: Option<Cow<'a, str>>,
}

/// At most [`MAX_ROWS`] rows: an array of a million ones is a small body and a lot of memory.
struct Rows(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_seq(RowsVisitor)
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
        while let Some(row) = elements.next_element()? {
            if rows.len() == MAX_ROWS {
                return Err(A::Error::custom("too many rows"));
            }
            rows.push(row);
        }
        Ok(Rows(rows))
    }
}

/// The page that a `next` link leads to. The link itself is never followed: behind a proxy it bears another scheme or host,
/// and the token goes to the configured origin only.
fn next(link: &str, page: u32) -> Result<u32, Fault> {
    let number = page_number(link)
        .ok_or_else(|| shape("CallTools' link to the next page bears no page number"))?;
    if number <= page {
        return Err(Fault::down(
            Down::TooLarge,
            format!("CallTools' pages go in a circle: {number} is to follow {page}"),
        ));
    }
    Ok(number)
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
    let text = json::check(&reply.body).ok()?;
    let body: serde_json::Value = serde_json::from_str(text).ok()?;
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

/// Also the fault of a row that is no JSON, but there is none: the whole body was checked before.
fn too_many() -> Fault {
    Fault::down(
        Down::TooLarge,
        format!("CallTools answered with more than {MAX_ROWS} rows"),
    )
}

/// What came instead of JSON that can be trusted.
fn not_usable(reply: &Reply, unsound: Unsound) -> Fault {
    let body = reply.body.trim_ascii_start();
    match unsound {
        Unsound::Structure { line, column } => shape(&format!(
            "CallTools answered with JSON that names a key twice or nests too deeply, at line {line}, column {column}"
        )),
        _ if body.is_empty() => Fault::down(Down::NotJson, "CallTools answered with nothing"),
        _ if body[0] == b'<' => Fault::down(
            Down::NotJson,
            "CallTools answered with a web page instead of JSON",
        ),
        Unsound::Syntax { line, column } => Fault::down(
            Down::NotJson,
            format!("CallTools' answer stops being JSON at line {line}, column {column}"),
        ),
        Unsound::Encoding => Fault::down(Down::NotJson, "CallTools' answer is not UTF-8"),
    }
}

/// How long a 429 asks us to wait: seconds, or an HTTP date.
///
/// A date is measured from the reply's own `Date`, since only those two come from one clock; where there is none, from ours.
/// A date that has passed is the doing of some clock and says nothing, like any other text that cannot be read.
fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    let asked = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = seconds(asked).or_else(|| {
        let date = headers.get(header::DATE);
        let sent = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let sent = sent.unwrap_or(SystemTime::UNIX_EPOCH + now.wall);
        let until = httpdate::parse_http_date(asked).ok()?;
        until.duration_since(sent).ok()
    })?;
    let (shortest, longest) = WAITS;
    Some(wait.clamp(shortest, longest))
}

/// Whole seconds; so many that they do not fit a number are simply many.
fn seconds(text: &str) -> Option<Duration> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
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
            Fault::UpstreamDown { kind, detail } => {
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
        let nested = ["[".repeat(10_000), "]".repeat(10_000)].concat();
        let many = format!("[{}0]", "0,".repeat(MAX_ROWS));
        let cases: [(&[u8], Down); 20] = [
            (b"<!DOCTYPE html><title>Maintenance</title>", Down::NotJson),
            (b"\n  <html>", Down::NotJson),
            (b"", Down::NotJson),
            (b"  ", Down::NotJson),
            (b"{\"results\":[{}", Down::NotJson),
            (b"{\"results\":[]} trailing", Down::NotJson),
            (b"{\"results\":[{\"a\":\"\xff\"}]}", Down::NotJson),
            (b"\xef\xbb\xbf{\"results\":[]}", Down::NotJson),
            (b"null", Down::UnexpectedShape),
            (b"\"results\"", Down::UnexpectedShape),
            (b"{}", Down::UnexpectedShape),
            (b"{\"detail\":\"Welcome\"}", Down::UnexpectedShape),
            (b"{\"results\":null}", Down::UnexpectedShape),
            (b"{\"results\":{}}", Down::UnexpectedShape),
            (b"{\"results\":[],\"count\":\"3\"}", Down::UnexpectedShape),
            (b"{\"results\":[],\"count\":-1}", Down::UnexpectedShape),
            (b"{\"results\":[],\"next\":2}", Down::UnexpectedShape),
            (b"{\"results\":[{\"a\":1,\"a\":2}]}", Down::UnexpectedShape),
            (nested.as_bytes(), Down::UnexpectedShape),
            (many.as_bytes(), Down::TooLarge),
        ];
        for (body, down) in cases {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            let fault = read(200, body.to_vec(), FIRST).unwrap_err();
            assert_eq!(kind(fault), down, "{shown}");
        }
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
            "",
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
            assert_eq!(next(link, THIRD), Err(Down::TooLarge), "{link}");
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
            (400, r#"{"queue":"Enter a number."}"#, no_queue),
            (
                429,
                r#"{"detail":"Request was throttled."}"#,
                Fault::Throttled { wait: None },
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
            (404, r#"{"detail":"Not found."}"#, FIRST, Down::NotFound),
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
        let mut throttled = reply(429, "");
        let mut set = |name, value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            throttled.headers.insert(name, value);
        };
        set(header::RETRY_AFTER, retry_after);
        if let Some(date) = date {
            set(header::DATE, date);
        }
        match Page::read(&throttled, FIRST, NOW) {
            Err(Fault::Throttled { wait }) => wait.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        }
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
            ("1.5", None),
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
