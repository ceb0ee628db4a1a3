//! Parses a config file. The result is a config, or an error with a message.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use openseat::config::Config;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text, Path::new("openseat.toml"), &|_| None) {
        assert!(!error.to_string().is_empty());
    }
});
