//! Every kind of problem there is: its status, its word for programs, its title, and what it means.
//!
//! The words are part of the interface; the API's document and its page are written from here.

use http::StatusCode;

/// One kind of problem. There is one of each, so a problem need not carry it along.
pub type Kind = &'static Facts;

/// What is known of a kind. The same word may stand with two statuses, where a client would act on either alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    pub status: StatusCode,
    /// The last part of `type`: a stable word for programs.
    pub word: &'static str,
    pub title: &'static str,
    /// When it comes and what to do, for the reference. An answer's own detail may say more.
    pub means: &'static str,
}

impl Facts {
    /// What stands in an answer's `type`.
    pub fn urn(&self) -> String {
        format!("urn:openseat:problem:{}", self.word)
    }
}

/// Makes the constants, and the list of all of them, so that none is left out of it.
macro_rules! kinds {
    ($($name:ident: $status:ident, $word:literal, $title:literal, $means:literal;)*) => {
        $(pub const $name: Kind = &Facts {
            status: StatusCode::$status,
            word: $word,
            title: $title,
            means: $means,
        };)*

        /// All of them, by status.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    BAD_REQUEST: BAD_REQUEST, "bad-request", "The request is not well-formed",
        "the request cannot be understood as it stands; the detail says what is wrong";
    BAD_PARAMETER: BAD_REQUEST, "bad-parameter", "A parameter of the request is wrong",
        "a parameter is unknown, given twice, missing, or has a value that does not fit; the detail says which";
    UNAUTHORIZED: UNAUTHORIZED, "unauthorized", "The bearer token is missing or wrong",
        "send \"Authorization: Bearer <token>\" with the token that openseat is configured with";
    FOREIGN_ORIGIN: FORBIDDEN, "foreign-origin", "The request comes from another site's page",
        "the browser's Origin or Sec-Fetch-Site header names another site; of those, only people who follow a link are let in, and only to \
         pages: open the address by itself, or ask with a program";
    MAY_ONLY_LOOK: FORBIDDEN, "may-only-look", "A browser's session may only look",
        "to wait for a fresh answer may spend a request: leave out fresh and wait, or send the bearer token";
    NO_SUCH_PATH: NOT_FOUND, "no-such-path", "There is nothing at this path",
        "GET / lists what there is";
    UNKNOWN_QUEUE: NOT_FOUND, "unknown-queue", "This queue is not configured",
        "no configured queue has this name or id; the detail has the nearest ones";
    NO_SUCH_RESERVATION: NOT_FOUND, "no-such-reservation", "There is no such reservation",
        "it was released, its time is up, or its call has reached an agent; GET /v1/reservations lists those held";
    METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED, "method-not-allowed", "This path has no such method",
        "the Allow header lists the methods of this path";
    SLOW_REQUEST: REQUEST_TIMEOUT, "slow-request", "The request's body does not come",
        "the connection ends here; send the body at once";
    AMBIGUOUS_QUEUE: CONFLICT, "ambiguous-queue", "More than one queue answers to this name",
        "ask for {account}/{queue} instead";
    NO_SEAT: CONFLICT, "no-seat", "No seat can be held for this call",
        "the decision is to reject; reason and count say why";
    BODY_TOO_LARGE: PAYLOAD_TOO_LARGE, "body-too-large", "The request has too large a body",
        "requests to openseat need no body, or a small one";
    FOREIGN_HOST: MISDIRECTED_REQUEST, "foreign-host", "The Host header names another server",
        "without a bearer token openseat answers to IP addresses, to localhost, to names without a dot and to those in allowed_hosts: \
         add this name to allowed_hosts under [server], ask by the address, or set bearer_token_file";
    BAD_CONFIG: UNPROCESSABLE_ENTITY, "bad-config", "The config is refused, and the old one stays in force",
        "the file has mistakes, or cannot be read; the detail has all of them";
    NEEDS_RESTART: UNPROCESSABLE_ENTITY, "needs-restart", "The config is refused, and the old one stays in force",
        "a setting has changed that only a start can take in; the detail says which";
    UNUSABLE_CONFIG: UNPROCESSABLE_ENTITY, "unusable-config", "The config is refused, and the old one stays in force",
        "what the config names cannot be used, such as a token that cannot be read";
    NO_CONFIG_FILE: CONFLICT, "no-config-file", "There is no config to read again",
        "openseat was started without a config file, so there is none to read again";
    BUDGET_SPENT: TOO_MANY_REQUESTS, "budget-spent", "The account's requests are spent",
        "openseat has spent the hour's requests; Retry-After says when there is one again";
    THROTTLED: TOO_MANY_REQUESTS, "throttled", "Others spend from the account",
        "CallTools refuses requests that openseat's own budget has room for, since others spend from the account; Retry-After says when \
         openseat may ask again";
    INTERNAL_ERROR: INTERNAL_SERVER_ERROR, "internal-error", "openseat made a mistake",
        "this is a bug in openseat; its log has the details";
    BAD_TOKEN: BAD_GATEWAY, "bad-token", "CallTools gave no agents",
        "CallTools does not accept the account's token; a wrong silo looks the same";
    NO_PERMISSION: BAD_GATEWAY, "no-permission", "CallTools gave no agents",
        "the token's user may not read the queue";
    NO_SUCH_QUEUE: BAD_GATEWAY, "no-such-queue", "CallTools gave no agents",
        "the account has no such queue; the detail has the nearest spellings";
    UPSTREAM_DOWN: BAD_GATEWAY, "upstream-down", "CallTools gave no agents",
        "CallTools cannot be reached, or its answer makes no sense";
    BUSY: SERVICE_UNAVAILABLE, "busy", "Too many ask for the same",
        "refreshes, reloads, or pages and charts, are waiting already; ask again in a second";
    HISTORY_UNREADABLE: SERVICE_UNAVAILABLE, "history-unreadable", "The history cannot be read",
        "its file cannot be read now, or reading it took too long; the detail says why";
    TOO_MANY_RESERVATIONS: SERVICE_UNAVAILABLE, "too-many-reservations", "Too many calls are on their way",
        "as many seats of this queue are held as may be; release those that are not needed";
    TOO_MANY_STREAMS: SERVICE_UNAVAILABLE, "too-many-streams", "Too many streams are open",
        "a quarter of max_connections may be streams, so that questions find room; close one, or raise max_connections";
    STOPPING: SERVICE_UNAVAILABLE, "stopping", "openseat is stopping",
        "ask again in a moment";
    UPSTREAM_SLOW: GATEWAY_TIMEOUT, "upstream-down", "CallTools gave no agents",
        "CallTools did not answer in time";
    REFRESH_TIMEOUT: GATEWAY_TIMEOUT, "refresh-timeout", "The refresh takes too long",
        "the poll goes on, and the next decision will use it";
    RELOAD_TIMEOUT: GATEWAY_TIMEOUT, "reload-timeout", "The config takes long to be taken in",
        "it goes on; the log and openseat_config_last_reload_successful tell how it ends";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_kinds_are_told_apart_by_nothing() {
        let told: HashSet<_> = ALL.iter().map(|kind| (kind.status, kind.word)).collect();
        assert_eq!(told.len(), ALL.len());
        assert!(ALL.iter().all(|kind| kind.status.as_u16() >= 400));
    }
}
