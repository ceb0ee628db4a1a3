use std::sync::Arc;

use super::*;
use crate::{
    budget::{Mark, Mirrored},
    cluster::{
        command::Position,
        entry::{HeldSeat, Polled, Rows, SeenRow, Shown, Silence},
    },
    decision::{
        reservations::{Reservation, ReservationId},
        soon::rule::Prediction,
    },
    fixtures::available,
    model::{
        agent::AgentId,
        fault::Fault,
        known::{Confirmed, Unconfirmed},
    },
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A moment on the writer's machine.
fn here(at: u64) -> Moment {
    Moment {
        boot: seconds(500_000 + at),
        wall: seconds(1_795_341_600 + at),
    }
}

/// The same moment on the reader's machine.
fn there(at: u64) -> Moment {
    Moment {
        boot: seconds(90_000 + at),
        wall: seconds(1_795_341_600 + at),
    }
}

fn engine(at: u64) -> Duration {
    seconds(1_795_000_000 + at)
}

fn writing(at: u64) -> Writing {
    Writing {
        now: here(at),
        engine: engine(at),
        format: FORMAT,
    }
}

fn reading(at: u64) -> Reading {
    Reading {
        asked: there(at),
        now: there(at),
        engine: engine(at),
        suspect_since: None,
        is_old: false,
        format: FORMAT,
    }
}

fn entry(at: u64) -> Entry {
    let agents = available(3);
    Entry {
        whole: true,
        polls: vec![(
            5450,
            Rows {
                as_of: here(at - 20),
                took: Duration::from_millis(321),
                complete: true,
                rows: agents.iter().map(|agent| agent.raw.clone()).collect(),
            },
        )],
        seen: vec![SeenRow {
            agent: AgentId("id-1".into()),
            at: here(at - 5),
            by_sweep: true,
            is_look: true,
            is_covered: true,
            row: agents[1].raw.clone(),
        }],
        uncovered: true,
        unchanged: Some(here(at - 4)),
        confirmed: Some(Confirmed {
            everybody: Some(here(at - 3)),
            available: None,
            but: vec![Unconfirmed {
                agent: AgentId("id-1".into()),
                known: here(at - 9),
                has_slipped: true,
            }],
        }),
        shown: vec![Shown {
            queue: "sales".into(),
            fault: Some(Arc::new(Fault::down(crate::model::fault::Down::Tls, "no"))),
            max_age: seconds(90),
            members_max_age: seconds(1_800),
            fails: true,
        }],
        fault: Some(Some(Arc::new(Fault::BadToken))),
        held: vec![HeldSeat {
            queue: "sales".into(),
            reservation: Reservation {
                id: ReservationId::from_text("r"),
                call_id: "call".into(),
                made: here(at - 10),
                ttl: seconds(45),
                prediction: Prediction::from_figures((83, 2.0 / 3.0)),
                counts_on: Some(AgentId("id-1".into())),
            },
        }],
        ended: vec![ReservationId::from_text("q")],
        learnt: Some("{}".into()),
        requests: vec![Mirrored {
            mark: Mark {
                process: u64::MAX,
                number: 7,
            },
            polling: true,
            answered: false,
            stays: seconds(3_600),
        }],
        silences: vec![Silence {
            throttled: true,
            wait: Some(seconds(30)),
        }],
        queues: Some(Arc::new(Polled {
            ids: [5450].into(),
            names: ["sales".into()].into(),
        })),
        ..Entry::default()
    }
}

fn is_about(one: Moment, other: Moment) -> bool {
    one.boot.abs_diff(other.boot) <= Duration::from_millis(1)
}

#[test]
fn an_entry_keeps_its_ages_on_another_machine() {
    let data = encode(&entry(100), &writing(100));
    // Read two seconds later.
    let read = decode(&data, &reading(102)).unwrap();
    assert!(read.whole);
    let (queue, rows) = &read.polls[0];
    assert_eq!((*queue, rows.rows.len(), rows.complete), (5450, 3, true));
    assert!(is_about(rows.as_of, there(80)), "{:?}", rows.as_of);
    assert!(is_about(read.seen[0].at, there(95)));
    assert!(read.seen[0].is_look && read.seen[0].is_covered);
    assert!(read.uncovered && is_about(read.unchanged.unwrap(), there(96)));
    let confirmed = read.confirmed.unwrap();
    assert!(is_about(confirmed.everybody.unwrap(), there(97)));
    assert_eq!(confirmed.available, None);
    assert!(is_about(confirmed.but[0].known, there(91)) && confirmed.but[0].has_slipped);
    assert_eq!(&*confirmed.but[0].agent.0, "id-1");
    // Earlier versions read only what is confirmed of all.
    let json = unpack(&data, MAX_UNPACKED).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["confirmed"], serde_json::json!([9_000, null]));
    let but = serde_json::json!([{"agent": "id-1", "age": 9_000, "slipped": true}]);
    assert_eq!(
        json["confirmed_but"],
        serde_json::json!([[3_000, null], but])
    );
    assert_eq!(read.shown, entry(100).shown);
    assert_eq!(read.fault, entry(100).fault);
    assert_eq!((read.ended.len(), read.silences.len()), (1, 1));
    assert_eq!(read.learnt, entry(100).learnt);
    assert_eq!(read.queues, entry(100).queues);
    // Stays count from the receipt.
    assert_eq!(read.requests, entry(100).requests);
    let (seat, was) = (&read.held[0].reservation, &entry(100).held[0].reservation);
    assert!(is_about(seat.made, there(92)));
    assert!(seat.prediction.is_some() && seat.counts_on.is_some());
    assert_eq!(
        (seat.prediction, &seat.counts_on),
        (was.prediction, &was.counts_on)
    );
}

#[test]
fn stays_in_old_entries_shrink_by_the_time_that_both_clocks_agree_on() {
    let data = encode(&entry(100), &writing(100));
    let stay = |reading: Reading| decode(&data, &reading).unwrap().requests[0].stays;
    let old = Reading {
        is_old: true,
        ..reading(1_100)
    };
    assert_eq!(stay(old), seconds(2_600));
    // If the engine's clock or the wall clock jumped ahead, the other one counts.
    let jumped = Reading {
        engine: engine(4_000),
        ..old
    };
    assert_eq!(stay(jumped), seconds(2_600));
    let set = Reading {
        asked: Moment {
            wall: there(9_000).wall,
            ..old.asked
        },
        ..old
    };
    assert_eq!(stay(set), seconds(2_600));
    let gone = Reading {
        is_old: true,
        ..reading(3_800)
    };
    assert!(decode(&data, &gone).unwrap().requests.is_empty());
}

#[test]
fn pauses_in_old_entries_shrink_and_end_in_the_same_way() {
    let pause = |wait| Silence {
        throttled: true,
        wait,
    };
    let silences = [Some(seconds(1_800)), Some(Duration::ZERO), None].map(pause);
    let entry = Entry {
        silences: silences.to_vec(),
        ..Entry::default()
    };
    let data = encode(&entry, &writing(100));
    let left = |reading: Reading| decode(&data, &reading).unwrap().silences;
    assert_eq!(left(reading(1_800)), silences, "it just came");
    let old = |at| Reading {
        is_old: true,
        ..reading(at)
    };
    let [long, _, unknown] = silences;
    assert_eq!(left(old(100)), silences);
    let shorter = pause(Some(seconds(100)));
    assert_eq!(left(old(1_800)), [shorter, unknown]);
    let jumped = Reading {
        engine: engine(4_000),
        ..old(100)
    };
    assert_eq!(left(jumped)[0], long);
    assert_eq!(left(old(1_900)), [unknown]);
    assert_eq!(left(old(3_700)), []);
}

#[test]
fn no_jump_of_the_engines_clock_makes_an_entry_younger() {
    let data = encode(&entry(100), &writing(100));
    let as_of = |reading: Reading| decode(&data, &reading).unwrap().polls[0].1.as_of;
    // Set back by an hour, and noticed: as old as the data before.
    let noticed = Reading {
        engine: engine(0),
        suspect_since: Some(there(60)),
        ..reading(102)
    };
    assert!(as_of(noticed).boot <= there(60 - 20).boot);
    let unnoticed = Reading {
        engine: engine(0),
        ..reading(102)
    };
    assert!(as_of(unnoticed).boot <= there(80).boot);
    // Set ahead: looks older, never younger.
    let ahead = Reading {
        engine: engine(3_000),
        ..reading(102)
    };
    assert!(as_of(ahead).boot <= there(80).boot);
}

/// Returns everything about an account with this many agents, each in two queues.
fn whole(agents: usize) -> Entry {
    let agents = available(agents);
    let rows = || Rows {
        as_of: here(80),
        took: Duration::from_millis(321),
        complete: true,
        rows: agents.iter().map(|agent| agent.raw.clone()).collect(),
    };
    let seen = agents.iter().map(|agent| SeenRow {
        agent: agent.id.clone(),
        at: here(90),
        by_sweep: true,
        is_look: true,
        is_covered: false,
        row: agent.raw.clone(),
    });
    Entry {
        whole: true,
        polls: vec![(1, rows()), (2, rows())],
        seen: seen.collect(),
        requests: vec![Mirrored::asked_for(
            Mark {
                process: 1,
                number: 1,
            },
            true,
        )],
        ..Entry::default()
    }
}

async fn unpacked(parts: Vec<Vec<u8>>) -> Result<Entry, BadEntry> {
    let checkpoint = Checkpoint {
        position: Position::default(),
        time: Duration::ZERO,
        parts,
    };
    decode_all(&checkpoint, &reading(100)).await
}

#[tokio::test]
async fn a_checkpoint_of_a_large_account_comes_in_parts_and_is_whole_again() {
    let agents = 2_500;
    let mut packer = Packer::default();
    let parts = whole(agents).parts();
    assert!(parts.len() > 4, "{}", parts.len());
    for part in &parts {
        let rows = part.polls.iter().map(|(_, rows)| rows.rows.len());
        assert!(rows.sum::<usize>() <= agents && part.seen.len() <= 1_000);
        assert!(packer.add(part, &writing(100)));
    }
    let parts = packer.parts();
    let entry = unpacked(parts.clone()).await.unwrap();
    assert!(entry.whole);
    let rows = |entry: &Entry, place: usize| entry.polls[place].1.rows.len();
    assert_eq!((rows(&entry, 0), rows(&entry, 1)), (agents, agents));
    assert_eq!((entry.seen.len(), entry.requests.len()), (agents, 1));
    // A part of it is no checkpoint.
    let mut spoilt = parts;
    spoilt[2].truncate(100);
    assert!(unpacked(spoilt).await.is_err());
    assert!(unpacked(Vec::new()).await.is_err());
}

#[test]
fn a_checkpoint_ends_where_others_would_stop_reading() {
    let mut packer = Packer {
        unpacked: MAX_CHECKPOINT - 10_000,
        ..Packer::default()
    };
    assert!(packer.add(&Entry::default(), &writing(100)));
    assert!(!packer.add(&whole(100), &writing(100)));
    assert_eq!(packer.parts().len(), 1);
}

#[test]
fn knowledge_that_is_too_long_costs_nothing_else() {
    let long = |length: usize| Entry {
        learnt: Some("x".repeat(length).into()),
        ..entry(100)
    };
    for (length, is_kept) in [(256 * 1024, true), (256 * 1024 + 1, false)] {
        let read = decode(&encode(&long(length), &writing(100)), &reading(100)).unwrap();
        assert_eq!(read.learnt.is_some(), is_kept);
        assert_eq!(read.polls.len(), 1);
    }
}

#[test]
fn foreign_data_is_an_error() {
    let data = encode(&entry(100), &writing(100));
    for wrong in [&b""[..], b"{}", &data[..data.len() / 2]] {
        assert!(decode(wrong, &reading(100)).is_err());
    }
    let pack = |json: &[u8]| {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(json).unwrap();
        packed.finish().unwrap()
    };
    for wrong in [
        r#"{"format":1}"#,
        r#"{"format":2,"at":1,"wall":1}"#,
        r#"{"format":1,"at":1,"wall":1,"held":[{"queue":"q","id":"i","call":"c","age":0,"ttl":18446744073709551615}]}"#,
        r#"{"format":1,"at":1,"wall":1,"polls":[{"queue":-1}]}"#,
    ] {
        let error = decode(&pack(wrong.as_bytes()), &reading(100)).unwrap_err();
        // What has another format may be right.
        let is_foreign = !wrong.contains("\"format\":2");
        assert_eq!(error.is_foreign(), is_foreign, "{wrong}");
    }
    // A few kilobytes that unpack to more than the maximum.
    let max = 100_000;
    let bomb = pack(&vec![b' '; max + 1]);
    assert!(bomb.len() < max / 50);
    assert!(matches!(unpack(&bomb, max as u64), Err(BadEntry::TooLong)));
    assert_eq!(unpack(&bomb, max as u64 + 1).unwrap().len(), max + 1);
    let huge = r#"{"format":1,"at":18446744073709551615,"wall":0,"polls":[{"queue":1,"age":18446744073709551615,"took":0,"complete":true,"rows":[]}],"shown":[{"queue":"q","fault":{"spent":18446744073709551615},"max_age":18446744073709551615,"members_max_age":0}]}"#;
    assert!(decode(&pack(huge.as_bytes()), &reading(100)).is_ok());
}
