//! What the overview shows people who must act: with few queues or hundreds, in their own time zone.

use super::{
    pages::{OVERVIEW, PERSON, QUEUE, text, with_history},
    *,
};
use crate::fixtures::{agent, available};

#[tokio::test]
async fn a_new_daemons_page_suggests_next_steps_until_a_router_asks() {
    let mut world = World::with(&["main/after_hours-2"]);
    let _ends = world.account("main", TOKEN);
    world.publish("main/after_hours-2", available(2));
    let server = world.serve().await;
    let next = "What to do next";
    // Looking does not count as asking.
    for _ in 0..2 {
        let page = server.page(OVERVIEW).await.body;
        assert!(page.contains(next), "{page}");
        let address = r#"<code data-path="/v1/queues/main/after_hours-2/decision">"#;
        assert!(page.contains(address), "{page}");
        assert!(page.contains("openseat check main/after_hours-2"), "{page}");
        server.clock.pass(Duration::from_secs(2));
    }
    let answer = server.get("/v1/queues/main/after_hours-2/decision").await;
    assert_eq!(answer.status, 200);
    server.clock.pass(Duration::from_secs(2));
    let words = server.words(OVERVIEW).await;
    assert!(!words.contains(next), "{words}");
}

#[tokio::test]
async fn a_queue_that_rejects_says_what_it_needs() {
    let mut world = World::with(&["main/sales", "main/support"]);
    let _ends = world.account("main", TOKEN);
    world.policy("main/sales").threshold = Some(Quantity::from(4_u32));
    world.policy("main/support").threshold = Some(Quantity::from(1_u32));
    world.publish("main/sales", available(2));
    world.publish("main/support", available(1));
    let words = world.serve().await.words(OVERVIEW).await;
    for text in [
        "needs 3 more free agents: accepts above 4",
        "needs 1 more free agent: accepts above 1",
    ] {
        assert!(words.contains(text), "{words}");
    }
}

#[tokio::test]
async fn the_headline_says_what_happens_to_calls_of_unknown_queues() {
    for (accepting, text) in [
        (0, "3 queues unknown: calls to them are rejected."),
        (
            1,
            "3 queues unknown: calls to 2 of them are rejected, to 1 sent anyway.",
        ),
        (3, "3 queues unknown: calls to them are sent anyway."),
    ] {
        let queues = ["main/a", "main/b", "main/c"];
        let mut world = World::with(&[&queues[..], &["main/known"]].concat());
        let _ends = world.account("main", TOKEN);
        world.publish("main/known", available(1));
        for (n, queue) in queues.into_iter().enumerate() {
            world.fail(queue, Fault::NoPermission);
            if n < accepting {
                world.policy(queue).on_unknown = OnUnknown::Accept;
            }
        }
        let words = world.serve().await.words(OVERVIEW).await;
        assert!(words.contains(text), "{words}");
        assert!(
            words.contains("All other answers are based on data"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn times_are_in_the_viewers_zone() {
    let mut world = World::with(&["main/sales"]);
    let _ends = world.account("main", TOKEN);
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    let words = async |cookie: &str, target: &str| {
        let answer = server
            .ask("GET", target, &format!("{PERSON}{cookie}"))
            .await;
        text(&answer.body)
    };
    // Each viewer gets their own zone, regardless of earlier viewers.
    for _ in 0..2 {
        for (cookie, as_of, zone) in [
            ("", "as of 10:00:00 UTC", "in UTC"),
            (
                "Cookie: openseat_zone=Europe/Berlin\r\n",
                "as of 11:00:00 CET",
                "in CET",
            ),
            (
                "Cookie: a=b; openseat_zone=America/New_York\r\n",
                "as of 05:00:00 EST",
                "in EST",
            ),
            (
                "Cookie: openseat_zone=Nowhere\r\n",
                "as of 10:00:00 UTC",
                "in UTC",
            ),
        ] {
            let overview = words(cookie, OVERVIEW).await;
            assert!(overview.contains(as_of), "{cookie} {overview}");
            let queue = words(cookie, QUEUE).await;
            assert!(queue.contains(as_of), "{cookie} {queue}");
            assert!(
                queue.contains(&format!("Last changes, {zone}")),
                "{cookie} {queue}"
            );
        }
    }
}

#[tokio::test]
async fn a_queues_page_shows_its_week_and_who_was_available() {
    let (server, _folder) = with_history(30).await;
    let words = server.words(&format!("{QUEUE}?range=24h")).await;
    for text in [
        "Seats by hour of the week, in UTC",
        "Who was available in the last day, in UTC",
        "Agent 39",
    ] {
        assert!(words.contains(text), "{text}: {words}");
    }
    let page = server.page(&format!("{QUEUE}?range=24h")).await.body;
    // It is a Sunday, and there are 40 or 41 seats.
    let (_, sunday) = page
        .split_once(r#"<th scope="row">Sun</th>"#)
        .expect("a row");
    let (sunday, _) = sunday.split_once("</tr>").expect("its end");
    assert!(sunday.contains(r#"<td class="h4">4"#), "{sunday}");
    assert!(page.contains(r#"<path class="free""#), "{page}");
}

/// Names as accounts have them, all different.
fn names(count: usize) -> Vec<String> {
    let lines = [
        "Sales",
        "Support",
        "Billing",
        "Retention",
        "Claims",
        "Solar",
        "Medicare",
        "Auto",
    ];
    let places = [
        "Austin",
        "Boise",
        "Cebu",
        "Denver",
        "El Paso",
        "Fresno",
        "Guadalajara",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let name = |n: usize| {
        let (line, place) = (random.usize(..lines.len()), random.usize(..places.len()));
        let (line, place) = (lines[line], places[place]);
        format!(
            "{}/{line} {place} tier-{} {n}",
            ["east", "west", "north"][n % 3],
            random.u32(..9)
        )
    };
    (0..count).map(name).collect()
}

/// Three accounts with this many queues: some unknown, some without seats, some with many.
fn many_queues(queues: usize) -> (World, Vec<AccountEnds>) {
    let names = names(queues);
    let names: Vec<_> = names.iter().map(|name| &**name).collect();
    let mut world = World::with(&names);
    let ends = ["east", "west", "north"].map(|name| world.account(name, TOKEN));
    let mut random = fastrand::Rng::with_seed(11);
    for name in &names {
        if random.u32(..20) == 0 {
            world.fail(name, Fault::NoPermission);
            continue;
        }
        let statuses = ["Available", "On a Call", "Post Call", "Lunch", "Training"];
        let mut agents = Vec::new();
        for n in 0..random.u32(..40) {
            let status = statuses[random.usize(..statuses.len())];
            agents.push(agent(&n.to_string(), "Ann", status));
        }
        world.publish(name, agents);
        world.clock.pass(Duration::from_millis(random.u64(..200)));
    }
    (world, ends.into())
}

/// The texts between two marks, for each occurrence of the first mark.
fn between<'a>(page: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let parts = page.split(before).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(after)?.0))
        .collect()
}

#[tokio::test]
async fn up_to_thirty_queues_are_cards_and_more_are_rows_with_trouble_first() {
    for (queues, element) in [(1, "li"), (30, "li"), (31, "tr"), (300, "tr")] {
        let (world, _ends) = many_queues(queues);
        let page = world.serve().await.page(OVERVIEW).await.body;
        let ranks = between(&page, "data-rank=\"", "\"");
        assert_eq!(ranks.len(), queues);
        let rows = page.matches("<tr data-key").count();
        assert_eq!(rows, if element == "tr" { queues } else { 0 });
        assert_eq!(page.contains("class=\"tools\""), queues > 1, "{queues}");
        for account in page.split("class=\"account\"").skip(1) {
            let ranks = between(account, "data-rank=\"", "\"");
            assert!(element == "li" || ranks.is_sorted(), "{ranks:?}");
        }
    }
}

#[tokio::test]
async fn the_history_is_read_only_for_cards() {
    for (queues, is_read) in [(30, true), (31, false)] {
        let (world, _ends) = many_queues(queues);
        let server = world.serve().await;
        assert_eq!(server.page(OVERVIEW).await.status, 200);
        let history = &server.pages().history;
        assert_eq!(history.has_sparklines(), is_read, "{queues}");
    }
}

#[tokio::test]
async fn a_page_of_three_hundred_queues_is_small() {
    let (world, _ends) = many_queues(300);
    let server = world.serve().await;
    let plain = server.page(OVERVIEW).await.body.len();
    let headers = format!("{PERSON}Accept-Encoding: gzip\r\n");
    let answer = server.ask("HEAD", OVERVIEW, &headers).await;
    let compressed: usize = answer
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .expect("a length");
    println!("300 queues: {plain} bytes, {compressed} compressed");
    // The page's files are read once and kept.
    let files = [
        include_str!("../dashboard/openseat.css"),
        include_str!("../dashboard/openseat.js"),
    ];
    let files: usize = files.iter().map(|file| file.len()).sum();
    assert!(compressed + files < 150_000, "{compressed} and {files}");
}
