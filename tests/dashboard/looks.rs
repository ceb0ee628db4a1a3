//! What the pages show, live and without scripts, for any names.

use openseat::simulator::TOKEN;

use crate::{
    browser::{Browser, Device},
    fixture::Fixture,
    support::soon,
};

const HOSTILE: &str = "<script>alert(1)<\"'><img src=x onerror=alert(2)>&amp;";
const BACKWARDS: &str = "\u{202e}seuqeuq \u{5d0}\u{5d1}\u{5d2}";

/// What a result says after its time, `At 18:05:00: `; empty if it has none.
fn dated(text: &str) -> &str {
    let after = text
        .strip_prefix("At ")
        .and_then(|text| text.split_at_checked(8));
    let after = after.filter(|(time, _)| time.matches(':').count() == 2);
    after
        .and_then(|(_, text)| text.strip_prefix(": "))
        .unwrap_or_default()
}

/// The card of a queue.
fn card(n: usize, part: &str) -> String {
    format!(".queue:nth-child({n}) {part}")
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn the_dashboard_follows_the_daemon_through_a_fault_and_its_recovery() {
    let queues: [(&str, &[&str]); 2] = [("sales", &["Ann", "Bob"]), ("support", &["Cy"])];
    let fixture = Fixture::with_a_short_max_age(&queues).await;
    let browser = Browser::start().await;
    browser.emulate(Device::Desktop, "light").await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    browser
        .wait_for_text("h1", |text| text == "2 of 2 queues accept calls")
        .await;
    browser
        .wait_for_text(&card(1, ".number"), |text| text == "2")
        .await;
    browser.screenshot("dashboard").await;

    fixture.set_everyone("On a Call");
    browser
        .wait_for_text(&card(1, ".number"), |text| text == "0")
        .await;
    browser
        .wait_for_text(&card(1, ".badge"), |text| text.ends_with("reject"))
        .await;
    browser
        .wait_for_text(&card(1, ".statuses"), |text| text.contains("2 On a Call"))
        .await;

    assert_eq!(browser.text(".trouble").await, "");
    fixture.simulator.set_token("another");
    browser
        .wait_for_text(".trouble", |text| {
            text.contains("CallTools does not accept the token") && text.contains("To do:")
        })
        .await;
    // Unknown is not zero.
    browser
        .wait_for_text(&card(1, ".number"), |text| text == "?")
        .await;
    browser
        .wait_for_text(&card(1, ".age"), |text| text.contains("too old"))
        .await;
    browser.screenshot("fault").await;

    fixture.simulator.set_token(TOKEN);
    fixture.set_everyone("Available");
    browser.wait_for_text(".trouble", str::is_empty).await;
    browser
        .wait_for_text(&card(1, ".number"), |text| text == "2")
        .await;

    assert_eq!(browser.console_errors().await, [""; 0]);
    let requests = browser.requests().await;
    assert!(requests.iter().any(|url| url.ends_with("/v1/watch")));
    assert!(fixture.got_all(&requests), "{requests:?}");
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_queue_has_a_page_that_follows_its_agents() {
    let fixture = Fixture::open(&[("sales", &["Ann", "Bob"])]).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    browser.click(".queue h3 a").await;
    browser
        .wait_for_text("h1", |text| text.starts_with("sales"))
        .await;
    browser.wait_until_live().await;
    browser
        .wait_for_text(".people tbody", |text| {
            text.contains("Ann") && text.contains("yes")
        })
        .await;
    fixture.set_everyone("On a Call");
    browser
        .wait_for_text(".people tbody", |text| !text.contains("✓"))
        .await;
    browser
        .wait_for_text(".now .number", |text| text == "0")
        .await;
    // The test button asks CallTools, which says the same.
    browser.click(".test_now button").await;
    browser
        .wait_for_text(".test_now .result", |text| {
            dated(text).starts_with("A call would be rejected: 0 free, threshold 0")
        })
        .await;
    fixture.set_everyone("Available");
    browser.click(".test_now button").await;
    browser
        .wait_for_text(".test_now .result", |text| {
            dated(text).starts_with("A call would be accepted: 2 free, threshold 0")
        })
        .await;
    assert_eq!(browser.console_errors().await, [""; 0]);
    let requests = browser.requests().await;
    assert!(fixture.got_all(&requests), "{requests:?}");
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn the_page_says_when_the_daemon_is_gone() {
    let fixture = Fixture::with_a_short_max_age(&[("sales", &["Ann"])]).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    drop(fixture);
    browser
        .wait_for_text(".live .words", |text| text.starts_with("Connection lost"))
        .await;
    browser
        .wait_for_text(".age", |text| text.contains("too old"))
        .await;
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn names_are_only_text() {
    let queues: [(&str, &[&str]); 2] = [(HOSTILE, &[HOSTILE, BACKWARDS]), (BACKWARDS, &["Ann"])];
    let fixture = Fixture::open(&queues).await;
    fixture.simulator.world(|world| {
        let status = world.status_named("Available").expect("the status exists");
        assert!(world.rename_status(status, HOSTILE));
    });
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    browser
        .wait_for_text(&card(1, "h3"), |text| text == HOSTILE)
        .await;
    browser
        .wait_for_text(&card(1, ".statuses"), |text| text.contains(HOSTILE))
        .await;
    browser
        .wait_for_text(&card(2, "h3 bdi"), |text| text == BACKWARDS)
        .await;
    browser.screenshot("hostile").await;
    for n in [2, 1] {
        browser.open(&fixture.url("/")).await;
        browser.click(&card(n, "h3 a")).await;
        browser.wait_until_live().await;
    }
    browser
        .wait_for_text("h1 bdi", |text| text == HOSTILE)
        .await;
    browser
        .wait_for_text(".people", |text| {
            text.contains(HOSTILE) && text.contains(BACKWARDS)
        })
        .await;
    let foreign = "return document.querySelectorAll('img, script:not([src=\"/assets/openseat.js\"]), [onerror]').length";
    assert_eq!(browser.run(foreign).await, 0);
    assert_eq!(browser.console_errors().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn pages_show_the_same_without_scripts() {
    let fixture = Fixture::open(&[("sales", &["Ann", "Bob"])]).await;
    let browser = Browser::without_scripts().await;
    // Reloading the page shows the current state.
    let page = fixture.url("/");
    let shows = async |seats: &str| {
        soon("the page shows the seats", async || {
            browser.open(&page).await;
            browser.text(".number").await == seats
        })
        .await;
    };
    shows("2").await;
    assert!(browser.text(".live").await.contains("reload"));
    fixture.set_everyone("On a Call");
    shows("0").await;
    browser.click(".queue h3 a").await;
    browser
        .wait_for_text(".people", |text| text.contains("On a Call"))
        .await;
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_queues_page_shows_its_history_and_tries_other_rules_on_it() {
    let fixture = Fixture::open(&[("sales", &["Ann", "Bob"])]).await;
    let browser = Browser::start().await;
    browser.emulate(Device::Desktop, "light").await;
    browser.open(&fixture.url("/queues/main/sales")).await;
    // The history is written every few seconds; the page shows it without a reload.
    browser
        .wait_for_text("figcaption", |text| {
            text.starts_with("Seats always 2, known for")
        })
        .await;
    browser.click(".periods a:nth-child(2)").await;
    browser
        .wait_for_text("#history", |text| text.starts_with("The last day"))
        .await;
    browser.wait_until_live().await;

    browser.type_into("#threshold", "5").await;
    browser.click(".what_if button").await;
    browser
        .wait_for_text(".outcome", |text| {
            text.contains("(above 0) accepts for 100 %") && text.contains("(above 5) for 0 %")
        })
        .await;
    browser
        .wait_for_text("#history", |text| text.starts_with("The last day"))
        .await;
    browser.screenshot("what-if").await;

    browser
        .open(&fixture.url("/queues/main/sales?field=$.results[*&value=1"))
        .await;
    browser
        .wait_for_text(".wrong", |text| text.starts_with("The field:"))
        .await;
    browser
        .open(&fixture.url("/queues/main/sales?field=$.results[*].status&value=1"))
        .await;
    browser
        .wait_for_text(".outcome", |text| text.contains("the other rule for 100 %"))
        .await;

    // The page keeps following the agents, without evaluating the other rule again.
    browser.wait_until_live().await;
    browser.requests().await;
    fixture.set_everyone("On a Call");
    browser
        .wait_for_text(".now .number", |text| text == "0")
        .await;
    browser
        .wait_for_text(".outcome", |text| text.contains("the other rule for 100 %"))
        .await;
    let requests = browser.requests().await;
    let again: Vec<_> = requests
        .iter()
        .filter(|url| url.contains("field="))
        .collect();
    assert!(!requests.is_empty() && again.is_empty(), "{requests:?}");
    assert_eq!(browser.console_errors().await, [""; 0]);

    browser
        .open(&fixture.url("/v1/queues/sales/chart.svg?range=1h"))
        .await;
    let heading = "return document.querySelector('.heading').textContent.trim()";
    assert_eq!(browser.run(heading).await, "sales: seats, last hour, UTC");
    assert_eq!(
        browser
            .run("return getComputedStyle(document.querySelector('.line')).strokeWidth")
            .await,
        "2px"
    );
    assert_eq!(browser.console_errors().await, [""; 0]);
    let requests = browser.requests().await;
    assert!(fixture.got_all(&requests), "{requests:?}");
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn without_a_state_folder_a_page_says_why_it_has_no_history() {
    let fixture = Fixture::without_state(&[("sales", &["Ann"])]).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/queues/main/sales")).await;
    browser
        .wait_for_text("[aria-labelledby=history]", |text| {
            text.contains("Nothing is recorded")
        })
        .await;
    // Changes since the start are shown all the same.
    browser
        .wait_for_text("[aria-labelledby=changes] tbody", |text| {
            text.contains("accept")
        })
        .await;
}
