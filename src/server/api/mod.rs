//! The handlers of the API, one file per noun.

pub mod accounts;
pub mod calls;
pub mod decision_parameters;
pub mod decision_request;
pub mod decisions;
pub mod probes;
pub mod queues;
pub mod reload;
pub mod reservations;
