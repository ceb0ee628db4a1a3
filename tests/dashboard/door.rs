//! Logging in, if the API needs a token.

use crate::{
    browser::Browser,
    fixture::{BEARER, Fixture},
};

const COOKIE: &str = "openseat_session";

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_person_logs_in_looks_and_logs_out() {
    let fixture = Fixture::behind_a_token(&[("sales", &["Ann"])]).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/queues/main/sales")).await;
    browser.wait_for_text("h1", |text| text == "Log in").await;
    browser.screenshot("login").await;

    browser.type_into("#token", "not the token").await;
    browser.click(".login button").await;
    browser
        .wait_for_text(".wrong", |text| text == "This token is wrong.")
        .await;
    assert_eq!(browser.cookie(COOKIE).await["error"], "no such cookie");
    // The wrong token is a 401, which browsers log.
    browser.console_errors().await;

    browser.type_into("#token", BEARER).await;
    browser.click(".login button").await;
    browser
        .wait_for_text("h1", |text| text.starts_with("sales"))
        .await;
    // The session may read the stream too.
    browser.wait_until_live().await;
    let cookie = browser.cookie(COOKIE).await;
    assert_eq!(
        (&cookie["httpOnly"], &cookie["sameSite"]),
        (&true.into(), &"Strict".into())
    );
    let id = cookie["value"].as_str().expect("an id");
    assert!(id.len() == 64 && !id.contains(BEARER));
    // Scripts may read the viewer's time zone, but not the session.
    let readable = browser.run("return document.cookie").await;
    assert!(!readable.to_string().contains(COOKIE), "{readable}");
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    assert_eq!(browser.console_errors().await, [""; 0]);

    browser.click(".top button").await;
    browser.wait_for_text("h1", |text| text == "Log in").await;
    browser.open(&fixture.url("/")).await;
    browser.wait_for_text("h1", |text| text == "Log in").await;
    assert_eq!(browser.cookie(COOKIE).await["error"], "no such cookie");
}
