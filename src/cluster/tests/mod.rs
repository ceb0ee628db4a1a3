//! Tests the cluster's parts together: scripts against their model, and nodes in virtual time.

mod claims;
mod fail_over;
mod gap;
mod logged;
mod lost_ledger;
mod member;
mod scripts;
mod silence;
mod simulated;
mod spending;
