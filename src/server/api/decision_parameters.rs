//! The parameters of requests for a decision, a refresh or a reservation.

use crate::server::{
    http::{
        call_id,
        params::{Parameter, Shape},
    },
    json::reservation::TTL_PATTERN,
};

const THRESHOLD: Parameter = Parameter {
    name: "threshold",
    meaning: "Accept if there are more seats than this, instead of the configured threshold; not below 0, except for criteria of your own",
    shape: Shape::Count,
    example: "2",
};

const FORMAT: Parameter = Parameter {
    name: "format",
    meaning: "`text` answers `accept` or `reject`; `count` answers a bare number, the `capacity`, which is above 0 if and only if the decision is to accept; \
              `status` answers 204 or 403 without a body",
    shape: Shape::OneOf(&["json", "text", "count", "status"]),
    example: "json",
};

const FRESH: Parameter = Parameter {
    name: "fresh",
    meaning: "Wait for newer data if the data is older than this, the decision is in doubt, and the budget can spare a request; a duration of at most 1 h, such as `2s` or `1m`",
    shape: Shape::Pattern(
        "^(0(ms|s|m|h)?|[1-9][0-9]{0,5}ms|([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|3600)s|([1-9]|[1-5][0-9]|60)m|1h)$",
    ),
    example: "2s",
};

const WAIT: Parameter = Parameter {
    name: "wait",
    meaning: "The longest time to wait for newer data, at most 5 s; a duration such as `800ms`",
    shape: Shape::Pattern("^(0(ms|s|m|h)?|([1-9][0-9]{0,2}|[1-4][0-9]{3}|5000)ms|[1-5]s)$"),
    example: "800ms",
};

pub const CALL_ID: Parameter = Parameter {
    name: call_id::CALL_ID,
    meaning: "The router's id for the call. An unfilled placeholder, such as `[CALLER_ID]` or `{{call.id}}`, is not an id, nor are several different values: then the answer has a `warning`",
    shape: Shape::Text,
    example: "a84b4c76e66710",
};

const RESERVE: Parameter = Parameter {
    name: "reserve",
    meaning: "Also hold the seat for the call in `call_id`, for this long, from `1s` to `10m`. Repeating the request for the same call returns the same reservation",
    shape: Shape::Pattern(TTL_PATTERN),
    example: "45s",
};

/// The parameters of a request for one decision.
pub const DECISION_PARAMETERS: &[Parameter] = &[THRESHOLD, FORMAT, FRESH, WAIT, CALL_ID, RESERVE];

/// The parameters of a refresh, which is answered like a decision.
pub const REFRESH_PARAMETERS: &[Parameter] = &[THRESHOLD, FORMAT, FRESH, WAIT];

/// The parameters of a request for a reservation, whose answer has only one format.
pub const RESERVATION_PARAMETERS: &[Parameter] = &[THRESHOLD, FRESH, WAIT];
