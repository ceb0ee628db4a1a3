//! Reads requests and writes errors for all handlers: parameters, bodies, rights, problem details. Nothing here knows what is served.

pub mod accept;
pub mod body;
pub mod call;
pub mod call_id;
pub mod cookies;
pub mod params;
pub mod problem;
pub mod problem_types;
pub mod rights;
pub mod rule;
