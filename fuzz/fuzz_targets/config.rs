//! A config file, to a config or to words on what is wrong with it.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use openseat::config::Config;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text, Path::new("openseat.toml"), &|_| None) {
        assert!(!error.to_string().is_empty());
    }
});
