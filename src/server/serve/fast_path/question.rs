//! The request, if the fast path can answer it.

use std::sync::Arc;

use http::{Method, Request};
use hyper::body::{Body, Incoming};
use percent_encoding::percent_decode_str;

use crate::server::{
    http::{call::Call, call_id, params, rule::Rule},
    routes::{DECISION_RULE, DECISIONS_RULE},
    state::{
        app::{App, Queue},
        named_queue::MAX_QUEUES,
    },
};

/// A plain request for decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'r> {
    pub about: About<'r>,
    /// The id of the call that the request is about.
    call_id: Option<&'r str>,
    query: &'r str,
}

/// The queues in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'r> {
    /// One, as spelled in a path.
    One(&'r str),
    /// Those that a query names.
    Many(&'r str),
}

/// A query that does not change the answer, like that of most routers: parameters of their own, and a call's id that is obviously one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct WithoutEffect<'r> {
    call_id: Option<&'r str>,
}

impl<'r> Question<'r> {
    /// Reads a request; `None` if anything in it could change the answer, so that the router must handle it.
    pub fn from_request(request: &'r Request<Incoming>) -> Option<Self> {
        let uri = request.uri();
        let is_plain = request.method() == Method::GET
            && uri.authority().is_none()
            && request.body().is_end_stream();
        let path = is_plain.then(|| uri.path())?;
        let query = uri.query().unwrap_or_default();
        let (about, WithoutEffect { call_id }) = if path == "/v1/decisions" {
            (About::Many(query), queues_named(query)?)
        } else {
            let queue = path
                .strip_prefix("/v1/queues/")?
                .strip_suffix("/decision")?;
            (About::One(queue), without_effect(query)?)
        };
        Some(Self {
            about,
            call_id,
            query,
        })
    }

    /// Returns the rule of the route that would answer.
    pub fn rule(self) -> Rule {
        match self.about {
            About::One(_) => *DECISION_RULE,
            About::Many(_) => *DECISIONS_RULE,
        }
    }

    /// The call that it is about, for the record. Questions with a key are answered elsewhere.
    pub fn call(self) -> Option<Call> {
        Call::new(self.call_id?, self.query, None)
    }
}

/// Returns the queues that a query names, as it spells them.
pub fn spellings(query: &str) -> impl Iterator<Item = &str> {
    let pairs = query.split('&');
    pairs.filter_map(|pair| pair.strip_prefix("queue="))
}

/// Finds a queue the way the router does: a path is split first and decoded afterwards.
pub fn find_in_path(app: &App, spelling: &str) -> Option<Arc<Queue>> {
    let decode = |segment| percent_decode_str(segment).decode_utf8().ok();
    match spelling.split_once('/') {
        None => app.find_named(&decode(spelling)?).ok(),
        Some((_, queue)) if queue.contains('/') => None,
        Some((account, queue)) => app.find(Some(&decode(account)?), &decode(queue)?).ok(),
    }
}

/// Finds a queue the way the router does: a value of a query is decoded first.
pub fn find_in_query(app: &App, spelling: &str) -> Option<Arc<Queue>> {
    let (name, _) = url::form_urlencoded::parse(spelling.as_bytes()).next()?;
    app.find_named(&name).ok()
}

/// Reads a query; `None` if it may change the answer.
fn without_effect(query: &str) -> Option<WithoutEffect<'_>> {
    read(query, |name, _| is_foreign(name))
}

/// Reads a query that names queues, at least one and not too many, and does not change the answer otherwise.
fn queues_named(query: &str) -> Option<WithoutEffect<'_>> {
    let is_known = |name: &str, value: Option<&str>| match name {
        // The spelling of a queue cannot contain a second `=` or an unencoded `&`.
        "queue" => value.is_some_and(|value| !value.contains('=')),
        name => is_foreign(name),
    };
    let read = read(query, is_known)?;
    (1..=MAX_QUEUES)
        .contains(&spellings(query).count())
        .then_some(read)
}

fn read(query: &str, is_known: impl Fn(&str, Option<&str>) -> bool) -> Option<WithoutEffect<'_>> {
    let mut read = WithoutEffect::default();
    for pair in query.split('&') {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        if name == call_id::CALL_ID {
            let value = value.filter(|value| call_id::is_plain(value))?;
            if read.call_id.replace(value).is_some() {
                return None;
            }
        } else if !is_known(name, value) {
            return None;
        }
    }
    Some(read)
}

/// Whether a parameter belongs to the router. An encoded name could be any.
fn is_foreign(name: &str) -> bool {
    !name.contains(['%', '+']) && params::own_name(name).is_none() && name != params::KEY
}

#[cfg(test)]
mod tests {
    use super::{queues_named, without_effect};

    #[test]
    fn only_a_query_without_options_is_answered_here() {
        for query in [
            "",
            "caller_id=%2B13105550100&zip=90210&_=1764189134",
            "callerId=1&CALL_UUID=x&campaign=a+b&sub[]=%5B1%5D",
            "call_id=a84b4c76e66710",
            "a&&b==c",
        ] {
            assert!(without_effect(query).is_some(), "{query}");
        }
        for query in [
            "threshold=2",
            "zip=1&treshold=2",
            "Format=text",
            "format=json",
            "%66ormat=text",
            "for%6dat=text",
            "call_id=",
            "call_id=[CALLER_ID]",
            "call_id=%7Bid%7D",
            "call_id=null",
            "call_id=a&call_id=b",
            "c%61ll_id=[ID]",
            "call_id=a&reserve=45s",
            "key=0123456789abcdef",
        ] {
            assert_eq!(without_effect(query), None, "{query}");
        }
    }

    #[test]
    fn the_call_of_a_request_is_known() {
        for query in ["call_id=a84b", "zip=1&call_id=a84b&tag_x=1"] {
            let read = without_effect(query).expect("a plain query");
            assert_eq!(read.call_id, Some("a84b"), "{query}");
        }
        let read = queues_named("queue=a&call_id=a84b").expect("a plain query");
        assert_eq!(read.call_id, Some("a84b"));
    }

    #[test]
    fn only_plain_queues_are_answered_here() {
        for query in [
            "queue=a",
            "queue=a&queue=main/b&queue=a%26b&queue=%6dain%2Fb&queue=a+b",
            "queue=a&caller_id=1&zip&_=1764189134",
            "call_id=1&queue=a&tag_x=1",
            "queue=",
        ] {
            assert!(queues_named(query).is_some(), "{query}");
        }
        let many = "queue=a&".repeat(101);
        for query in [
            "",
            "queue",
            "zip=1",
            "queue=a&queue",
            "queue=a=b",
            "qu%65ue=a&queue=b",
            "queue=a&format=json",
            "queue=a&fresh=1s",
            "queue=a&call_id",
            "queue=a&call_id=[ID]",
            "queue=a&call_id=1&call_id=1",
            "queue=a&key=0123456789abcdef",
            many.trim_end_matches('&'),
        ] {
            assert_eq!(queues_named(query), None, "{query}");
        }
    }
}
