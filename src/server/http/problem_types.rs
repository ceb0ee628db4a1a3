//! All types of problems: status, name for programs, title, and meaning.
//!
//! The names are part of the public interface. The OpenAPI document and the reference page list the types from here.

use http::StatusCode;

/// A type of problem. Each has one static value, so a problem holds only a reference.
pub type ProblemType = &'static ProblemFacts;

/// The facts of a type of problem. Two types may share a name and differ in status, if clients should treat both alike.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemFacts {
    pub status: StatusCode,
    /// The last part of `type`: a stable name for programs.
    pub name: &'static str,
    pub title: &'static str,
    /// When it occurs and what to do, for the reference. The detail of an answer may say more.
    pub meaning: &'static str,
}

impl ProblemFacts {
    /// The `type` of an answer.
    pub fn urn(&self) -> String {
        format!("urn:openseat:problem:{}", self.name)
    }
}

/// Defines the constants and the list of all of them, so that the list is complete.
macro_rules! problem_types {
    ($($constant:ident: $status:ident, $name:literal, $title:literal, $meaning:literal;)*) => {
        $(pub const $constant: ProblemType = &ProblemFacts {
            status: StatusCode::$status,
            name: $name,
            title: $title,
            meaning: $meaning,
        };)*

        /// All of them, by status.
        pub const ALL: &[ProblemType] = &[$($constant),*];
    };
}

problem_types! {
    BAD_REQUEST: BAD_REQUEST, "bad-request", "The request is malformed",
        "the request cannot be understood; the detail says what is wrong";
    BAD_PARAMETER: BAD_REQUEST, "bad-parameter", "A parameter of the request is wrong",
        "a parameter is misspelt, repeated, missing or invalid; the detail says which";
    UNAUTHORIZED: UNAUTHORIZED, "unauthorized", "The bearer token is missing or wrong",
        "send \"Authorization: Bearer <token>\" with the token that openseat is configured with";
    FOREIGN_ORIGIN: FORBIDDEN, "foreign-origin", "The request comes from another site's page",
        "the browser's Origin or Sec-Fetch-Site header names another site. Other sites may only link to pages: open the address directly, or \
         send the request from a program";
    MAY_ONLY_LOOK: FORBIDDEN, "may-only-look", "A browser's session may only look",
        "waiting for fresh data may spend a request, and a held seat is unavailable to other calls: leave out fresh, wait and reserve, or send the bearer token";
    MAY_NOT: FORBIDDEN, "may-not", "This client may not do that",
        "the config does not allow this queue or action for this client's token: see queues and may in its [[server.client]] section";
    NO_SUCH_PATH: NOT_FOUND, "no-such-path", "There is nothing at this path",
        "GET / lists all paths";
    UNKNOWN_QUEUE: NOT_FOUND, "unknown-queue", "This queue is not configured",
        "no configured queue has this name or id; the detail suggests similar ones, and GET /v1/queues lists all";
    NO_SUCH_RESERVATION: NOT_FOUND, "no-such-reservation", "There is no such reservation",
        "it was released, it expired, or its call has reached an agent; GET /v1/reservations lists the held seats";
    NO_SUCH_CALL: NOT_FOUND, "no-such-call", "Nothing is recorded about this call",
        "this daemon has recorded no decision or reservation with this call_id, its answers are older than history_days, or it was a placeholder; in a cluster each node records what it answers itself, so ask the others, too";
    METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED, "method-not-allowed", "This path does not support this method",
        "the Allow header lists the methods of this path";
    SLOW_REQUEST: REQUEST_TIMEOUT, "slow-request", "The request's body did not arrive in time",
        "openseat closes the connection; send the body right after the head";
    AMBIGUOUS_QUEUE: CONFLICT, "ambiguous-queue", "More than one queue has this name or id",
        "the detail lists them; ask for one of those";
    NO_SEAT: CONFLICT, "no-seat", "No seat can be held for this call",
        "the decision is to reject; reason and count say why";
    BODY_TOO_LARGE: PAYLOAD_TOO_LARGE, "body-too-large", "The request's body is too large",
        "requests to openseat need no body, or a small one";
    FOREIGN_HOST: MISDIRECTED_REQUEST, "foreign-host", "The Host header names another server",
        "without a bearer token openseat answers only to IP addresses, localhost, names without a dot and those in allowed_hosts: \
         add this name to allowed_hosts under [server], use the address, or set bearer_token_file";
    BAD_CONFIG: UNPROCESSABLE_ENTITY, "bad-config", "The config was rejected, and the old one stays in force",
        "the file has mistakes or cannot be read; the detail lists all of them";
    NEEDS_RESTART: UNPROCESSABLE_ENTITY, "needs-restart", "The config was rejected, and the old one stays in force",
        "a changed setting needs a restart; the detail says which";
    UNUSABLE_CONFIG: UNPROCESSABLE_ENTITY, "unusable-config", "The config was rejected, and the old one stays in force",
        "something named in the config cannot be used, such as an unreadable token file";
    NO_CONFIG_FILE: CONFLICT, "no-config-file", "There is no config file to reload",
        "openseat was started without a config file";
    BUDGET_SPENT: TOO_MANY_REQUESTS, "budget-spent", "The account's requests are spent",
        "openseat has spent the hour's requests; Retry-After says when the next one may be sent";
    THROTTLED: TOO_MANY_REQUESTS, "throttled", "Other software uses up the account's requests",
        "CallTools refuses requests although openseat's budget has room, because other software uses the account too; Retry-After says when \
         openseat may try again";
    INTERNAL_ERROR: INTERNAL_SERVER_ERROR, "internal-error", "Internal error",
        "this is a bug in openseat; its log has the details";
    BAD_TOKEN: BAD_GATEWAY, "bad-token", "CallTools sent no agents",
        "CallTools does not accept the account's token; a wrong silo looks the same";
    NO_PERMISSION: BAD_GATEWAY, "no-permission", "CallTools sent no agents",
        "the token's user may not read the queue";
    NO_SUCH_QUEUE: BAD_GATEWAY, "no-such-queue", "CallTools sent no agents",
        "the account has no such queue; the detail lists the nearest spellings";
    UPSTREAM_DOWN: BAD_GATEWAY, "upstream-down", "CallTools sent no agents",
        "CallTools cannot be reached, or its answer cannot be used";
    CLUSTER_DOWN: SERVICE_UNAVAILABLE, "cluster-down", "The cluster sends no requests now",
        "this node may not send requests for the account: the cluster's engine cannot be used, or no other node leads yet";
    NO_LEADER: SERVICE_UNAVAILABLE, "no-leader", "The cluster's leader did not answer",
        "the node that decides about the account's seats did not answer in time; a retry for the same call gets the same seat";
    BUSY: SERVICE_UNAVAILABLE, "busy", "Too many requests of this kind are waiting",
        "too many refreshes, reloads, pages or charts are waiting; Retry-After says when to try again";
    HISTORY_UNREADABLE: SERVICE_UNAVAILABLE, "history-unreadable", "The history cannot be read",
        "its file cannot be read, or reading it took too long; the detail says why";
    TOO_MANY_RESERVATIONS: SERVICE_UNAVAILABLE, "too-many-reservations", "Too many seats of this queue are held",
        "the queue has reached its limit of reservations; release those that are not needed";
    TOO_MANY_STREAMS: SERVICE_UNAVAILABLE, "too-many-streams", "Too many streams are open",
        "streams may use a quarter of max_connections, so that other requests find room; close one, or raise max_connections";
    STOPPING: SERVICE_UNAVAILABLE, "stopping", "openseat is stopping",
        "try again in a moment";
    UPSTREAM_SLOW: GATEWAY_TIMEOUT, "upstream-down", "CallTools sent no agents",
        "CallTools did not answer in time";
    REFRESH_TIMEOUT: GATEWAY_TIMEOUT, "refresh-timeout", "The refresh takes too long",
        "the poll continues, and the next decision will use its result";
    RELOAD_TIMEOUT: GATEWAY_TIMEOUT, "reload-timeout", "The reload takes too long",
        "the reload continues; the log and openseat_config_last_reload_successful show its result";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_type_differs_in_name_or_status() {
        let known: HashSet<_> = ALL.iter().map(|one| (one.status, one.name)).collect();
        assert_eq!(known.len(), ALL.len());
        assert!(ALL.iter().all(|one| one.status.as_u16() >= 400));
    }
}
