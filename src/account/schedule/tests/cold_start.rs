//! Tests the first requests after a start: the ration, then the pace.

use super::*;

/// Starts with this many queues and a ration. No request is answered before the next is sent.
fn cold(queues: usize, ration: u32, options: ScheduleOptions) -> Play {
    let mut play = Play::new(vec![(SHARED, 1); queues], options);
    (play.schedule.ration, play.schedule.burst) = (ration, ration);
    play
}

#[test]
fn a_cold_start_is_followed_by_three_sweeps_and_a_queue_in_turn() {
    let mut play = Play::new([(SHARED, 1); 8], LIVELY);
    play.go(HOUR);
    let cold: Vec<_> = play.log.iter().take(8).map(|(_, job)| *job).collect();
    assert_eq!(cold, (0..8).map(Job::Poll).collect::<Vec<_>>());
    assert!(play.log[..8].iter().all(|(at, _)| *at == START), "at once");
    let sweeps = play.times(is_sweep);
    let polls = play.log.len() - 8 - sweeps.len();
    assert!(sweeps.len().abs_diff(polls * SWEEPS_IN_TURN as usize) <= 3);
    let between = PERIOD.as_secs_f64() * f64::from(TURN) / f64::from(SWEEPS_IN_TURN);
    assert!(
        gaps(&sweeps)
            .iter()
            .all(|gap| (gap / between - 1.0).abs() < 1e-6),
        "evenly: {:?}",
        gaps(&sweeps)
    );
}

#[test]
fn a_cold_start_polls_its_ration_at_once_and_the_others_at_the_pace() {
    for (queues, ration, options) in [(1_000, 38, LIVELY), (60, 38, LIVELY), (60, 38, POLLS)] {
        let mut play = cold(queues, ration, options);
        play.go(Duration::ZERO);
        assert_eq!(play.log.len() as u32, ration, "at once");
        play.log.clear();
        play.go(PERIOD * 20);
        assert!(play.log.len() <= 21, "then at the pace");
        let polls = play.times(|job| !is_sweep(job)).len();
        let share = if options.sweep { 9..=11 } else { 20..=21 };
        assert!(share.contains(&polls), "{polls} of 20 slots");
    }
}

#[test]
fn a_few_queues_are_all_polled_at_once() {
    for queues in [1, 5, 38] {
        let mut play = cold(queues, 38, LIVELY);
        play.go(Duration::ZERO);
        assert_eq!(play.log.len(), queues);
    }
}

#[test]
fn lists_of_many_pages_use_up_the_ration_sooner() {
    let mut play = Play::new(vec![(SHARED, 4); 60], LIVELY);
    play.schedule.ration = 38;
    play.go(Duration::ZERO);
    assert!((38..=41).contains(&play.spent()), "{}", play.spent());
}

#[test]
fn a_whole_sweep_comes_before_the_remaining_queues() {
    let mut play = cold(200, 38, LIVELY);
    play.sweep = 12;
    play.go(PERIOD * 13);
    let sweeps = play.log[38..50].iter().filter(|(_, job)| is_sweep(*job));
    assert_eq!(sweeps.count(), 12);
}

#[test]
fn queues_that_are_asked_about_are_known_first() {
    let mut play = cold(300, 38, LIVELY);
    play.go(PERIOD * 2);
    let mut demand = vec![0; 300];
    demand[250] = 20;
    demand[299] = 40;
    play.schedule.asked(&demand, play.now);
    play.log.clear();
    play.go(PERIOD * 6);
    let polls: Vec<_> = play.log.iter().filter(|(_, job)| !is_sweep(*job)).collect();
    assert_eq!((polls[0].1, polls[1].1), (Job::Poll(299), Job::Poll(250)));
}

#[test]
fn sweeps_get_their_slots_back_once_every_queue_is_known() {
    let mut play = cold(200, 38, LIVELY);
    play.go(PERIOD * (2 * 162 + 10));
    let mut polled: Vec<_> = play.log.iter().map(|(_, job)| *job).collect();
    polled.retain(|job| !is_sweep(*job));
    polled.sort_by_key(|job| match job {
        Job::Poll(queue) => *queue,
        _ => unreachable!("polls alone are left"),
    });
    polled.dedup();
    assert_eq!(polled.len(), 200);
    play.log.clear();
    play.go(PERIOD * 40);
    let sweeps = play.times(is_sweep).len();
    assert!((29..=31).contains(&sweeps), "{sweeps} of 40");
}

#[test]
fn queues_polled_before_a_restart_wait_for_their_turns() {
    let mut play = cold(60, 38, LIVELY);
    let round = PERIOD * 4 * 60;
    for queue in 0..60 {
        let ago = Duration::from_secs(10 * queue as u64);
        play.schedule
            .polled_before(queue, START - ago, round, START);
    }
    play.schedule.trusted_before(3);
    play.go(Duration::ZERO);
    assert_eq!(play.log.len(), 1, "a sweep in its slot: {:?}", play.log);
    assert!(play.schedule.is_swept());
    let polls = |play: &Play| play.times(|job| !is_sweep(job)).len();
    play.go(PERIOD * 8);
    assert_eq!(polls(&play), 2);
    // Queues polled longer ago than a round are polled at once.
    play.schedule
        .polled_before(7, play.now - round - PERIOD, round, play.now);
    play.go(Duration::ZERO);
    assert_eq!(play.log.last().unwrap().1, Job::Poll(7));
}

#[test]
fn a_new_list_of_queues_keeps_knowledge_and_polls_new_queues() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    play.go(HOUR);
    let before = play.schedule.clone();
    // The third queue is removed, the last one is new, and the order has changed.
    let places = [
        Some(7),
        Some(0),
        Some(1),
        Some(3),
        Some(4),
        Some(5),
        Some(6),
        None,
    ];
    play.schedule.rearrange(&[SHARED; 8], &places, LIVELY, 38);
    for (place, was) in places.iter().enumerate().take(7) {
        let (is, was) = (&play.schedule.queues[place], &before.queues[was.unwrap()]);
        assert_eq!(is.attempts.last_start, was.attempts.last_start);
    }
    play.log.clear();
    play.go(Duration::ZERO);
    assert_eq!(play.log.first().map(|(_, job)| *job), Some(Job::Poll(7)));
    let cost = play.log.len();
    assert!(cost <= 2, "one poll, and what was due: {:?}", play.log);
    assert!(play.schedule.is_swept());
}

#[test]
fn queues_that_all_change_at_once_are_polled_by_the_ration() {
    let changed: fn(&mut Schedule, usize) = |schedule, queue| schedule.id_changed(queue);
    let needs_poll: fn(&mut Schedule, usize) = |schedule, queue| schedule.poll_anew(queue);
    for change in [changed, needs_poll] {
        let mut play = cold(400, 38, LIVELY);
        play.go(PERIOD * 900);
        play.log.clear();
        (0..400).for_each(|queue| change(&mut play.schedule, queue));
        play.go(Duration::ZERO);
        let polls = play.times(|job| !is_sweep(job)).len();
        assert!((37..=38).contains(&polls), "{polls} at once");
        play.log.clear();
        play.go(PERIOD * 20);
        assert!(play.log.len() <= 21, "then at the pace");
    }
}

#[test]
fn a_poll_of_a_removed_queue_blocks_nothing() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    play.schedule.begun(Job::Poll(2), play.now);
    play.schedule.begun(Job::Poll(3), play.now);
    let places = [Some(0), Some(3)];
    play.schedule.rearrange(&[SHARED; 2], &places, LIVELY, 38);
    assert_eq!(play.schedule.in_flight, 1);
    assert!(play.schedule.is_under_way(Job::Poll(1)));
}
