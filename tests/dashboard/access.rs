//! The pages are accessible: to screen readers, on any device, in light and dark, by keyboard.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use crate::{
    browser::{Browser, Device},
    fixture::Fixture,
};

/// The source of axe-core, which checks the accessibility of pages.
pub fn axe() -> String {
    let given = env::var_os("OPENSEAT_AXE").map(PathBuf::from);
    let usual =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../axe/node_modules/axe-core/axe.min.js");
    let path = given.unwrap_or(usual);
    fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `npm install --prefix target/axe axe-core` fetches it",
            path.display()
        )
    })
}

/// The problems that axe-core finds in the page as it is now.
pub async fn findings(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe).await;
    let script =
        "axe.run(document, { resultTypes: ['violations'] }).then(arguments[0], arguments[0])";
    let report = browser.run_async(script).await;
    let violations = report["violations"].as_array().expect("a report").iter();
    let lines = violations.map(|one| {
        let field = |key: &str| one[key].as_str().unwrap_or_default();
        let nodes = one["nodes"].as_array().into_iter().flatten();
        let nodes: Vec<_> = nodes.map(|node| node["html"].to_string()).collect();
        format!(
            "{}: {}: {}",
            field("impact"),
            field("help"),
            nodes.join(", ")
        )
    });
    lines.collect()
}

#[tokio::test]
#[ignore = "needs Chromium, chromedriver and axe-core"]
async fn pages_are_accessible_in_light_and_dark_on_phone_and_desktop() {
    let axe = axe();
    let queues: [(&str, &[&str]); 2] = [("sales", &["Ann", "Bob"]), ("no-such", &[])];
    let fixture = Fixture::open(&queues).await;
    // One queue is in trouble, so that its texts and colours are checked too.
    fixture.simulator.world(|world| {
        let gone = world.queue_named("no-such").map(|queue| queue.id);
        assert!(world.remove_queue(gone.expect("the queue exists")));
    });
    let closed = Fixture::behind_a_token(&[("sales", &["Ann"])]).await;
    let browser = Browser::start().await;
    let what_if = "/queues/main/sales?field=$.results[*].status&value=1";
    // A rejected call, whose page shows everything that it can.
    let asked = "/v1/queues/no-such/decision?call_id=a84b4c76e66710&tag_campaign=solar";
    assert_eq!(fixture.get(asked).await.status, 200);
    let held = "/v1/queues/sales/decision?call_id=a84b4c76e66710&reserve=45s";
    assert_eq!(fixture.get(held).await.status, 200);
    let pages = [
        ("dashboard", fixture.url("/")),
        ("calls", fixture.url("/calls?call_id=a84b4c76e66710")),
        ("no-call", fixture.url("/calls?call_id=another")),
        ("queue", fixture.url("/queues/main/sales")),
        ("criteria", fixture.url(what_if)),
        ("nowhere", fixture.url("/queues/main/none")),
        ("login", closed.url("/login")),
    ];
    for (name, url) in pages {
        browser.open(&url).await;
        match name {
            "dashboard" => {
                browser.click(".endpoints summary").await;
                browser
                    .wait_for_text(".trouble", |text| text.contains("no queue named"))
                    .await;
            }
            "calls" => {
                browser
                    .wait_for_text("main", |text| {
                        text.contains("tag_campaign=solar") && text.contains("sales")
                    })
                    .await;
            }
            "criteria" => {
                browser
                    .wait_for_text(".outcome", |text| !text.is_empty())
                    .await
            }
            _ => {}
        }
        for device in [Device::Desktop, Device::Phone] {
            for scheme in ["light", "dark"] {
                browser.emulate(device, scheme).await;
                browser
                    .screenshot(&format!("{name}-{device:?}-{scheme}").to_lowercase())
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
#[ignore = "needs Chromium and chromedriver"]
async fn the_keyboard_reaches_everything_and_keeps_its_place_through_changes() {
    let fixture = Fixture::open(&[("sales", &["Ann"]), ("support", &["Bob"])]).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    browser
        .wait_for_text("h1", |text| text.starts_with("2 of 2"))
        .await;
    let mut focused = Vec::new();
    for _ in 0..9 {
        focused.push(browser.tab().await);
    }
    assert_eq!(
        focused,
        [
            "Skip to content",
            "openseat",
            // The next steps, because no router has asked yet.
            "Copy",
            "The reference",
            "sales",
            "support",
            "call_id",
            "Search",
            "For programs"
        ]
    );
    browser
        .run("document.querySelectorAll('.queue a')[1].focus()")
        .await;
    fixture.set_everyone("On a Call");
    browser
        .wait_for_text(".queue:nth-child(2) .number", |text| text == "0")
        .await;
    assert_eq!(browser.focus().await, "support");
    assert_ne!(
        browser
            .run("return getComputedStyle(document.activeElement).outlineStyle")
            .await,
        Value::from("none")
    );
}
