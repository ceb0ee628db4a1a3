//! Tests the cluster's parts together: scripts against their model, and nodes in virtual time.

mod member;
mod scripts;
mod simulated;
