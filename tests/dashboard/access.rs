//! That everybody can use the pages: with eyes or without, on any device, by keyboard.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use crate::{
    browser::{self, Browser, Device},
    centre::Centre,
};

/// axe-core, which looks for what keeps people out; `None` where whoever started the tests says that there is none.
fn axe() -> Option<String> {
    let given = env::var_os("OPENSEAT_AXE").map(PathBuf::from);
    if given
        .as_ref()
        .is_some_and(|path| path.as_os_str() == "none")
    {
        browser::say("NOT RUN: OPENSEAT_AXE=none says that there is no axe-core to test with\n");
        return None;
    }
    let usual =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../axe/node_modules/axe-core/axe.min.js");
    let path = given.unwrap_or(usual);
    let source = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}. `npm install --prefix target/axe axe-core` fetches it; where that cannot be, OPENSEAT_AXE=none says so", path.display())
    });
    Some(source)
}

/// What is wrong with the page as it stands, in short.
async fn findings(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe).await;
    let script =
        "axe.run(document, { resultTypes: ['violations'] }).then(arguments[0], arguments[0])";
    let report = browser.run_async(script).await;
    let violations = report["violations"].as_array().expect("a report").iter();
    let told = violations.map(|one| {
        let word = |key: &str| one[key].as_str().unwrap_or_default();
        let nodes = one["nodes"].as_array().into_iter().flatten();
        let nodes: Vec<_> = nodes.map(|node| node["html"].to_string()).collect();
        format!("{}: {}: {}", word("impact"), word("help"), nodes.join(", "))
    });
    told.collect()
}

#[tokio::test]
async fn nobody_is_kept_out_in_light_or_dark_on_phone_or_desktop() {
    if browser::there_is_none() {
        return;
    }
    let Some(axe) = axe() else { return };
    let queues: [(&str, &[&str]); 2] = [("sales", &["Ann", "Bob"]), ("no-such", &[])];
    let centre = Centre::open(&queues).await;
    // One queue in trouble, so that its words and colours are looked at, too.
    centre.simulator.world(|world| {
        let gone = world.queue_named("no-such").map(|queue| queue.id);
        assert!(world.remove_queue(gone.expect("it was added")));
    });
    let closed = Centre::behind_a_token(&[("sales", &["Ann"])]).await;
    let browser = Browser::start().await;
    let what_if = "/queues/main/sales?field=$.results[*].status&value=1";
    let pages = [
        ("dashboard", centre.url("/")),
        ("queue", centre.url("/queues/main/sales")),
        ("criteria", centre.url(what_if)),
        ("nowhere", centre.url("/queues/main/none")),
        ("login", closed.url("/login")),
    ];
    for (name, url) in pages {
        browser.open(&url).await;
        match name {
            "dashboard" => {
                browser.click(".endpoints summary").await;
                browser
                    .sees(".trouble", |text| text.contains("no queue named"))
                    .await;
            }
            "criteria" => browser.sees(".outcome", |text| !text.is_empty()).await,
            _ => {}
        }
        for device in [Device::Desktop, Device::Phone] {
            for scheme in ["light", "dark"] {
                browser.becomes(device, scheme).await;
                browser
                    .shoot(&format!("{name}-{device:?}-{scheme}").to_lowercase())
                    .await;
                let found = findings(&browser, &axe).await;
                assert!(
                    found.is_empty(),
                    "{name} on {device:?} in {scheme}: {found:#?}"
                );
                let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(
                    browser.run(wide).await,
                    0,
                    "{name} on {device:?} is too wide"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_keyboard_reaches_everything_and_keeps_its_place_through_changes() {
    if browser::there_is_none() {
        return;
    }
    let centre = Centre::open(&[("sales", &["Ann"]), ("support", &["Bob"])]).await;
    let browser = Browser::start().await;
    browser.open(&centre.url("/")).await;
    browser.is_live().await;
    browser.sees("h1", |text| text.starts_with("2 of 2")).await;
    let mut met = Vec::new();
    for _ in 0..5 {
        met.push(browser.tab().await);
    }
    assert_eq!(
        met,
        [
            "To the content",
            "openseat",
            "sales",
            "support",
            "For programs"
        ]
    );
    browser
        .run("document.querySelectorAll('.queue a')[1].focus()")
        .await;
    centre.everybody_is("On a Call");
    browser
        .sees(".queue:nth-child(2) .number", |text| text == "0")
        .await;
    assert_eq!(browser.focus().await, "support");
    assert_ne!(
        browser
            .run("return getComputedStyle(document.activeElement).outlineStyle")
            .await,
        Value::from("none")
    );
}
