//! Tests leave no browser behind, however they end.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::browser::Browser;

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_test_that_passes_leaves_no_process_behind() {
    let browser = Browser::start().await;
    let family = browser.family();
    assert!(family.living().len() > 2, "a driver, a browser, its parts");
    drop(browser);
    assert_eq!(family.living(), [0; 0]);
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_test_that_panics_leaves_no_process_behind() {
    let (sender, family) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async {
        let browser = Browser::start().await;
        assert!(sender.send(browser.family()).is_ok());
        browser.open("about:blank").await;
        panic!("on purpose");
    });
    let family = family.await.expect("the browser starts");
    assert!(test.await.expect_err("the test panics").is_panic());
    assert_eq!(family.living(), [0; 0]);
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_driver_that_was_killed_leaves_no_browser_behind() {
    let browser = Browser::start().await;
    let family = browser.family();
    let driver = Pid::from_raw(family.group() as i32).expect("a process");
    kill_process(driver, Signal::KILL).expect("the driver runs");
    assert!(
        !family.ends_within(Duration::ZERO),
        "its browser still runs"
    );
    drop(browser);
    assert_eq!(family.living(), [0; 0]);
}
