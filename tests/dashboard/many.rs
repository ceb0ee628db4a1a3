//! One queue, hundreds of queues, several accounts: filtering, ordering and folding, on every device.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use openseat::{
    clock::{Clock, SystemClock},
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};

use crate::{
    access::{axe, findings},
    browser::{Browser, Device},
    support::{CallTools, TestDaemon, TestFolder, soon},
};

/// Requests per hour of each account. With this many, hundreds of queues are known in seconds.
const PLENTY: u32 = 20_000;

/// In the account every seventeenth queue is missing, so that its seats stay unknown.
const ONE_IS_MISSING: usize = 17;

/// This queue is closed, so that its seats are a dash.
const CLOSED: usize = 18;

const ACCOUNTS: [&str; 3] = ["east", "north", "west"];

/// Several accounts, each with a CallTools of its own, and a daemon that watches them.
struct Accounts {
    daemon: TestDaemon,
    calltools: Vec<CallTools>,
    home: TestFolder,
}

fn queue_name(n: usize) -> String {
    let lines = ["Sales", "Support", "Billing", "After_hours", "Claims"];
    let tiers = ["tier-1", "tier-2", "overflow"];
    format!("{} {} {n}", lines[n * 7 % 5], tiers[n * 5 % 3])
}

/// A CallTools with the queues of one account, whose agents are in different statuses.
fn simulator(queues: &[usize], clock: Arc<dyn Clock>) -> Simulator {
    let settings = Settings {
        requests_per_hour: PLENTY,
        ..Settings::new(WorldSettings::still(0, 0))
    };
    let simulator = Simulator::new(settings, clock);
    simulator.world(|world| {
        let statuses: Vec<_> = world.statuses().iter().map(|status| status.id).collect();
        for n in queues.iter().filter(|n| *n % ONE_IS_MISSING != 5) {
            let queue = world.add_queue(&queue_name(*n));
            for m in 0..n * 13 % 9 {
                let agent = world.add_agent(&format!("Agent {n}-{m}"), &[queue]);
                assert!(world.set_status(&agent, statuses[m * m * n % statuses.len()]));
            }
        }
    });
    simulator
}

impl Accounts {
    /// Starts this many queues, spread over the accounts.
    async fn with(queues: usize, accounts: &[&str]) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let home = TestFolder::new();
        // Far from today in every time zone.
        let day = clock.now().later(Duration::from_secs(3 * 86_400));
        let day = day.timestamp().strftime("%a");
        let mut config =
            "[server]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"state\"\n".to_owned();
        let mut calltools = Vec::new();
        for (place, account) in accounts.iter().enumerate() {
            let own: Vec<_> = (place..queues).step_by(accounts.len()).collect();
            let serving = CallTools::serve(simulator(&own, Arc::clone(&clock))).await;
            home.set_token(account, TOKEN);
            write!(
                config,
                "[[account]]\nname = \"{account}\"\nbase_url = \"{}\"\ntoken_file = \"./{account}.token\"\nrequests_per_hour = {PLENTY}\n",
                serving.serving.base_url()
            )
            .expect("room");
            for n in own {
                write!(
                    config,
                    "[[account.queue]]\nqueue = \"{}\"\nmax_age = \"2m\"\nthreshold = {}\n",
                    queue_name(n),
                    n % 4
                )
                .expect("room");
                if n == CLOSED {
                    writeln!(
                        config,
                        "open = [\"{day} 00:00-01:00\"]\ntime_zone = \"UTC\""
                    )
                    .expect("room");
                }
            }
            calltools.push(serving);
        }
        home.write("openseat.toml", &config);
        let daemon = TestDaemon::start_by(&home.path().join("openseat.toml"), clock).await;
        daemon.ready().await;
        Self {
            daemon,
            calltools,
            home,
        }
    }

    /// The same after a restart of the daemon, which has not yet read its history.
    async fn restarted(self) -> Self {
        self.daemon.stop().await;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let config = self.home.path().join("openseat.toml");
        let daemon = TestDaemon::start_by(&config, clock).await;
        daemon.ready().await;
        Self { daemon, ..self }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.address)
    }
}

/// The visible texts of all elements that a selector matches.
async fn shown(browser: &Browser, selector: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll({selector:?})].filter((e) => e.checkVisibility()).map((e) => e.innerText)"
    );
    let texts = browser.run(&script).await;
    let texts = texts.as_array().expect("texts").iter();
    texts
        .map(|text| text.as_str().expect("a text").to_owned())
        .collect()
}

async fn choose(browser: &Browser, order: &str) {
    let script = format!(
        "const s = document.querySelector('[name=order]'); s.value = {order:?}; s.dispatchEvent(new Event('change', {{ bubbles: true }}))"
    );
    browser.run(&script).await;
}

/// Looks at a page on every device, in light and dark: it is accessible, and nothing is too wide.
async fn look_everywhere(browser: &Browser, axe: &str, name: &str) {
    for device in [Device::Desktop, Device::Phone] {
        for scheme in ["light", "dark"] {
            browser.emulate(device, scheme).await;
            browser
                .screenshot(&format!("{name}-{device:?}-{scheme}").to_lowercase())
                .await;
            let found = findings(browser, axe).await;
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

async fn pages_with(queues: usize, accounts: &[&str]) {
    let axe = axe();
    let fixture = Accounts::with(queues, accounts).await;
    let browser = Browser::start().await;
    browser.set_time_zone("Europe/Berlin").await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    let all = format!("of {queues} queue");
    browser
        .wait_for_text("h1", |text| text.contains(&all))
        .await;
    assert_eq!(shown(&browser, "[data-queues] > *").await.len(), queues);
    let is_dense = browser
        .run("return !!document.querySelector('table.dense')")
        .await;
    assert_eq!(is_dense, queues > 30);
    look_everywhere(&browser, &axe, &format!("queues-{queues}")).await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs Chromium, chromedriver and axe-core"]
async fn a_page_with_one_queue_is_accessible() {
    pages_with(1, &ACCOUNTS[..1]).await;
}

#[tokio::test]
#[ignore = "needs Chromium, chromedriver and axe-core"]
async fn a_page_with_six_queues_of_three_accounts_is_accessible() {
    pages_with(6, &ACCOUNTS).await;
}

#[tokio::test]
#[ignore = "needs Chromium, chromedriver and axe-core"]
async fn a_page_with_sixty_queues_of_three_accounts_is_accessible() {
    pages_with(60, &ACCOUNTS).await;
}

#[tokio::test]
#[ignore = "needs Chromium, chromedriver and axe-core"]
async fn a_page_with_three_hundred_queues_of_three_accounts_is_accessible() {
    pages_with(300, &ACCOUNTS).await;
}

#[tokio::test]
#[ignore = "needs Chromium, chromedriver and axe-core"]
async fn many_queues_can_be_filtered_and_ordered_and_accounts_folded() {
    let fixture = Accounts::with(40, &ACCOUNTS).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    // Queues in trouble come first in each account.
    let ranks = "return [...document.querySelectorAll('[data-queues]')].every((body) => { \
                 const ranks = [...body.children].map((row) => Number(row.dataset.rank)); \
                 return ranks.every((rank, n) => !n || ranks[n - 1] <= rank); })";
    assert_eq!(browser.run(ranks).await, true);
    look_everywhere(&browser, &axe(), "queues-40").await;
    browser.emulate(Device::Desktop, "light").await;

    browser.type_into("[name=filter]", "tier-2").await;
    browser
        .wait_for_text(".shown", |text| text == "13 of 40 queues shown")
        .await;
    let found = shown(&browser, ".name a").await;
    assert!(
        found.iter().all(|name| name.contains("tier-2")),
        "{found:?}"
    );
    // The filter stays while the page is updated.
    browser.requests().await;
    fixture.calltools[0].simulator.world(|world| {
        let available = world.status_named("Available").expect("the status exists");
        assert!(world.set_everyone(available));
    });
    let page = fixture.url("/");
    soon("the page is updated", async || {
        browser.requests().await.contains(&page)
    })
    .await;
    browser.wait_until_live().await;
    assert_eq!(shown(&browser, ".name a").await.len(), found.len());
    browser.run("const f = document.querySelector('[name=filter]'); f.value = 'north'; f.dispatchEvent(new Event('input'))").await;
    browser
        .wait_for_text(".shown", |text| text == "13 of 40 queues shown")
        .await;
    assert_eq!(shown(&browser, ".account h2").await, ["north"]);
    browser.run("const f = document.querySelector('[name=filter]'); f.value = ''; f.dispatchEvent(new Event('input'))").await;
    assert_eq!(shown(&browser, "[data-queues] > *").await.len(), 40);

    choose(&browser, "name").await;
    let names = shown(&browser, "[data-key=west] .name a").await;
    assert_eq!(names.len(), 13);
    assert!(
        names[0].starts_with("After_hours") && names[12].starts_with("Support"),
        "{names:?}"
    );
    choose(&browser, "seats").await;
    let seats = shown(&browser, "[data-key=east] .number").await;
    let seats: Vec<i64> = seats
        .iter()
        .map(|seats| seats.parse().unwrap_or(-1))
        .collect();
    assert!(seats.is_sorted() && seats.last() > Some(&0), "{seats:?}");
    assert_eq!(
        shown(&browser, "[data-key=east] .number:not(.unknown)").await[0],
        "–"
    );
    choose(&browser, "config").await;
    let names = shown(&browser, "[data-key=east] .name a").await;
    assert_eq!(
        names,
        (0..40).step_by(3).map(queue_name).collect::<Vec<_>>()
    );

    // Folded accounts stay folded, and the order stays, too.
    browser.click("[data-key=north] > summary").await;
    let closed = || async {
        browser
            .run("return document.querySelector('[data-key=north]').open")
            .await
            == false
    };
    assert!(closed().await);
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    assert!(closed().await);
    assert_eq!(shown(&browser, "[data-key=east] .name a").await, names);
    browser
        .wait_for_text("[data-key=north] .tally", |text| {
            text.contains("of 13 queues accept calls")
        })
        .await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_moving_row_keeps_the_focus() {
    let fixture = Accounts::with(40, &ACCOUNTS[..1]).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    choose(&browser, "seats").await;
    // The last row has the most seats; soon all rows have none.
    let last = "[...document.querySelectorAll('[data-queues] tr')].at(-1)";
    browser
        .run(&format!("{last}.querySelector('a').focus()"))
        .await;
    let name = browser.focus().await;
    fixture.calltools[0].simulator.world(|world| {
        let busy = world.status_named("On a Call").expect("the status exists");
        assert!(world.set_everyone(busy));
    });
    let moved = format!("return {last}.querySelector('a').innerText !== {name:?}");
    soon("the rows have moved", async || {
        browser.run(&moved).await == true
    })
    .await;
    assert_eq!(browser.focus().await, name);
}

#[tokio::test]
#[ignore = "needs Chromium and chromedriver"]
async fn a_decisions_address_can_be_copied() {
    let fixture = Accounts::with(4, &ACCOUNTS[..1]).await;
    let browser = Browser::start().await;
    browser.open(&fixture.url("/")).await;
    browser.wait_until_live().await;
    // A new daemon suggests next steps until a router asks.
    let address = fixture.url("/v1/queues/east/Sales%20tier-1%200/decision");
    browser
        .wait_for_text(".next code[data-path]", |text| text == address)
        .await;
    // The button says so for two seconds. A busy driver may look later, so it clicks again.
    soon("it is copied", async || {
        browser.click(".next [data-copy]").await;
        browser.text(".next [data-copy]").await == "Copied"
    })
    .await;
    browser
        .open(&fixture.url("/queues/east/Sales%20tier-1%200"))
        .await;
    browser.wait_until_live().await;
    browser
        .wait_for_text("[aria-labelledby=address] code", |text| text == address)
        .await;
    fixture.daemon.decision("east/Sales%20tier-1%200").await;
    browser.open(&fixture.url("/")).await;
    browser.wait_for_text(".next", str::is_empty).await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}

/// The UTC hour of a time in milliseconds.
fn hour_of(ms: i64) -> i64 {
    ms.rem_euclid(86_400_000) / 3_600_000
}

/// Writes a week into the history of the first queue: four agents who arrive at the same hour each day and leave eight hours later. Returns
/// that hour, in UTC. It is six hours from now, so that the last day begins and ends while no agent is there.
fn write_a_week(fixture: &Accounts) -> i64 {
    let path = fixture.home.state().join("history.sqlite3");
    let file = rusqlite::Connection::open(path).expect("the history");
    let wait = Duration::from_secs(30);
    file.busy_timeout(wait).expect("a wait");
    let now = SystemClock::new().now().wall.as_millis() as i64;
    let mut sql = "BEGIN;".to_owned();
    for n in 1..=4 {
        write!(
            sql,
            "INSERT INTO agent VALUES ({}, 'east', 'past-{n}', 'Past {n}', {now});",
            1_000 + n
        )
        .expect("room");
    }
    let (step, comes) = (600_000, (hour_of(now) + 6) % 24);
    for at in (1..7 * 144).map(|n| now - n * step) {
        let hours_after_coming = (hour_of(at) - comes).rem_euclid(24);
        let present: Vec<i64> = if hours_after_coming < 8 {
            (1_001..=1_004).collect()
        } else {
            Vec::new()
        };
        let calls = present.len().min((at / step % 3) as usize);
        let (calling, free) = present.split_at(calls);
        let row = format!("[{free:?},{calling:?},[]]");
        write!(
            sql,
            "INSERT INTO sample VALUES (1, {at}, {at}, {}, '{{}}'); INSERT INTO present VALUES (1, {at}, '{row}');",
            free.len()
        )
        .expect("room");
    }
    file.execute_batch(&(sql + "COMMIT;"))
        .expect("the history can be written");
    comes
}

#[tokio::test]
#[ignore = "needs Chromium, chromedriver and axe-core"]
async fn a_queues_page_shows_the_week_and_who_was_available_in_local_time() {
    let fixture = Accounts::with(1, &ACCOUNTS[..1]).await;
    let browser = Browser::start().await;
    browser.set_time_zone("America/New_York").await;
    let page = fixture.url("/queues/east/Sales%20tier-1%200?range=24h");
    browser.open(&page).await;
    // The page is first rendered in UTC, and then in the browser's zone.
    browser
        .wait_for_text("#history", |text| text.starts_with("The last day, in E"))
        .await;
    browser
        .wait_for_text("#attendance", |text| {
            text.starts_with("Who was available in the last day, in E")
        })
        .await;
    let recorded = || fixture.home.state().join("history.sqlite3").exists();
    soon("something is recorded", async || recorded()).await;
    browser
        .wait_for_text("figcaption", |text| text.contains("known for"))
        .await;
    let comes = write_a_week(&fixture);
    // A page keeps showing the pattern that it has read, so another one is opened. Meanwhile the page must not find the daemon gone.
    browser.open("about:blank").await;
    let fixture = fixture.restarted().await;
    let page = fixture.url("/queues/east/Sales%20tier-1%200?range=24h");
    browser.open(&page).await;
    browser.wait_until_live().await;
    browser
        .wait_for_text("#week", |text| {
            text.starts_with("Seats by hour of the week, in E")
        })
        .await;
    browser
        .wait_for_text(".attendance", |text| {
            text.contains("Past 4") && text.contains("On a call")
        })
        .await;
    // New York's clocks are four or five hours behind UTC.
    let first = "return document.querySelector('.attendance tbody td:nth-child(6)').innerText";
    let first = browser.run(first).await;
    let first = first.as_str().expect("a time");
    let in_utc = format!(" {comes:02}:");
    assert!(
        !first.contains(&in_utc) && first.contains(" to "),
        "{first}, {in_utc}"
    );
    look_everywhere(&browser, &axe(), "week").await;
    assert_eq!(browser.console_errors().await, [""; 0]);
}
