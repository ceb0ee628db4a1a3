//! Tests random sequences of events: no job starts twice, and no hour takes more than it earns.

use super::*;

/// A random event of a schedule.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Start,
    EndWell(usize, u32),
    EndBadly(usize, usize),
    Ask(Vec<u64>),
    WillWait,
    Fresh(usize),
    Hurry(usize),
    Distrust,
    Trust,
    Refused(u64),
    Rest(usize, bool),
}

fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    prop_oneof![
        4 => (0u64..20_000).prop_map(Pass),
        1 => (0u64..4_000_000).prop_map(Pass),
        8 => Just(Start),
        6 => (any::<usize>(), 0u32..4).prop_map(|(which, pages)| EndWell(which, pages)),
        2 => (any::<usize>(), 0usize..6).prop_map(|(which, fault)| EndBadly(which, fault)),
        1 => prop::collection::vec(0u64..50, 6).prop_map(Ask),
        1 => Just(WillWait),
        1 => (0usize..7).prop_map(Fresh),
        1 => (0usize..6).prop_map(Hurry),
        1 => Just(Distrust),
        1 => Just(Trust),
        1 => (0u64..100).prop_map(Refused),
        2 => (0usize..6, any::<bool>()).prop_map(|(queue, rests)| Rest(queue, rests)),
    ]
}

fn faults() -> [Fault; 5] {
    [
        Fault::BadToken,
        Fault::NoPermission,
        Fault::Throttled { until: None },
        Fault::BudgetSpent {
            until: crate::clock::Moment {
                boot: PERIOD,
                wall: PERIOD,
            },
        },
        Fault::down(Down::TimeOut, "no answer"),
    ]
}

proptest! {
    #[test]
    fn no_events_start_a_job_twice_or_panic(
        events in prop::collection::vec(event(), 1..300),
        alone in prop::collection::vec(any::<bool>(), 6),
        by_name in any::<bool>(),
        sweep in any::<bool>(),
    ) {
        let need = |alone| Need { id: by_name, statuses: by_name, alone, undated: false };
        let mut schedule = Schedule::new(alone.into_iter().map(need), idle(0.3), RATION);
        schedule.options.sweep = sweep;
        let (mut now, mut under_way) = (START, Vec::new());
        for event in events {
            match event {
                Event::Pass(ms) => now += Duration::from_millis(ms),
                Event::Start => if let Next::Start { job, .. } = schedule.next(now) {
                    prop_assert!(!under_way.contains(&job), "{job:?} twice");
                    prop_assert!(!is_sweep(job) || !under_way.iter().any(|job| is_sweep(*job)));
                    schedule.started(job, now, PERIOD);
                    prop_assert!(schedule.is_under_way(job));
                    under_way.push(job);
                },
                Event::Fresh(queue) => {
                    let job = if queue < 6 { Job::Poll(queue) } else { Job::Sweep(1) };
                    if (queue < 6 || schedule.statuses_at_once(0, now).is_some()) && schedule.may_ask(job, now) {
                        prop_assert!(!under_way.contains(&job), "{job:?} twice");
                        schedule.begun(job, now);
                        under_way.push(job);
                    }
                }
                Event::EndWell(which, pages) if !under_way.is_empty() => {
                    let job = under_way.swap_remove(which % under_way.len());
                    match job {
                        Job::Queues => (0..6).for_each(|queue| schedule.id_known(queue)),
                        Job::Sweep(page) => schedule.swept(page, (pages > 0).then_some(page + 1)),
                        _ => {}
                    }
                    schedule.ended(job, Ending::Well { requests: pages }, now, 0.5);
                }
                Event::EndBadly(which, fault) if !under_way.is_empty() => {
                    let job = under_way.swap_remove(which % under_way.len());
                    let faults = faults();
                    let ending = faults.get(fault).map_or(Ending::Unpaid, Ending::Badly);
                    schedule.ended(job, ending, now, 0.5);
                }
                Event::EndWell(..) | Event::EndBadly(..) => {}
                Event::Ask(questions) => schedule.asked(&questions, now),
                Event::WillWait => schedule.asked_to_wait(now),
                Event::Hurry(queue) => schedule.hurry(queue),
                Event::Distrust => schedule.suspend(now, TRUST_AGAIN),
                Event::Trust => schedule.trust(),
                Event::Rest(queue, rests) => schedule.rest(queue, rests),
                Event::Refused(seconds) => schedule.refused(Duration::from_secs(seconds), now),
            }
            prop_assert_eq!(schedule.in_flight, under_way.len());
            prop_assert!(schedule.in_flight <= AT_ONCE);
        }
    }

    #[test]
    fn an_hour_never_takes_more_than_it_earns(
        pages in prop::collection::vec(1u32..4, 1..30),
        alone in prop::collection::vec(any::<bool>(), 30),
        demand in prop::collection::vec(0u64..1_000, 30),
        sweep in 1u32..6,
        will_wait in any::<bool>(),
    ) {
        let queues: Vec<_> = pages.iter().zip(alone).map(|(pages, alone)| (if alone { ALONE } else { SHARED }, *pages)).collect();
        let most: u32 = pages.iter().copied().max().unwrap_or(1) + 1;
        let mut play = Play::warm(queues, idle(0.5)).demand(&demand[..pages.len()]);
        play.sweep = sweep;
        play.log.clear();
        for _ in 0..60 {
            if will_wait {
                play.schedule.asked_to_wait(play.now);
            }
            play.go(Duration::from_secs(60));
        }
        let earned = (HOUR.as_secs() / PERIOD.as_secs()) as u32;
        prop_assert!(play.spent() <= earned + most, "{} of {earned}", play.spent());
    }
}
