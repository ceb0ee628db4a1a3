use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn all_agents(world: &World) -> Vec<AgentTruth> {
    let ids = world.agents();
    ids.iter()
        .map(|id| world.agent(id).expect("listed agents exist"))
        .collect()
}

/// What must hold for every agent at every moment.
fn check(world: &World) {
    for person in &world.people {
        let status = person.status;
        let fits = match person.activity {
            Activity::Off => world.statuses[status].queue_action == QueueAction::Logout,
            Activity::Idle | Activity::Forgot => world.is_available(person),
            Activity::Talking => status == behaviour::ON_A_CALL,
            Activity::WrapUp => status == behaviour::POST_CALL,
            Activity::Away => !world.is_available(person),
        };
        assert!(fits, "{:?} in status {status}", person.activity);
        assert_eq!(person.call.is_some(), person.activity == Activity::Talking);
        assert_eq!(
            person.logged_in_since.is_none(),
            person.activity == Activity::Off
        );
        assert!(person.status_since <= world.now);
        let at_home = person.activity == Activity::Off;
        assert!(!at_home || person.memberships.iter().all(|m| !m.logged_in));
        for membership in &person.memberships {
            let queue = world.queues.iter().find(|q| q.id == membership.queue);
            let members = &queue.expect("memberships are of queues that exist").members;
            assert!(members.contains(&(person.number as usize - 31_001)));
        }
    }
}

#[test]
fn equal_settings_give_equal_days_in_any_steps() {
    let day = hours(24);
    let mut leaps = World::new(WorldSettings::lively());
    let mut steps = World::new(WorldSettings::lively());
    leaps.advance_to(day);
    let mut dice = fastrand::Rng::with_seed(7);
    let mut now = Duration::ZERO;
    while now < day {
        now = (now + Duration::from_millis(dice.u64(0..600_000))).min(day);
        steps.advance_to(now);
    }
    assert_eq!(all_agents(&leaps), all_agents(&steps));
    let other = World::new(WorldSettings {
        seed: 2,
        ..WorldSettings::lively()
    });
    assert_ne!(all_agents(&leaps), all_agents(&other));
}

#[test]
fn one_more_call_changes_no_other_agents_day() {
    let mut left_alone = World::new(WorldSettings::study());
    let mut offered = left_alone.clone();
    let queue = offered.queues()[0].id;
    let taken = offered.offer_call(queue).expect("the first queue is large");
    left_alone.advance_to(hours(3));
    offered.advance_to(hours(3));
    let others = |world: &World| {
        let mut agents = all_agents(world);
        agents.retain(|agent| agent.id != taken);
        agents
    };
    assert_eq!(others(&left_alone), others(&offered));
}

#[test]
fn nobody_is_ever_in_two_states() {
    let mut world = World::new(WorldSettings::lively());
    for minute in 0..24 * 60 {
        world.advance_to(minutes(minute));
        check(&world);
    }
}

#[test]
fn the_shares_of_statuses_match_their_lengths() {
    let mut world = World::new(WorldSettings::study());
    let mut seen: HashMap<String, usize> = HashMap::new();
    let (mut flags, mut flags_up) = (0, 0);
    for quarter in 0..4 * 24 {
        world.advance_to(minutes(15 * quarter));
        for agent in all_agents(&world) {
            *seen.entry(agent.status).or_default() += 1;
            flags += agent.queues.len();
            flags_up += agent.queues.iter().filter(|(_, up)| *up).count();
        }
    }
    let total: usize = seen.values().sum();
    let share = |status: &str| seen.get(status).map_or(0.0, |&n| n as f64 / total as f64);
    // Of 90 s idle, 288 s of calls, 43 s of wrap-up and 48 s of breaks.
    for (status, expected) in [
        ("Available", 0.192),
        ("On a Call", 0.614),
        ("Post Call", 0.092),
        ("Not Available", 0.102),
        ("Lunch", 0.0),
    ] {
        let share = share(status);
        assert!((share - expected).abs() < 0.02, "{status}: {share}");
    }
    let up = flags_up as f64 / flags as f64;
    assert!((up - 0.857).abs() < 0.02, "logged in: {up}");
}

#[test]
fn a_world_begins_in_its_steady_state() {
    let available = |world: &World| all_agents(world).iter().filter(|a| a.available).count() as f64;
    let (mut begin, mut later) = (0.0, 0.0);
    for seed in 0..20 {
        let mut world = World::new(WorldSettings {
            seed,
            ..WorldSettings::study()
        });
        begin += available(&world) / 20.0;
        world.advance_to(hours(2));
        later += available(&world) / 20.0;
    }
    assert!(
        (begin - later).abs() < 5.0,
        "{begin} at first, then {later}"
    );
}

#[test]
fn people_come_and_go_and_some_forget_to_log_off() {
    let mut world = World::new(WorldSettings::lively());
    let online = |world: &World| {
        let people = world.people.iter();
        people.filter(|p| p.activity != Activity::Off).count()
    };
    let mut curve = Vec::new();
    let mut forgotten = 0;
    for hour in 0..48 {
        world.advance_to(hours(hour));
        curve.push(online(&world));
        forgotten += all_agents(&world)
            .iter()
            .filter(|agent| agent.forgot_to_log_off && agent.available)
            .count();
    }
    // Begins at ten in the morning: noon is hour 2, four at night is hour 18.
    assert!(curve[2] > 80, "{curve:?}");
    assert!((1..30).contains(&curve[18]), "{curve:?}");
    assert!(curve[26] > 80, "the next noon: {curve:?}");
    assert!(forgotten > 0);
}

#[test]
fn queues_are_skewed_and_none_is_empty() {
    let world = World::new(WorldSettings::study());
    let members: Vec<usize> = world.queues.iter().map(|q| q.members.len()).collect();
    assert_eq!(members.len(), 50);
    assert!(members[0] > 5 * members[49], "{members:?}");
    assert!(members.iter().all(|&n| n > 0), "{members:?}");
    for agent in all_agents(&world) {
        assert!((1..=4).contains(&agent.queues.len()));
    }
    let mut ids = world.agents();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[test]
fn nothing_happens_between_two_events() {
    let mut world = World::new(WorldSettings::lively());
    for _ in 0..200 {
        let next = world.next_event().expect("the world continues");
        let before = all_agents(&world);
        world.advance_to(next.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(before, all_agents(&world));
        world.advance_to(next);
    }
}

#[test]
fn seats_are_available_and_logged_in() {
    let mut world = World::new(WorldSettings::still(2, 0));
    let [sales, support] = [world.queues()[0].id, world.queues()[1].id];
    let ada = world.add_agent("Ada", &[sales, support]);
    let bob = world.add_agent("Bob", &[sales]);
    assert_eq!((world.seats(sales), world.seats(support)), (2, 1));
    assert!(world.set_logged_in(sales, &ada, false));
    assert_eq!((world.seats(sales), world.seats(support)), (1, 1));
    let lunch = world.status_named("Lunch").expect("a custom status");
    assert!(world.set_status(&bob, lunch));
    assert_eq!((world.seats(sales), world.seats(support)), (0, 1));
    world.advance_to(Duration::from_secs(20));
    let statuses: Vec<_> = world.statuses_in(sales).collect();
    assert_eq!(
        statuses,
        [("Lunch", Duration::from_secs(20))],
        "Ada is not logged in"
    );
    assert_eq!(world.offer_call(support), Some(ada.clone()));
    assert_eq!(world.offer_call(support), None);
    assert_eq!(world.agent(&ada).expect("exists").status, "On a Call");
    let ready = world.add_status("Ready to Talk", QueueAction::SetReady);
    assert!(world.set_everyone(ready));
    assert_eq!((world.seats(sales), world.seats(support)), (1, 1));
    assert!(world.leave_queue(sales, &bob) && world.remove_agent(&ada));
    assert_eq!((world.seats(sales), world.seats(support)), (0, 0));
    assert_eq!(world.agents(), std::slice::from_ref(&bob));
    assert!(world.remove_queue(sales) && !world.remove_queue(sales));
    assert!(!world.set_status(&ada, ready) && !world.set_status(&bob, 1));
    check_ids(&world);
}

fn check_ids(world: &World) {
    for id in world.agents() {
        let id = id.to_string();
        assert_eq!(id.len(), 36, "{id}");
        assert_eq!(&id[14..15], "4", "{id}");
    }
}

#[test]
fn a_frozen_world_does_not_change_until_it_thaws() {
    let mut world = World::new(WorldSettings::lively());
    world.freeze();
    let before = all_agents(&world);
    world.advance_to(hours(2));
    assert_eq!(before, all_agents(&world));
    assert_eq!(world.next_event(), None);
    world.thaw();
    world.advance_to(hours(2) + minutes(10));
    assert_ne!(before, all_agents(&world));
    check(&world);
}

#[test]
fn a_world_with_fixed_seats_always_has_them_in_every_queue() {
    for seats in [0, 3] {
        let mut world = World::new(WorldSettings::still(5, 40));
        world.set_seats(seats);
        for hour in 0..3 {
            world.advance_to(hours(hour));
            let queues: Vec<u64> = world.queues().iter().map(|queue| queue.id).collect();
            assert!(queues.iter().all(|queue| world.seats(*queue) == seats));
            assert!(
                queues
                    .iter()
                    .all(|queue| world.agents_of(*queue).len() > seats)
            );
        }
        check(&world);
    }
}

#[test]
fn an_agent_put_on_a_call_comes_back() {
    let mut world = World::new(WorldSettings::study());
    let on_a_call = world.status_named("On a Call").expect("a first status");
    world.set_everyone(on_a_call);
    assert!(
        world
            .queues()
            .iter()
            .all(|queue| world.seats(queue.id) == 0)
    );
    world.advance_to(minutes(30));
    check(&world);
    assert!(all_agents(&world).iter().filter(|a| a.available).count() > 20);
}

#[test]
fn simulating_a_day_is_quick() {
    // An hour of 200 agents takes a few milliseconds; this is a whole day, with an allowance for a slow machine and a debug build.
    let mut world = World::new(WorldSettings::study());
    let started = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    world.advance_to(hours(24));
    let ended = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    assert!(ended.tv_sec - started.tv_sec < 10);
    assert!(world.sequence > 100_000, "{} events", world.sequence);
    assert_eq!(world.now(), secs(86_400));
}
