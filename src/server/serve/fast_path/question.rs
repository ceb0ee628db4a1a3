//! What a request asks for, if the fast path can answer it.

use std::sync::Arc;

use http::{Method, Request};
use hyper::body::{Body, Incoming};
use percent_encoding::percent_decode_str;

use crate::server::{
    http::{call_id, params, rule::Rule},
    routes::{DECISION_RULE, DECISIONS_RULE},
    state::{
        app::{App, Queue},
        named_queue::MAX_QUEUES,
    },
};

/// A plain question for decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'r> {
    /// For one queue, spelled as in a path.
    One(&'r str),
    /// For those that a query names.
    Many(&'r str),
}

impl<'r> Question<'r> {
    /// What a request asks for; `None` if anything in it could change the answer in a way that is left to the router.
    pub fn from_request(request: &'r Request<Incoming>) -> Option<Self> {
        let uri = request.uri();
        let is_plain = request.method() == Method::GET
            && uri.authority().is_none()
            && request.body().is_end_stream();
        let path = is_plain.then(|| uri.path())?;
        if path == "/v1/decisions" {
            let query = uri.query()?;
            return names_queues(query).then_some(Self::Many(query));
        }
        let queue = path
            .strip_prefix("/v1/queues/")?
            .strip_suffix("/decision")?;
        let has_effect = uri.query().is_some_and(|query| !is_without_effect(query));
        (!has_effect).then_some(Self::One(queue))
    }

    /// The rule of the route that would answer.
    pub fn rule(self) -> Rule {
        match self {
            Self::One(_) => *DECISION_RULE,
            Self::Many(_) => *DECISIONS_RULE,
        }
    }
}

/// The queues that a query names, as it spells them.
pub fn spellings(query: &str) -> impl Iterator<Item = &str> {
    let pairs = query.split('&');
    pairs.filter_map(|pair| pair.strip_prefix("queue="))
}

/// Finds a queue as the router does: a path is split first and decoded afterwards.
pub fn find_in_path(app: &App, spelling: &str) -> Option<Arc<Queue>> {
    let decode = |segment| percent_decode_str(segment).decode_utf8().ok();
    match spelling.split_once('/') {
        None => app.find(None, &decode(spelling)?).ok(),
        Some((_, queue)) if queue.contains('/') => None,
        Some((account, queue)) => app.find(Some(&decode(account)?), &decode(queue)?).ok(),
    }
}

/// Finds a queue as the router does: a value of a query is decoded first.
pub fn find_in_query(app: &App, spelling: &str) -> Option<Arc<Queue>> {
    let (name, _) = url::form_urlencoded::parse(spelling.as_bytes()).next()?;
    app.find_named(&name).ok()
}

/// Whether a query changes nothing about the answer, as that of most routers: parameters of theirs, and a call's id that is one at first sight.
fn is_without_effect(query: &str) -> bool {
    let mut ids = 0;
    query.split('&').all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == call_id::CALL_ID {
            ids += 1;
            return ids == 1 && call_id::is_plain(value);
        }
        is_foreign(name)
    })
}

/// Whether a query names queues, at least one and not too many, and beyond that has only parameters of routers.
fn names_queues(query: &str) -> bool {
    let is_known = |pair: &str| match pair.split_once('=') {
        // A queue cannot be spelled with a second `=` or with a `&` that is not encoded.
        Some(("queue", value)) => !value.contains('='),
        Some((name, _)) => name != call_id::CALL_ID && is_foreign(name),
        None => pair != "queue" && is_foreign(pair),
    };
    query.split('&').all(is_known) && (1..=MAX_QUEUES).contains(&spellings(query).count())
}

/// Whether a parameter is a router's. A name that is encoded may be any.
fn is_foreign(name: &str) -> bool {
    !name.contains(['%', '+']) && params::own_name(name).is_none() && name != params::KEY
}

#[cfg(test)]
mod tests {
    use super::{is_without_effect, names_queues};

    #[test]
    fn only_a_query_that_changes_nothing_is_answered_here() {
        for query in [
            "",
            "caller_id=%2B13105550100&zip=90210&_=1764189134",
            "callerId=1&CALL_UUID=x&campaign=a+b&sub[]=%5B1%5D",
            "call_id=a84b4c76e66710",
            "a&&b==c",
        ] {
            assert!(is_without_effect(query), "{query}");
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
            assert!(!is_without_effect(query), "{query}");
        }
    }

    #[test]
    fn only_plain_queues_are_answered_here() {
        for query in [
            "queue=a",
            "queue=a&queue=main/b&queue=a%26b&queue=%6dain%2Fb&queue=a+b",
            "queue=a&caller_id=1&zip&_=1764189134",
            "queue=",
        ] {
            assert!(names_queues(query), "{query}");
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
            "queue=a&call_id=1",
            "queue=a&key=0123456789abcdef",
            many.trim_end_matches('&'),
        ] {
            assert!(!names_queues(query), "{query}");
        }
    }
}
