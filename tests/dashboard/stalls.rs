//! Pages whose requests hang or take long, that compete for connections, or were hidden: they say so, and follow again.

use crate::{browser::Browser, fixture::Fixture, support::soon};

/// As many as a browser has connections to one server.
const CONNECTIONS: usize = 6;

const STATUS: &str = ".live .words";

async fn live(fixture: &Fixture) -> Browser {
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    browser
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_page_that_was_slow_once_keeps_following() {
    let fixture = Fixture::open(&[("sales", &["Ann"])]).await;
    let browser = live(&fixture).await;
    // By the page's clock, one fetch takes ten minutes.
    let slow = "const [now, get] = [performance.now.bind(performance), fetch]; \
                let ahead = 0; \
                performance.now = () => now() + ahead; \
                window.fetch = (...request) => { \
                    window.fetch = get; \
                    ahead = 600000; \
                    window.wasSlow = true; \
                    return get(...request); \
                };";
    browser.run(slow).await;
    soon("a slow fetch", async || {
        browser.run("return window.wasSlow").await == true
    })
    .await;
    fixture.set_everyone("On a Call");
    browser.wait_for_text(".number", |text| text == "0").await;
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_fetch_that_hangs_is_given_up_and_repeated() {
    let fixture = Fixture::open(&[("sales", &["Ann"])]).await;
    let browser = live(&fixture).await;
    let hang = "const [timeout, get] = [AbortSignal.timeout, fetch]; \
                AbortSignal.timeout = () => timeout.call(AbortSignal, 50); \
                window.fetch = (_, { signal }) => new Promise((_, reject) => \
                    signal?.addEventListener('abort', () => reject(signal.reason))); \
                window.mend = () => { \
                    window.fetch = get; \
                    AbortSignal.timeout = timeout.bind(AbortSignal); \
                };";
    browser.run(hang).await;
    browser
        .wait_for_text(STATUS, |text| text.starts_with("Connection lost"))
        .await;
    // So does the button.
    browser.open(&fixture.url("/queues/main/sales")).await;
    browser.wait_until_live().await;
    browser.run(hang).await;
    browser.click(".test_now button").await;
    browser
        .wait_for_text(".test_now .result", |text| {
            text.ends_with("openseat does not answer.")
        })
        .await;
    browser.run("window.mend()").await;
    browser.wait_until_live().await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_page_that_was_hidden_does_not_claim_to_be_live() {
    let fixture = Fixture::open(&[("sales", &["Ann"])]).await;
    let browser = live(&fixture).await;
    let shown_again = "for (const value of [true, false]) { \
                           Object.defineProperty(document, 'hidden', { value, configurable: true }); \
                           document.dispatchEvent(new Event('visibilitychange')); \
                       } \
                       return document.querySelector('.live .words').textContent";
    assert_eq!(browser.run(shown_again).await, "Updating …");
    browser.wait_until_live().await;
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_page_whose_stream_is_refused_does_not_claim_to_be_out_of_date() {
    let fixture = Fixture::open(&[("sales", &["Ann"])]).await;
    let browser = live(&fixture).await;
    let refuse = "window.said = []; \
                  const words = document.querySelector('.live .words'); \
                  new MutationObserver(() => said.push(words.textContent)).observe(words, { childList: true }); \
                  let refused = 0; \
                  window.EventSource = class extends EventTarget { \
                      readyState = 2; \
                      static OPEN = 1; \
                      static CLOSED = 2; \
                      constructor() { \
                          super(); \
                          setTimeout(() => { this.onerror(); window.refused = ++refused; }); \
                      } \
                      close() {} \
                  }; \
                  document.dispatchEvent(new Event('visibilitychange'));";
    browser.run(refuse).await;
    soon("two attempts", async || {
        browser.run("return window.refused > 1").await == true
    })
    .await;
    browser
        .wait_for_text(STATUS, |text| text == "Updated every few seconds")
        .await;
    let said = browser.run("return said.join()").await.to_string();
    assert!(!said.contains("Connection lost"), "{said}");
    fixture.set_everyone("On a Call");
    browser.wait_for_text(".number", |text| text == "0").await;
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn as_many_pages_as_a_browser_has_connections_follow_all_the_same() {
    let fixture = Fixture::open(&[("sales", &["Ann"])]).await;
    let browser = Browser::start().await;
    let mut windows = Vec::new();
    for _ in 0..CONNECTIONS {
        windows.push(browser.open_window().await);
        browser.open(&fixture.url("/")).await;
    }
    for (status, seats) in [("Available", "1"), ("On a Call", "0")] {
        fixture.set_everyone(status);
        for window in &windows {
            browser.turn_to(window).await;
            assert_eq!(browser.run("return document.hidden").await, false);
            browser.wait_for_text(".number", |text| text == seats).await;
        }
    }
    // There is room for one more.
    browser.open_window().await;
    browser.open(&fixture.url("/queues/main/sales")).await;
    browser
        .wait_for_text(".now .number", |text| text == "0")
        .await;
}
