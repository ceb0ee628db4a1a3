//! The screenshot of the dashboard in README.md: `openseat demo`, as a newcomer sees it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::browser::{Browser, Device};

/// Long enough for the first chart of seats to have a line.
const WATCHED: Duration = Duration::from_secs(90);

/// A running demo, stopped when dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Demo {
    /// Starts the demo; returns it and the address that it prints.
    fn start() -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        command.args(["demo", "--listen", "127.0.0.1:0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut demo = Self(command.spawn().expect("the program is built"));
        let printed = BufReader::new(demo.0.stdout.take().expect("the output is piped"));
        let mut lines = printed.lines().map_while(Result::ok);
        let url = lines.find_map(|line| Some(line.strip_prefix("Open")?.trim().to_owned()));
        (demo, url.expect("the demo prints its address"))
    }
}

/// Takes minutes and checks little. It is run to renew the screenshot.
#[tokio::test]
#[ignore = "only renews docs/dashboard.png; see docs/contributing.md"]
async fn the_demo_gets_a_screenshot_for_the_readme() {
    let (_demo, url) = Demo::start();
    let browser = Browser::start().await;
    browser.emulate(Device::Desktop, "light").await;
    // A router has asked, so that the page shows queues instead of first steps.
    let decision = format!("{url}v1/queues/sales-queue/decision");
    let asked = reqwest::get(decision).await.expect("an answer");
    assert!(asked.status().is_success(), "{asked:?}");
    browser.open(&url).await;
    browser.wait_until_live().await;
    browser
        .wait_for_text("h1", |text| text.contains("of 6 queues accept calls"))
        .await;
    tokio::time::sleep(WATCHED).await;
    browser.wait_until_live().await;
    browser.screenshot("readme").await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}
