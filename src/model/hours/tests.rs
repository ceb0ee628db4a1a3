use std::{str::FromStr, time::Duration};

use jiff::{Timestamp, civil::date, tz::TimeZone};
use proptest::prelude::*;

use super::*;

fn hours(entries: &[&str], zone: &str) -> OpeningHours {
    let entries = entries.iter().map(|entry| Entry::from_str(entry).unwrap());
    OpeningHours::new(entries.collect(), Zone::find(zone).unwrap())
}

fn moment(at: Timestamp) -> Moment {
    Moment {
        boot: Duration::from_secs(500_000),
        wall: Duration::from_millis(at.as_millisecond() as u64),
    }
}

/// A time of day in New York, by the earlier of two clocks.
fn new_york(year: i16, month: i8, day: i8, hour: i8, minute: i8) -> Timestamp {
    let civil = date(year, month, day).at(hour, minute, 0, 0);
    let zone = TimeZone::get("America/New_York").unwrap();
    zone.to_timestamp(civil).unwrap()
}

fn change(hours: &OpeningHours, at: Timestamp) -> (bool, Option<Timestamp>) {
    let span = hours.span(moment(at));
    (span.is_open, span.until.map(Moment::timestamp))
}

#[test]
fn usual_spellings_of_hours_are_read() {
    for (written, read) in [
        ("Mon-Fri 08:00-18:00", "Mon-Fri 08:00-18:00"),
        ("mon - FRI 8:00 – 18:00", "Mon-Fri 08:00-18:00"),
        ("Monday-Thurs 09:30-17:15", "Mon-Thu 09:30-17:15"),
        ("Sat 00:00-24:00", "Sat 00:00-24:00"),
        (
            "Mon, Wed ,Fri 08:00-12:00, 13:00-17:00",
            "Mon,Wed,Fri 08:00-12:00,13:00-17:00",
        ),
        ("  Fri-Mon   22:00-02:00 ", "Fri-Mon 22:00-02:00"),
    ] {
        let entry = Entry::from_str(written).unwrap();
        assert_eq!(entry.to_string(), read);
        assert_eq!(Entry::from_str(read).unwrap(), entry);
    }
}

#[test]
fn each_mistake_has_its_own_message() {
    let text = str::to_owned;
    for (written, error) in [
        ("", HoursError::Empty),
        ("Mon-Fri", HoursError::Incomplete),
        ("08:00-18:00", HoursError::Incomplete),
        ("Mo-Fr 08:00-18:00", HoursError::Day(text("Mo"))),
        ("Mon-Montag 08:00-18:00", HoursError::Day(text("Montag"))),
        ("Mon- 08:00-18:00", HoursError::Incomplete),
        ("Mon-Fri 08:00", HoursError::Range(text("08:00"))),
        ("Mon 8-18", HoursError::Time(text("8"))),
        ("Mon 08:00-25:00", HoursError::Time(text("25:00"))),
        ("Mon 08:00-24:01", HoursError::Time(text("24:01"))),
        ("Mon 08:60-09:00", HoursError::Time(text("08:60"))),
        ("Mon 8am-6pm", HoursError::Time(text("8am"))),
        ("Mon 08:00:00-18:00", HoursError::Time(text("08:00:00"))),
        ("Mon +8:00-18:00", HoursError::Time(text("+8:00"))),
        ("Mon 24:00-06:00", HoursError::BeginsAtTheEnd),
        ("Mon 08:00-08:00", HoursError::Nothing(text("08:00"))),
        (
            "Mon 08:00-12:00 Tue 08:00-12:00",
            HoursError::TooMuch(text("Tue")),
        ),
    ] {
        assert_eq!(Entry::from_str(written), Err(error), "{written}");
    }
}

#[test]
fn a_zone_is_found_and_a_misspelt_one_gets_the_nearest() {
    for name in ["America/New_York", "UTC", "Europe/Berlin", "Asia/Kolkata"] {
        assert_eq!(Zone::find(name).unwrap().name(), name);
    }
    for (wrong, nearest) in [
        ("America/NewYork", Some("America/New_York")),
        ("new york", Some("America/New_York")),
        ("Berlin", Some("Europe/Berlin")),
        ("", None),
    ] {
        let error = Zone::find(wrong).expect_err(wrong);
        assert_eq!(error.nearest.as_deref(), nearest, "{wrong}");
    }
}

#[test]
fn a_queue_opens_and_closes_at_the_minute() {
    let hours = hours(&["Mon-Fri 08:00-18:00"], "America/New_York");
    let (opens, closes) = (new_york(2026, 11, 23, 8, 0), new_york(2026, 11, 23, 18, 0));
    let next = new_york(2026, 11, 24, 8, 0);
    let ms = 1.millisecond();
    for (at, seen) in [
        (new_york(2026, 11, 20, 18, 0), (false, Some(opens))),
        (opens - ms, (false, Some(opens))),
        (opens, (true, Some(closes))),
        (closes - ms, (true, Some(closes))),
        (closes, (false, Some(next))),
    ] {
        assert_eq!(change(&hours, at), seen, "{at}");
    }
    assert_eq!(hours.local(moment(opens)), "Mon 08:00");
}

#[test]
fn hours_may_pass_midnight_and_the_end_of_the_week() {
    let hours = hours(&["Sun 22:00-02:00", "Fri 20:00-24:00"], "America/New_York");
    let monday = new_york(2026, 11, 23, 2, 0);
    assert_eq!(
        change(&hours, new_york(2026, 11, 22, 23, 59)),
        (true, Some(monday))
    );
    assert_eq!(
        change(&hours, new_york(2026, 11, 23, 0, 0)),
        (true, Some(monday))
    );
    let friday = new_york(2026, 11, 27, 20, 0);
    assert_eq!(change(&hours, monday), (false, Some(friday)));
    assert_eq!(
        change(&hours, friday),
        (true, Some(new_york(2026, 11, 28, 0, 0)))
    );
}

#[test]
fn hours_that_overlap_or_touch_are_merged() {
    let hours = hours(
        &[
            "Mon 08:00-12:00",
            "Mon 11:00-15:00",
            "Mon-Tue 15:00-18:00",
            "Mon 18:00-24:00",
            "Tue 00:00-01:00",
        ],
        "UTC",
    );
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let seen = change(&hours, at("2026-11-23T09:00:00Z"));
    assert_eq!(seen, (true, Some(at("2026-11-24T01:00:00Z"))));
    let seen = change(&hours, at("2026-11-24T01:00:00Z"));
    assert_eq!(seen, (false, Some(at("2026-11-24T15:00:00Z"))));
}

#[test]
fn a_queue_that_never_closes_never_changes() {
    for entries in [
        &["Mon-Sun 00:00-24:00"][..],
        &["Wed-Tue 12:00-24:00", "Mon-Sun 00:00-12:00"],
    ] {
        let hours = hours(entries, "America/New_York");
        assert_eq!(change(&hours, new_york(2026, 3, 7, 23, 0)), (true, None));
    }
}

/// On 8 March 2026, 03:00 follows 01:59 in New York.
#[test]
fn an_hour_that_clocks_skip_is_skipped() {
    let hours = hours(&["Sun 02:30-04:00", "Sun 01:00-01:30"], "America/New_York");
    let seen = change(&hours, new_york(2026, 3, 8, 1, 30));
    assert_eq!(seen, (false, Some(new_york(2026, 3, 8, 3, 0))));
    let seen = change(&hours, new_york(2026, 3, 8, 3, 0));
    assert_eq!(seen, (true, Some(new_york(2026, 3, 8, 4, 0))));
    // A range within the hour does not occur at all that day.
    let hours = self::hours(&["Sun 02:10-02:50"], "America/New_York");
    let seen = change(&hours, new_york(2026, 3, 8, 1, 0));
    assert_eq!(seen, (false, Some(new_york(2026, 3, 15, 2, 10))));
}

/// On 1 November 2026 the hour from 01:00 occurs twice in New York.
#[test]
fn an_hour_that_occurs_twice_counts_twice() {
    let hours = hours(&["Sun 00:00-01:30"], "America/New_York");
    let first = new_york(2026, 11, 1, 1, 30);
    assert_eq!(
        change(&hours, new_york(2026, 11, 1, 0, 0)),
        (true, Some(first))
    );
    let again = first + 30.minutes();
    assert_eq!(change(&hours, first), (false, Some(again)));
    assert_eq!(change(&hours, again), (true, Some(again + 30.minutes())));
}

/// A file of the tz database: a zone whose clocks are this many seconds ahead all year.
fn tzif(offset: i32) -> Vec<u8> {
    let counts = [0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat();
    let kind = [&offset.to_be_bytes()[..], &[0, 0], b"LMT\0"].concat();
    let block = [&b"TZif2"[..], &[0; 15], &counts, &kind].concat();
    [&block[..], &block, b"\n\n"].concat()
}

#[test]
fn hours_in_a_zone_that_a_newer_tz_database_has_changed_are_others() {
    let hours = |offset| {
        let zone = TimeZone::tzif("America/New_York", &tzif(offset)).unwrap();
        OpeningHours::new(vec!["Mon 08:00-18:00".parse().unwrap()], Zone(zone))
    };
    assert_eq!(hours(-18_000), hours(-18_000));
    assert_ne!(hours(-18_000), hours(-14_400));
}

#[test]
fn a_span_is_not_used_after_the_wall_clock_was_set() {
    let hours = hours(&["Mon-Fri 08:00-18:00"], "America/New_York");
    let now = moment(new_york(2026, 11, 23, 9, 0));
    let span = hours.span(now);
    let until = span.until.unwrap();
    assert!(span.covers(now) && !span.covers(until));
    assert_eq!(until.boot - now.boot, Duration::from_secs(9 * 3600));
    let set_back = Moment {
        wall: now.wall - Duration::from_secs(2 * 3600),
        ..now.later(Duration::from_secs(1))
    };
    assert!(!span.covers(set_back) && !hours.span(set_back).is_open);
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let days = prop::collection::vec((0..7_u32, 0..7_u32), 1..3);
    let time =
        (0..DAY_MINUTES, 1..=DAY_MINUTES).prop_filter("not empty", |(start, end)| start != end);
    let entry = (days, prop::collection::vec(time, 1..3));
    entry.prop_map(|(days, times)| Entry { days, times })
}

fn any_zone() -> impl Strategy<Value = &'static str> {
    // With an offset of half an hour, without changes, with four changes a year, and with changes of half an hour.
    prop::sample::select(vec![
        "America/New_York",
        "Asia/Kolkata",
        "Africa/Casablanca",
        "Australia/Lord_Howe",
        "America/St_Johns",
    ])
}

proptest! {
    // A week has ten thousand minutes.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hours_survive_writing_and_reading(entry in any_entry()) {
        prop_assert_eq!(Entry::from_str(&entry.to_string()).unwrap(), entry);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ -~–é]{0,40}") {
        let _ = Entry::from_str(&text);
    }

    /// Compares with a wall clock, minute by minute, over a week that begins at any time within two years.
    #[test]
    fn hours_agree_with_a_wall_clock(
        entries in prop::collection::vec(any_entry(), 1..4), zone in any_zone(), start_s in 1_767_225_600_i64..1_830_297_600,
    ) {
        let of_wall: Vec<_> = entries.iter().flat_map(Entry::ranges).collect();
        let hours = OpeningHours::new(entries, Zone::find(zone).unwrap());
        let zone = TimeZone::get(zone).unwrap();
        let shows = |at: Timestamp| {
            let local = zone.to_datetime(at);
            let day = local.weekday().to_monday_zero_offset() as u32;
            let minute = day * 1440 + local.hour() as u32 * 60 + local.minute() as u32;
            of_wall.iter().any(|range| range.contains(&minute))
        };
        let start = Timestamp::from_second(start_s).unwrap();
        let end = start + (7 * 24).hours();
        let mut span = hours.span(moment(start));
        prop_assert_eq!(span.is_open, shows(start));
        // The seconds of the start remain, so that edges are approached from within a minute.
        let mut at = start;
        while at < end {
            if !span.covers(moment(at)) {
                span = hours.span(moment(at));
            }
            prop_assert_eq!(span.is_open, shows(at), "{} {:?}", at, span);
            at += 1.minute();
        }
    }
}
