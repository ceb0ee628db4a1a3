use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
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
    assert_eq!(page.rows.iter().next().unwrap(), r#"{"a": 1}"#);
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
fn a_body_with_an_odd_character_is_still_a_page() {
    for (body, row) in [
        (&b"\xef\xbb\xbf{\"results\":[{}]}"[..], "{}"),
        (b"{\"results\":[{\"a\":\"\xff\"}]}", "{\"a\":\"\u{fffd}\"}"),
        // The row's parser uses the last one.
        (br#"[{"a":1,"a":2}]"#, r#"{"a":1,"a":2}"#),
    ] {
        let page = read(200, body.to_vec(), FIRST).unwrap();
        assert_eq!(page.rows.iter().next().unwrap(), row);
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
fn a_next_without_a_page_is_ignored() {
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
fn a_cached_answer_is_as_old_as_its_age_header() {
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
fn a_date_can_only_make_a_cached_answer_older() {
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
fn only_the_page_number_of_a_next_link_is_used() {
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
fn other_statuses_are_upstream_faults() {
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
        (304, "", FIRST, Down::UnexpectedStatus),
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

fn waits<'a>(status: u16, headers: impl IntoIterator<Item = (HeaderName, &'a str)>) -> Option<u64> {
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
    // With these statuses it would mean something else.
    for status in [301, 401, 403, 404] {
        let header = (header::RETRY_AFTER, "600");
        assert_eq!(waits(status, [header]), None, "{status}");
    }
}

#[test]
fn the_longest_of_several_waits_counts() {
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
fn retry_after_can_be_in_seconds() {
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
fn retry_after_can_be_a_date_on_the_servers_clock() {
    let later = "Sun, 22 Nov 2026 10:02:00 GMT";
    assert_eq!(wait(later, None), Some(120));
    assert_eq!(wait(later, Some("Sun, 22 Nov 2026 10:01:00 GMT")), Some(60));
    assert_eq!(wait(later, Some("garbage")), Some(120));
    assert_eq!(wait(later, Some(later)), Some(1));
    assert_eq!(wait("Sun, 22 Nov 2026 23:00:00 GMT", None), Some(3600));
    // It is in the past: a clock is wrong, so nothing can be learned from it.
    assert_eq!(wait("Sun, 22 Nov 2026 09:00:00 GMT", None), None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        status in prop::sample::select(vec![200_u16, 302, 400, 401, 403, 404, 429, 500]),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = read(status, body, THIRD);
    }

    #[test]
    fn no_piece_of_a_page_makes_the_parser_panic(
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
    fn a_next_page_is_never_an_earlier_one(number in any::<u32>(), page in 1..1000_u32) {
        let body = format!(r#"{{"results":[],"next":"?page={number}"}}"#);
        if let Ok(read) = read(200, body, Ask { page, queue: None }) {
            prop_assert!(read.next.is_some_and(|next| next > page));
        }
    }
}
