//! Tests of the pages in a real Chromium: they show what the daemon knows, follow its changes, and request nothing from other servers.
//!
//! These tests are ignored by default: run them with `scripts/test.sh browser`, or `cargo test --test dashboard -- --ignored` if Chromium and
//! its driver are installed. `OPENSEAT_AXE` is the path of axe-core, `OPENSEAT_SCREENSHOTS` the folder for screenshots.

mod access;
mod browser;
mod door;
mod driver;
mod ending;
mod fixture;
mod looks;
mod many;
mod picture;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
