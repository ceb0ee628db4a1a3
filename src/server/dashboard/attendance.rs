//! Attendance: which agents of a queue were available when.

use maud::{Markup, PreEscaped, html};

use super::{
    components::Standing,
    history::{self, HistoryReader, Look},
    period::{Period, Window},
    wording,
    zone::Zone,
};
use crate::{
    server::state::{app::App, pool::Undone},
    state::history::{Attendance, Attended, Presence},
};

/// How many agents are listed, a line each. A supervisor looks after fewer.
const MAX_LISTED: usize = 60;

/// What was recorded about the agents in a period.
pub(super) type Recorded = (Window, Attendance);

/// The classes of strips, in the order of [`Presence::ALL`].
const CLASSES: [&str; Presence::ALL.len()] = ["free", "call", "other"];

/// Reads what was recorded.
///
/// # Errors
/// Too many reads are requested at once.
pub(super) async fn read(
    app: &App,
    reader: &HistoryReader,
    standing: &Standing,
    period: Period,
) -> Result<Look<Recorded>, Undone> {
    let key = standing.queue.key.clone();
    let window = period.window(standing.now, period.seats_part());
    history::look(app, reader, move |history| {
        Ok((window, history.attendance(&key, window.range()?)?))
    })
    .await
}

/// The section of a queue's page.
pub(super) fn section(look: &Look<Recorded>, period: Period, zone: &Zone, now_ms: i64) -> Markup {
    html! {
        @if !matches!(look, Look::NotKept) {
            section aria-labelledby="attendance" {
                h2 #attendance { "Who was available in the last " (period.name()) ", in " (zone.label(now_ms)) }
                @match look {
                    Look::Seen((window, attendance)) => (attended(*window, attendance, zone)),
                    Look::Unreadable(why) => p.none { "This cannot be shown: " (why) ". Choose a shorter time above." },
                    Look::NotYet | Look::NotKept => p.none { "Nothing has been recorded yet." },
                }
            }
        }
    }
}

fn attended(window: Window, attendance: &Attendance, zone: &Zone) -> Markup {
    let mut agents: Vec<_> = attendance.agents.iter().collect();
    agents.sort_by_key(|agent| (-total(agent)[0], &agent.name));
    let known: i64 = attendance.known_ms.iter().sum();
    html! {
        @if known == 0 { p.none { "Nothing has been recorded in this time." } }
        @else if agents.is_empty() { p.none { "Nobody was logged in to this queue." } }
        @else {
            p.none { "Agents who were logged in to this queue, most available first. Their statuses are recorded once a minute, so shorter moments are missed." }
            div.wide tabindex="0" role="group" aria-label="Table of who was available" {
                table.attendance {
                    thead { tr {
                        th scope="col" { "Agent" } th.strip-head scope="col" { (ends(window, zone)) } th scope="col" { "Available" } th scope="col" { "On a call" } th scope="col" { "Otherwise" }
                        th scope="col" { "Logged in" }
                    } }
                    tbody { @for agent in agents.iter().take(MAX_LISTED) { (row(agent, &attendance.known_ms, zone)) } }
                }
            }
            p.legend {
                span.swatch.free aria-hidden="true" {} "available, " span.swatch.call aria-hidden="true" {} "on a call, "
                span.swatch.other aria-hidden="true" {} "logged in otherwise, " span.swatch.gap-swatch aria-hidden="true" {} "unknown"
            }
            @if agents.len() > MAX_LISTED { p.none { "And " (agents.len() - MAX_LISTED) " more agents." } }
        }
    }
}

/// The times at both ends of the strips.
fn ends(window: Window, zone: &Zone) -> Markup {
    let is_long = window.length_ms() > 86_400_000;
    let format = if is_long { "%a %-d" } else { "%H:%M" };
    let [from, to] =
        [window.from_ms, window.to_ms].map(|ms| zone.zoned(ms).strftime(format).to_string());
    html! { span.ends { span { (from) } span { (to) } } }
}

fn total(agent: &Attended) -> [i64; 3] {
    let sum = |sums: [i64; 3], part: &[i64; 3]| [0, 1, 2].map(|kind| sums[kind] + part[kind]);
    agent.parts.iter().fold([0; 3], sum)
}

fn row(agent: &Attended, known_ms: &[i64], zone: &Zone) -> Markup {
    html! {
        tr {
            th scope="row" { @if agent.name.is_empty() { span.none { "without a name" } } @else { bdi { (agent.name) } } }
            td { (strip(agent, known_ms)) }
            @for ms in total(agent) { td.span { (span(ms)) } }
            td.span { (clock(agent.first_ms, zone)) " to " (clock(agent.last_ms, zone)) }
        }
    }
}

/// A time to the minute, as it is recorded.
fn span(ms: i64) -> String {
    match ms {
        0 => "–".to_owned(),
        ms if ms < 60_000 => "1 min".to_owned(),
        ms => wording::span(std::time::Duration::from_secs(
            (ms / 60_000 * 60).unsigned_abs(),
        )),
    }
}

fn clock(ms: i64, zone: &Zone) -> String {
    zone.zoned(ms).strftime("%a %H:%M").to_string()
}

/// An agent's time as a strip of parts, each coloured by what the agent did for most of it. Screen readers skip it and read the numbers beside it.
fn strip(agent: &Attended, known_ms: &[i64]) -> Markup {
    let width = known_ms.len();
    let mut drawing = format!(
        r#"<svg class="strip" viewBox="0 0 {width} 1" preserveAspectRatio="none" aria-hidden="true">"#
    );
    let kinds = agent.parts.iter().zip(known_ms);
    let kinds: Vec<_> = kinds.map(|(part, known)| kind(*part, *known)).collect();
    for (n, class) in CLASSES.iter().enumerate() {
        path(&mut drawing, class, &kinds, &Shown::Doing(n));
    }
    path(&mut drawing, "gap", &kinds, &Shown::Unknown);
    drawing += "</svg>";
    // Only numbers and our own class names, no text from outside.
    PreEscaped(drawing)
}

/// The class of a part of a strip.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shown {
    Doing(usize),
    Away,
    Unknown,
}

/// What takes the most of a part's recorded time.
fn kind(part: [i64; 3], known_ms: i64) -> Shown {
    if known_ms == 0 {
        return Shown::Unknown;
    }
    let away = known_ms - part.iter().sum::<i64>();
    let (longest, ms) = (0..part.len()).fold((0, part[0]), |(longest, ms), n| {
        if part[n] > ms {
            (n, part[n])
        } else {
            (longest, ms)
        }
    });
    if ms >= away {
        Shown::Doing(longest)
    } else {
        Shown::Away
    }
}

/// All parts of one kind as one path. Adjacent parts are one rectangle.
fn path(drawing: &mut String, class: &str, kinds: &[Shown], wanted: &Shown) {
    use std::fmt::Write as _;
    let mut data = String::new();
    let mut n = 0;
    for run in kinds.chunk_by(|one, other| one == other) {
        if run[0] == *wanted {
            // Writing to memory cannot fail.
            let _ = write!(data, "M{n} 0h{0}v1h-{0}z", run.len());
        }
        n += run.len();
    }
    if !data.is_empty() {
        let _ = write!(drawing, r#"<path class="{class}" d="{data}"/>"#);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_shows_what_filled_most_of_each_part() {
        let agent = Attended {
            parts: vec![[40, 20, 0], [10, 0, 50], [10, 10, 0], [0; 3], [60, 0, 0]],
            ..Attended::default()
        };
        let strip = strip(&agent, &[60, 60, 60, 0, 60]).into_string();
        assert_eq!(
            strip,
            "<svg class=\"strip\" viewBox=\"0 0 5 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <path class=\"free\" d=\"M0 0h1v1h-1zM4 0h1v1h-1z\"/><path class=\"other\" d=\"M1 0h1v1h-1z\"/>\
             <path class=\"gap\" d=\"M3 0h1v1h-1z\"/></svg>"
        );
    }

    #[test]
    fn names_are_escaped_and_the_most_available_come_first() {
        let agent = |name: &str, free| Attended {
            name: name.to_owned(),
            parts: vec![[free, 0, 0]],
            ..Attended::default()
        };
        let attendance = Attendance {
            known_ms: vec![3_600_000],
            agents: vec![agent("<b>", 60_000), agent("Ann", 3_600_000), agent("", 0)],
        };
        let window = Window {
            from_ms: 0,
            to_ms: 3_600_000,
            part_ms: 3_600_000,
        };
        let look = Look::Seen((window, attendance));
        let page = section(&look, Period::Hour, &Zone::utc(), 0).into_string();
        assert!(page.contains("<bdi>&lt;b&gt;</bdi>"), "{page}");
        assert!(page.find("Ann") < page.find("&lt;b&gt;"), "{page}");
        assert!(page.contains("without a name"), "{page}");
        assert!(page.contains("<td class=\"span\">1 h</td>"), "{page}");
    }
}
