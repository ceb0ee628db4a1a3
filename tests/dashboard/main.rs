//! The pages in a real Chromium: that they show what the daemon knows, follow it, and keep to themselves.
//!
//! `OPENSEAT_BROWSER=none` says that there is no browser, `OPENSEAT_AXE` where axe-core lies (`none`: nowhere), `OPENSEAT_SCREENSHOTS`
//! where to put pictures. Without a word, what is missing is a failure.

mod access;
mod browser;
mod centre;
mod door;
mod driver;
mod ending;
mod looks;
mod picture;
