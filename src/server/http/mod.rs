//! What all handlers read and write: parameters, bodies, problem details. Nothing here knows what is served.

pub mod arrival;
pub mod body;
pub mod params;
pub mod problem;
pub mod problem_types;
