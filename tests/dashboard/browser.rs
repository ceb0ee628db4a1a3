//! A real Chromium, driven over WebDriver, which is JSON over HTTP.
//!
//! Clients such as fantoccini and thirtyfour would add twenty crates to compile. They would not replace much: half of these commands are
//! Chromium's own (devices, logs, pictures), and neither ends the processes of a driver whose test has panicked, as [`Driver`] does.

use std::{env, fs, path::PathBuf, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::driver::{Driver, Family};

/// How long a test waits for something that must happen. Far more than a busy machine needs.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between two attempts.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// A browser with one window. Dropping it ends the browser and its driver.
pub struct Browser {
    driver: Driver,
    client: reqwest::Client,
    /// The URL of the session.
    session: String,
}

impl Browser {
    pub async fn start() -> Self {
        Self::with(json!({})).await
    }

    pub async fn without_scripts() -> Self {
        let off = json!({ "profile.managed_default_content_settings.javascript": 2 });
        Self::with(off).await
    }

    async fn with(preferences: Value) -> Self {
        let driver = Driver::start().await;
        let client = openseat::process::tls::client_builder().no_proxy().build();
        let client = client.expect("a client");
        let origin = format!("http://127.0.0.1:{}", driver.port);
        let mut browser = Self {
            driver,
            client,
            session: format!("{origin}/session"),
        };
        let mut args = vec!["--headless=new", "--disable-gpu", "--disable-dev-shm-usage"];
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox does not work as root, which containers use. The pages are our own.
            args.push("--no-sandbox");
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": args, "prefs": preferences },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let session = browser.command("", wanted).await;
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser.driver.session = Some(format!("/session/{id}"));
        browser
    }

    /// The processes of the browser and its driver.
    pub fn family(&self) -> Family {
        self.driver.family()
    }

    /// Sends a command to the session and returns the value of the answer.
    async fn command(&self, command: &str, body: Value) -> Value {
        let url = format!("{}{command}", self.session);
        let sent = self.client.post(&url).body(body.to_string()).send().await;
        let answer = sent.expect("the driver answers");
        let is_good = answer.status().is_success();
        let text = answer.text().await.expect("a text");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        assert!(is_good, "{command}: {text}");
        answer["value"].take()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("/goog/cdp/execute", body).await
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.command("/url", json!({ "url": url })).await;
    }

    /// Opens another window, to which all further commands go. Returns its name.
    pub async fn open_window(&self) -> String {
        let opened = self
            .command("/window/new", json!({ "type": "window" }))
            .await;
        let window = opened["handle"].as_str().expect("a name").to_owned();
        self.turn_to(&window).await;
        window
    }

    /// Sends all further commands to this window.
    pub async fn turn_to(&self, window: &str) {
        self.command("/window", json!({ "handle": window })).await;
    }

    /// Runs a script in the page and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.command("/execute/sync", body).await
    }

    /// Runs a script that passes its result to a callback, `arguments[0]`.
    pub async fn run_async(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.command("/execute/async", body).await
    }

    /// The visible text of the first element that a selector matches; empty if none does.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        let text = self.run(&script).await;
        text.as_str().expect("a text").to_owned()
    }

    /// Waits until the text of an element satisfies `wanted`.
    pub async fn wait_for_text(&self, selector: &str, wanted: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let wait = async {
            loop {
                last = self.text(selector).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        if tokio::time::timeout(TIMEOUT, wait).await.is_err() {
            self.screenshot("failed").await;
            panic!("{selector} never had the expected text, last {last:?}");
        }
    }

    /// Waits until the page says that it is live.
    pub async fn wait_until_live(&self) {
        self.wait_for_text(".live .words", |words| words == "Live")
            .await;
    }

    async fn element(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.command("/element", body).await;
        let id = found.as_object().and_then(|found| found.values().next());
        let id = id.and_then(Value::as_str).expect("an element");
        format!("/element/{id}")
    }

    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command(&format!("{element}/click"), json!({})).await;
    }

    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        let body = json!({ "text": text });
        self.command(&format!("{element}/value"), body).await;
    }

    /// Presses Tab and returns what then has the focus.
    pub async fn tab(&self) -> String {
        let key = |kind| json!({ "type": kind, "value": "\u{e004}" });
        let keys =
            json!({ "type": "key", "id": "keys", "actions": [key("keyDown"), key("keyUp")] });
        self.command("/actions", json!({ "actions": [keys] })).await;
        self.focus().await
    }

    /// The text of the focused element, or its name, or its tag; empty if nothing has the focus.
    pub async fn focus(&self) -> String {
        let script = "const e = document.activeElement; return e === document.body ? '' : e.innerText || e.name || e.tagName";
        let focus = self.run(script).await;
        focus.as_str().expect("a word").to_owned()
    }

    /// A cookie of the page.
    pub async fn cookie(&self, name: &str) -> Value {
        let url = format!("{}/cookie/{name}", self.session);
        let answer = self.client.get(url).send().await.expect("an answer");
        let text = answer.text().await.expect("a text");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["value"].take()
    }

    /// Shows all further pages as this device does, in a light or dark scheme.
    pub async fn emulate(&self, device: Device, scheme: &str) {
        let (width, height) = device.size();
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": device == Device::Phone });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Sets the browser's time zone.
    pub async fn set_time_zone(&self, zone: &str) {
        let zone = json!({ "timezoneId": zone });
        self.devtools("Emulation.setTimezoneOverride", zone).await;
    }

    /// Saves a screenshot of the whole page.
    pub async fn screenshot(&self, name: &str) {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", parameters).await;
        let picture = picture["data"].as_str().expect("a picture");
        let picture = BASE64_STANDARD.decode(picture).expect("valid base64");
        let folder = pictures();
        fs::create_dir_all(&folder).expect("a folder for pictures");
        let path = folder.join(format!("{name}.png"));
        fs::write(path, picture).expect("room for a picture");
    }

    /// Warnings and errors in the console.
    pub async fn console_errors(&self) -> Vec<String> {
        let log = self.command("/se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("a log").iter();
        let bad =
            entries.filter(|entry| !matches!(entry["level"].as_str(), Some("INFO" | "DEBUG")));
        bad.map(|entry| entry["message"].to_string()).collect()
    }

    /// The URLs that pages have requested since the last call.
    pub async fn requests(&self) -> Vec<String> {
        let log = self
            .command("/se/log", json!({ "type": "performance" }))
            .await;
        let entries = log.as_array().expect("a log").iter();
        let messages = entries.filter_map(|entry| {
            let entry: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let sent = entry["message"]["method"] == "Network.requestWillBeSent";
            let url = entry["message"]["params"]["request"]["url"].as_str()?;
            sent.then(|| url.to_owned())
        });
        messages.collect()
    }
}

/// The device that a page is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Phone,
    Desktop,
}

impl Device {
    fn size(self) -> (u32, u32) {
        match self {
            // A small phone.
            Device::Phone => (375, 812),
            Device::Desktop => (1280, 900),
        }
    }
}

/// The folder where screenshots are saved, for people to look at.
fn pictures() -> PathBuf {
    let folder = env::var_os("OPENSEAT_SCREENSHOTS").map(PathBuf::from);
    folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots"))
}
