use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    calltools::{Reply, Transport},
    clock::VirtualClock,
    fixtures::{surveyed, surveyed_over},
    simulator::{
        self, ForeignQueue, InjectedFault, LoggedInField, NullOrder, Quirks, Settings, Simulator,
        StatusForm, SweepQuirk, TOKEN, UserForm, WorldSettings,
    },
};

/// More agents than a page has, and fewer than two pages have.
const LARGE: usize = 300;

fn account(agents: usize) -> (Simulator, Arc<dyn Clock>) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let world = WorldSettings {
        agents,
        ..WorldSettings::lively()
    };
    let simulator = Simulator::new(Settings::new(world), Arc::clone(&clock));
    (simulator, clock)
}

async fn found(agents: usize, quirk: impl FnOnce(&mut Quirks)) -> Findings {
    let (simulator, clock) = account(agents);
    simulator.quirks(quirk);
    let report = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    let report = report.expect("answers");
    assert!(report.is_complete(), "{report:#?}");
    report.found
}

#[tokio::test(start_paused = true)]
async fn ten_requests_find_out_how_a_large_account_behaves() {
    let (simulator, clock) = account(LARGE);
    let report = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    let report = report.expect("answers");
    assert_eq!((report.requests, simulator.requests()), (10, 10));
    assert_eq!(report.stopped, None);
    let open = "not judged: everybody and the queue (the list of everybody has more than one page)";
    assert!(
        report.said.iter().any(|line| line == open),
        "{:#?}",
        report.said
    );
    assert!(report.said.iter().all(|line| !line.contains("too small")));
    let Findings {
        people,
        newest_change_ahead_seconds,
        ..
    } = report.found;
    let expected = Findings {
        queues: Some(6),
        statuses: Some(6),
        agents: Some(300),
        queues_list: Some(Access::Readable),
        statuses_list: Some(Access::Readable),
        everybody_list: Some(Access::Readable),
        // A page of the list is not the whole list.
        everybody: None,
        envelope: Some(Envelope::Pages),
        default_page_size: Some(25),
        largest_page: Some(250),
        page_size_max: Some(PageSizeMax::Clipped),
        count: Some(Count::Exact),
        past_the_end: Some(PastTheEnd::NotFound),
        links: Some(Links::Same),
        ordering: Some(Ordering::NewestFirst),
        undated_first: None,
        undated_percent: Some(0),
        status_filter: Some(Filter::Works),
        change_filter: Some(Filter::Ignored),
        unknown_queue: Some(UnknownQueue::Refused),
        queue_logged_in_without_queue: Some(Presence::None),
        queue_logged_in_with_queue: Some(Presence::All),
        agent_status: Some(Form::Number),
        app_user: Some(Form::Text),
        dates: Some(DateForm::Fractions),
        clock_ahead_seconds: None,
        cached_seconds: None,
        latency_ms: Some(0),
        people,
        newest_change_ahead_seconds,
    };
    assert_eq!(report.found, expected);
    assert!(newest_change_ahead_seconds.is_some_and(|ahead| (-300..=0).contains(&ahead)));
    let people = people.expect("agents");
    assert_eq!(people.listed, 250);
    assert!(people.available > 0 && people.on_call > people.available_on_call);
}

#[tokio::test(start_paused = true)]
async fn findings_that_a_small_account_cannot_show_are_not_judged() {
    let small = found(20, |_| ()).await;
    assert_eq!(small.page_size_max, None);
    assert_eq!(small.largest_page, None);
    assert_eq!(small.links, None);
    assert_eq!(small.everybody, Some(Agreement::Whole));
    assert_eq!(small.ordering, Some(Ordering::NewestFirst));
    let tiny = found(1, |_| ()).await;
    assert_eq!(tiny.ordering, None);
}

type Case = (&'static str, usize, fn(&mut Quirks), fn(&Findings) -> bool);

const CASES: [Case; 30] = [
    (
        "ordering off",
        LARGE,
        |q| q.ordering = simulator::Ordering::Off,
        |f| f.ordering == Some(Ordering::Ignored),
    ),
    (
        "ascending",
        LARGE,
        |q| q.ordering = simulator::Ordering::AscendingOnly,
        |f| f.ordering == Some(Ordering::OldestFirst),
    ),
    (
        "another field",
        LARGE,
        |q| q.ordering = simulator::Ordering::WrongField,
        |f| f.ordering == Some(Ordering::ByOther(OtherDate::LoggedInSince)),
    ),
    (
        "another name",
        LARGE,
        |q| q.ordering_name = Some("modified".to_owned()),
        |f| f.ordering == Some(Ordering::Ignored),
    ),
    (
        "nulls first",
        LARGE,
        |q| q.undated_percent = 10,
        |f| f.undated_first == Some(true) && f.undated_percent.is_some_and(|p| p > 5),
    ),
    (
        "nulls last",
        LARGE,
        |q| {
            q.undated_percent = 10;
            q.nulls = NullOrder::Smallest;
        },
        |f| f.undated_first == Some(false),
    ),
    (
        "nulls first, oldest first",
        LARGE,
        |q| {
            q.undated_percent = 10;
            q.nulls = NullOrder::Smallest;
            q.ordering = simulator::Ordering::AscendingOnly;
        },
        |f| f.undated_first == Some(true),
    ),
    (
        "a page of nulls",
        1_000,
        |q| q.undated_percent = 60,
        |f| f.undated_first == Some(true) && f.ordering.is_none(),
    ),
    (
        "short pages",
        LARGE,
        |q| q.page_limit = std::num::NonZeroUsize::new(100),
        |f| f.largest_page == Some(100) && f.agents == Some(300),
    ),
    (
        "the whole list",
        LARGE,
        |q| q.page_size_max = simulator::PageSizeMax::Whole,
        |f| f.page_size_max == Some(PageSizeMax::Whole),
    ),
    (
        "no filter",
        120,
        |q| q.status_filter_ignored = true,
        |f| f.status_filter == Some(Filter::Ignored),
    ),
    (
        "bare",
        120,
        |q| q.bare_array = true,
        |f| f.envelope == Some(Envelope::BareArray) && f.count.is_none(),
    ),
    (
        "field always",
        120,
        |q| q.queue_logged_in = LoggedInField::Always,
        |f| f.queue_logged_in_without_queue == Some(Presence::All),
    ),
    (
        "field never",
        120,
        |q| q.queue_logged_in = LoggedInField::Never,
        |f| f.queue_logged_in_with_queue == Some(Presence::None),
    ),
    (
        "empty queue",
        120,
        |q| q.foreign_queue = ForeignQueue::Empty,
        |f| f.unknown_queue == Some(UnknownQueue::Empty),
    ),
    (
        "statuses",
        120,
        |q| q.statuses_forbidden = true,
        |f| f.statuses_list == Some(Access::Forbidden) && f.status_filter == Some(Filter::Works),
    ),
    (
        "sweep forbidden",
        120,
        |q| q.sweep = SweepQuirk::Forbidden,
        |f| f.everybody_list == Some(Access::Forbidden),
    ),
    (
        "sweep missing",
        120,
        |q| q.sweep = SweepQuirk::NotFound,
        |f| f.everybody_list == Some(Access::NotFound),
    ),
    (
        "sweep partial",
        120,
        |q| q.sweep = SweepQuirk::Partial,
        |f| f.everybody == Some(Agreement::Partial),
    ),
    (
        "sweep stale",
        120,
        |q| q.sweep = SweepQuirk::Stale,
        |f| f.everybody == Some(Agreement::Stale),
    ),
    (
        "count more",
        120,
        |q| q.count_off_by = 3,
        |f| f.count == Some(Count::OffBy(3)),
    ),
    (
        "count less",
        120,
        |q| q.count_off_by = -1,
        |f| f.count == Some(Count::OffBy(-1)),
    ),
    (
        "endless",
        120,
        |q| q.endless_pages = true,
        |f| f.past_the_end == Some(PastTheEnd::BeginsAgain),
    ),
    (
        "endless short pages",
        120,
        |q| {
            q.endless_pages = true;
            q.page_limit = std::num::NonZeroUsize::new(100);
        },
        |f| {
            f.past_the_end == Some(PastTheEnd::BeginsAgain)
                && f.agents == Some(120)
                && f.count == Some(Count::Exact)
        },
    ),
    (
        "links",
        LARGE,
        |q| q.links_origin = Some("http://10.0.0.7".to_owned()),
        |f| f.links == Some(Links::Elsewhere),
    ),
    (
        "status names",
        120,
        |q| q.agent_status = StatusForm::Name,
        |f| f.agent_status == Some(Form::Text) && f.status_filter == Some(Filter::Works),
    ),
    (
        "no status",
        120,
        |q| q.agent_status = StatusForm::Null,
        |f| f.agent_status == Some(Form::Null) && f.status_filter == Some(Filter::Works),
    ),
    (
        "user numbers",
        120,
        |q| q.app_user = UserForm::Number,
        |f| f.app_user == Some(Form::Number),
    ),
    (
        "whole seconds",
        120,
        |q| q.dates = simulator::DateForm::Spaced,
        |f| f.dates == Some(DateForm::Spaced),
    ),
    (
        "clocks",
        120,
        |q| q.clocks_apart = Duration::from_secs(7200),
        |f| {
            f.newest_change_ahead_seconds
                .is_some_and(|ahead| ahead > 6000)
        },
    ),
];

#[tokio::test(start_paused = true)]
async fn each_quirk_of_an_account_is_found_and_a_plain_account_has_none() {
    for (name, agents, quirk, shows) in CASES {
        let odd = found(agents, quirk).await;
        assert!(shows(&odd), "{name}: {odd:#?}");
        let plain = found(agents, |_| ()).await;
        assert!(!shows(&plain), "{name}: a plain account has it too");
    }
}

#[test]
fn the_reason_for_an_open_finding_fits_the_account() {
    let paged = |agents, largest_page| Findings {
        agents: Some(agents),
        largest_page,
        envelope: Some(Envelope::Pages),
        ..Findings::default()
    };
    let everybody = "everybody and the queue";
    let long = "the list of everybody has more than one page";
    let empty = "the queue is empty, or was not read";
    let whole = Findings {
        page_size_max: Some(PageSizeMax::Whole),
        ..paged(300, Some(250))
    };
    let bare = Findings {
        envelope: Some(Envelope::BareArray),
        ..paged(300, None)
    };
    let (hidden, short) = (
        "an answer is missing, or does not show it",
        "the account is too small, or an answer is missing",
    );
    for (found, subject, why) in [
        (paged(300, Some(250)), everybody, long),
        (paged(120, Some(100)), everybody, long),
        (paged(120, Some(100)), "page_size=max", hidden),
        (paged(120, None), "page_size=max", short),
        (whole, everybody, empty),
        (paged(120, None), everybody, empty),
        (bare, everybody, empty),
        (Findings::default(), everybody, short),
    ] {
        let said = words::words(&found, "modified");
        let mut lines = said.iter().filter(|line| line.contains(subject));
        let line = lines.next().expect("a line about it");
        assert!(line.ends_with(&format!("({why})")), "{line}, not: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_ordering_field_is_tried() {
    let (simulator, clock) = account(LARGE);
    simulator.quirks(|quirks| quirks.ordering_name = Some("modified".to_owned()));
    let report = surveyed(&simulator, "modified", &clock)
        .await
        .expect("answers");
    assert_eq!(report.found.ordering, Some(Ordering::NewestFirst));
    assert!(
        report
            .said
            .iter()
            .any(|said| said.contains("ordering=-modified sorts"))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_during_a_pause_and_a_survey_ends_when_one_begins() {
    let (simulator, clock) = account(20);
    simulator.inject(
        1,
        None,
        InjectedFault::Throttled(Some(Duration::from_secs(90))),
    );
    let refused = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    assert!(matches!(
        refused,
        Err(RequestError::Fault(Fault::Throttled { .. }))
    ));
    assert_eq!(simulator.requests(), 1);
    let wait = InjectedFault::Throttled(Some(Duration::from_secs(90)));
    simulator.inject(1, Some(simulator::Endpoint::AgentStatuses), wait);
    let report = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    let report = report.expect("two answers");
    assert_eq!((report.answers.len(), report.requests), (2, 3));
    // It did not send ten requests, so nothing may say so.
    assert!(
        report
            .said
            .iter()
            .all(|line| !line.contains("ten requests"))
    );
    let stopped = report.stopped.expect("a reason");
    assert!(stopped.contains("429"), "{stopped}");
    assert_eq!(simulator.requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_takes_too_long_prevents_no_other_request() {
    let (simulator, clock) = account(20);
    let lists = Some(simulator::Endpoint::AgentStatuses);
    simulator.inject(1, lists, InjectedFault::Hang);
    let report = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    let report = report.expect("answers");
    assert_eq!(report.stopped, None);
    assert_eq!(report.answers[2].answered, "timeout");
    assert_eq!(report.unanswered, ["everybody: timeout"]);
    assert_eq!(report.found.everybody_list, Some(Access::Failed));
    assert_eq!(report.found.unknown_queue, Some(UnknownQueue::Refused));
    // If nothing has come yet, nothing will.
    simulator.inject(1, None, InjectedFault::Hang);
    let before = simulator.requests();
    let none = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    assert!(none.is_err());
    assert_eq!(simulator.requests(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_costs_one_request_and_gives_no_report() {
    let (simulator, clock) = account(20);
    simulator.set_token("another");
    let refused = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    assert!(matches!(refused, Err(RequestError::Fault(Fault::BadToken))));
    assert_eq!(simulator.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_lists_make_a_report_incomplete() {
    for (fault, why) in [
        (InjectedFault::WebPage(200), "a web page instead of JSON"),
        (InjectedFault::WebPage(503), "CallTools answered 503"),
        (
            InjectedFault::Redirect("https://elsewhere.invalid/".to_owned()),
            "CallTools answered with a redirect",
        ),
        (InjectedFault::WrongShape, "is not a list"),
        (InjectedFault::EmptyBody, "CallTools answered with nothing"),
        (InjectedFault::BrokenJson, "stops being JSON"),
        (InjectedFault::Dropped, "connection_lost"),
        (InjectedFault::Forbidden, "may not read this"),
        (InjectedFault::NotFound, "CallTools answered 404"),
    ] {
        let (simulator, clock) = account(20);
        // Without a first answer there is no report.
        let lists = Some(simulator::Endpoint::AgentStatuses);
        simulator.inject(usize::MAX, lists, fault.clone());
        let report = surveyed(&simulator, "agent_status_modified_on", &clock).await;
        let report = report.expect("answers");
        let mut lines = report.unanswered.iter().chain(&report.stopped);
        assert!(
            !report.is_complete() && lines.any(|line| line.contains(why)),
            "{fault:?}: {report:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_without_agents_is_not_a_failure() {
    let (simulator, clock) = account(20);
    let lists = Some(simulator::Endpoint::AgentStatuses);
    simulator.inject(usize::MAX, lists, InjectedFault::NoRows);
    let report = surveyed(&simulator, "agent_status_modified_on", &clock).await;
    let report = report.expect("answers");
    assert!(report.is_complete(), "{report:#?}");
}

/// A way to an account that edits each answer. It gets the path and the body.
struct Edited(Arc<dyn Transport>, fn(&str, &mut Value));

impl std::fmt::Debug for Edited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edited")
    }
}

impl Transport for Edited {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(async move {
            let mut reply = self.0.get(path).await?;
            if let Ok(mut body) = serde_json::from_slice(&reply.body) {
                self.1(path, &mut body);
                reply.body = body.to_string().into();
            }
            Ok(reply)
        })
    }
}

async fn edited(quirk: impl FnOnce(&mut Quirks), edit: fn(&str, &mut Value)) -> SurveyReport {
    let (simulator, clock) = account(LARGE);
    simulator.quirks(quirk);
    let transport = Arc::new(Edited(simulator.transport(TOKEN), edit));
    let report = surveyed_over(transport, &simulator, "agent_status_modified_on", &clock).await;
    report.expect("answers")
}

#[tokio::test(start_paused = true)]
async fn without_a_count_only_a_whole_list_has_a_size() {
    let no_count: [fn(&str, &mut Value); 2] = [
        |_, body| drop(body.as_object_mut().map(|list| list.remove("count"))),
        |_, body| {
            if body.get("count").is_some() {
                body["count"] = i64::MAX.into();
            }
        },
    ];
    for edit in no_count {
        let SurveyReport { found, said, .. } = edited(|_| (), edit).await;
        assert_eq!((found.agents, found.count), (None, Some(Count::Absent)));
        assert_eq!(found.past_the_end, Some(PastTheEnd::NotFound));
        assert_eq!(found.page_size_max, Some(PageSizeMax::Clipped));
        let line = "everybody: agentstatuses/ without a queue can be read";
        assert!(said.iter().any(|said| said == line), "{said:#?}");
        // A page with more than 250 rows shows everybody.
        let long = |q: &mut Quirks| q.page_limit = std::num::NonZeroUsize::new(1_000);
        assert_eq!(edited(long, edit).await.found.agents, Some(300));
    }
}

#[tokio::test(start_paused = true)]
async fn agents_without_a_date_are_counted_on_more_than_one_page() {
    let quirk = |q: &mut Quirks| {
        q.undated_percent = 60;
        q.nulls = NullOrder::Smallest;
    };
    let found = edited(quirk, |path, body| {
        let is_usual = path.starts_with("agentstatuses/") && !path.contains("ordering");
        let rows = body.get_mut("results").and_then(Value::as_array_mut);
        if let (true, Some(rows)) = (is_usual, rows) {
            rows.retain(|row| row["agent_status_modified_on"].is_null());
        }
    })
    .await
    .found;
    assert_eq!(found.undated_first, Some(false));
    let percent = found.undated_percent.expect("rows");
    assert!((50..=70).contains(&percent), "{percent}");
}
