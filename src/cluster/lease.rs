//! Decides who leads an account: a lease that each node times by its own clock alone.
//!
//! The engine keeps one text per account: the holder, a counter, and an epoch. The holder raises the counter from time to time. Any other node
//! may take the lease once it has seen the same text for a whole lease and half a second more. The holder acts for a lease minus one second,
//! from the moment at which it first *sent* its last renewal. The engine's clock and expiry play no part, because that clock may jump.
//!
//! The code is pure: its owner asks the engine, and reports each answer and its time. All times are boot times of this machine.

use std::{fmt, str::FromStr, time::Duration};

use super::command::{Command, Look, MAX_COUNT, count};

/// A holder stops this long before its lease ends, and another node takes it this long after. Together they cover the difference of two clocks in
/// a lease (a minute at 500 ppm is 30 ms), and the look at the clock before each request.
const STOPS_BEFORE: Duration = Duration::from_secs(1);
const TAKEN_AFTER: Duration = Duration::from_millis(500);

/// How much longer a node waits for a lease per account that it leads, so that accounts spread over the nodes. The first leader of an account may
/// come late. After that, another node must poll within two seconds after a lease: up to one second passes before it sees the last renewal, and
/// half a second is [`TAKEN_AFTER`]. If the lease was given away, calls wait for the next leader, each for a quarter of a second.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const DELAY: Duration = Duration::from_millis(2);
const MAX_DELAY: Duration = Duration::from_millis(100);

/// The maximum of accounts that count for the first delay: fifty seconds.
const MAX_LED: usize = 1_000;

/// The text of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The process that holds it; `None` if it was given away.
    pub holder: Option<String>,
    /// Counts its writes.
    pub counter: u64,
    /// Grows with each change of the holder.
    pub epoch: u64,
}

/// Stands for no holder. No holder has this id.
const NOBODY: &str = "-";

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = self.holder.as_deref().unwrap_or(NOBODY);
        write!(f, "{holder} {} {}", self.counter, self.epoch)
    }
}

/// The text is not a lease.
#[derive(Debug, thiserror::Error)]
#[error("not a lease")]
pub struct NoLease;

impl FromStr for Lease {
    type Err = NoLease;

    fn from_str(text: &str) -> Result<Self, NoLease> {
        let mut parts = text.split(' ');
        let mut part = || parts.next().ok_or(NoLease);
        let (holder, counter, epoch) = (part()?, part()?, part()?);
        Ok(Self {
            holder: (holder != NOBODY).then(|| holder.to_owned()),
            counter: count(counter).ok_or(NoLease)?,
            epoch: count(epoch).ok_or(NoLease)?,
        })
    }
}

/// Returns the next counter. Another user may have written the last one, and with each change of the holder it may be any.
fn after(counter: u64) -> u64 {
    counter % MAX_COUNT + 1
}

/// The last text, and since when it has not changed.
#[derive(Clone, Debug)]
struct Seen {
    generation: String,
    text: String,
    since: Duration,
}

/// One node's view of an account's lease.
#[derive(Debug)]
pub struct Candidate {
    me: String,
    length: Duration,
    seen: Option<Seen>,
    /// The highest epoch ever seen.
    epoch: u64,
    held: Option<Lease>,
    /// The lease that it last tried to take.
    tried: Option<Lease>,
    /// The last renewal, and when it was first sent.
    renewal: Option<(Lease, Duration)>,
    /// Until when this node acts as the holder.
    acts_until: Duration,
}

impl Candidate {
    /// Creates a node that knows nothing yet. `me` identifies this process, not the machine.
    pub fn new(me: impl Into<String>, length: Duration) -> Self {
        Self {
            me: me.into(),
            length,
            seen: None,
            epoch: 0,
            held: None,
            tried: None,
            renewal: None,
            acts_until: Duration::ZERO,
        }
    }

    /// Returns the lease that this process holds.
    pub fn held(&self) -> Option<&Lease> {
        self.held.as_ref()
    }

    /// Returns the holder that was last seen.
    pub fn holder(&self) -> Option<String> {
        let lease: Lease = self.seen.as_ref()?.text.parse().ok()?;
        lease.holder
    }

    /// Returns until when this node may act as the holder; in the past if it does not hold the lease.
    pub fn acts_until(&self) -> Duration {
        self.acts_until
    }

    /// Returns the data set that was last seen.
    pub fn generation(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| &*seen.generation)
    }

    /// Records an epoch that was seen elsewhere.
    pub fn heard_of(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Returns whether no epoch comes after those that were seen. No leader gets that far, so one of them is not openseat's.
    pub fn is_at_the_end(&self) -> bool {
        self.epoch >= MAX_COUNT
    }

    /// Records the data set of an answer. After the last epoch, epochs begin again in the next one.
    fn in_data_set(&mut self, generation: &str) {
        let is_other = self.generation().is_some_and(|seen| seen != generation);
        if is_other && self.is_at_the_end() {
            self.epoch = 0;
        }
    }

    /// Records the lease from an answer that came at `now`.
    pub fn looked(&mut self, look: &Look, now: Duration) {
        self.in_data_set(&look.generation);
        self.heard_of(look.last.epoch);
        self.saw(&look.generation, &look.lease, now);
    }

    /// Records the lease's text in this data set, from an answer that came at `now`.
    pub fn saw(&mut self, generation: &str, text: &str, now: Duration) {
        self.in_data_set(generation);
        let lease: Option<Lease> = text.parse().ok();
        if let Some(lease) = &lease {
            self.heard_of(lease.epoch);
        }
        let is_same = |seen: &Seen| seen.generation == generation && seen.text == text;
        if !self.seen.as_ref().is_some_and(is_same) {
            self.seen = Some(Seen {
                generation: generation.to_owned(),
                text: text.to_owned(),
                since: now,
            });
        }
        let mine = lease.filter(|lease| lease.holder.as_deref() == Some(&*self.me));
        let Some(mine) = mine else {
            return self.lost();
        };
        let is_newest = mine.epoch >= self.epoch;
        if self.held.is_none() && is_newest {
            // It may have been taken, although the answer was lost. This node acts once it has renewed the lease.
            self.held = self.tried.take_if(|tried| *tried == mine);
        }
    }

    /// Returns how long until the lease may be taken; `None` while nothing is known, or while this node holds it.
    ///
    /// A node that leads many accounts (`led`) waits a moment longer than others. A lease that was given away may be taken without a rest.
    pub fn may_take_in(&self, now: Duration, led: usize) -> Option<Duration> {
        let seen = self.seen.as_ref().filter(|_| self.held.is_none())?;
        let lease: Option<Lease> = seen.text.parse().ok();
        let led = led.min(MAX_LED) as u32;
        let delay = match lease {
            Some(_) => (DELAY * led).min(MAX_DELAY),
            None => FIRST_DELAY * led,
        };
        // A lease of an earlier epoch is from an old data set that came back, and does not show who leads now.
        let is_free =
            lease.is_some_and(|lease| lease.holder.is_none() && lease.epoch >= self.epoch);
        let rest = match is_free {
            true => Duration::ZERO,
            false => self.length + TAKEN_AFTER,
        };
        Some((seen.since + rest + delay).saturating_sub(now))
    }

    /// Returns the command that takes the lease as it was seen, unless its epoch would be [after the last](Self::is_at_the_end).
    pub fn take(&mut self) -> Option<(Command, Lease)> {
        let seen = self.seen.as_ref().filter(|_| !self.is_at_the_end())?;
        let counter = seen.text.parse().map_or(0, |lease: Lease| lease.counter);
        let lease = Lease {
            holder: Some(self.me.clone()),
            counter: after(counter),
            epoch: self.epoch + 1,
        };
        let command = Command::Take {
            generation: seen.generation.clone(),
            seen: seen.text.clone(),
            lease: lease.to_string(),
        };
        self.tried = Some(lease.clone());
        Some((command, lease))
    }

    /// Records that the lease was taken, by a command sent at `sent`.
    pub fn taken(&mut self, lease: Lease, sent: Duration) {
        (self.epoch, self.tried) = (lease.epoch, None);
        self.written(lease, sent);
    }

    /// Returns the command that renews the lease, and when it was first sent: it is the same one until it is confirmed. It may have been applied at
    /// once although its answer was lost, and then the other nodes count from then. Its outcome goes to [`renewed`](Self::renewed), or to
    /// [`lost`](Self::lost) if it was refused.
    pub fn renew(&mut self, now: Duration) -> Option<(Command, Duration)> {
        let (held, seen) = (self.held.as_ref()?, self.seen.as_ref()?);
        let lease = Lease {
            counter: after(held.counter),
            ..held.clone()
        };
        let command = self.write(seen, &lease);
        let sent_before = self.renewal.as_ref().filter(|(last, _)| *last == lease);
        let sent = sent_before.map_or(now, |(_, sent)| *sent);
        self.renewal = Some((lease, sent));
        Some((command, sent))
    }

    /// Records that the lease was renewed by the last [`renew`](Self::renew).
    pub fn renewed(&mut self) {
        if let Some((lease, sent)) = self.renewal.clone() {
            self.written(lease, sent);
        }
    }

    /// Records that the lease is lost: a renewal was refused, or another holder was seen. Nothing is sent from now on.
    pub fn lost(&mut self) {
        self.held = None;
        self.acts_until = Duration::ZERO;
    }

    /// Returns the command that gives the lease away. From now on this node does not act as its holder.
    pub fn give_away(&mut self) -> Option<Command> {
        self.tried = None;
        let held = self.held.take();
        self.acts_until = Duration::ZERO;
        let lease = Lease {
            holder: None,
            counter: after(held.as_ref()?.counter),
            epoch: held?.epoch,
        };
        Some(self.write(self.seen.as_ref()?, &lease))
    }

    fn write(&self, seen: &Seen, lease: &Lease) -> Command {
        Command::Renew {
            generation: seen.generation.clone(),
            holder: self.me.clone(),
            lease: lease.to_string(),
        }
    }

    fn written(&mut self, lease: Lease, sent: Duration) {
        if let Some(seen) = &mut self.seen {
            (seen.text, seen.since) = (lease.to_string(), sent);
        }
        self.held = Some(lease);
        self.acts_until = sent + self.length.saturating_sub(STOPS_BEFORE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);
    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(1000.0 + seconds)
    }

    fn look(lease: &str) -> Look {
        Look {
            generation: "g".to_owned(),
            lease: lease.to_owned(),
            ..Look::default()
        }
    }

    /// Sends a renewal. Returns its text, and when it was first sent.
    fn renew(node: &mut Candidate, now: Duration) -> (String, Duration) {
        let Some((Command::Renew { lease, .. }, sent)) = node.renew(now) else {
            panic!()
        };
        (lease, sent)
    }

    #[test]
    fn a_lease_is_taken_only_after_resting_for_its_length_by_the_takers_clock() {
        let mut node = Candidate::new("b", LEASE);
        assert_eq!(node.may_take_in(at(0.0), 0), None);
        node.looked(&look("a 1 4"), at(0.0));
        node.looked(&look("a 1 4"), at(9.0));
        assert_eq!(
            node.may_take_in(at(9.0), 0),
            Some(Duration::from_millis(1500))
        );
        node.looked(&look("a 2 4"), at(10.0));
        assert_eq!(
            node.may_take_in(at(10.0), 0),
            Some(Duration::from_millis(10_500))
        );
        assert_eq!(node.may_take_in(at(20.5), 0), AT_ONCE);
        let (command, lease) = node.take().unwrap();
        let Command::Take {
            seen, lease: text, ..
        } = command
        else {
            panic!()
        };
        assert_eq!((&*seen, &*text), ("a 2 4", "b 3 5"));
        node.taken(lease, at(20.5));
        assert_eq!(node.acts_until(), at(29.5));
    }

    #[test]
    fn a_lease_whose_taking_got_no_answer_is_held_but_not_used_before_it_was_renewed() {
        let mut node = Candidate::new("b", LEASE);
        node.looked(&look("a 1 4"), at(0.0));
        assert!(node.take().is_some());
        node.looked(&look("b 2 5"), at(11.0));
        assert_eq!(node.acts_until(), Duration::ZERO);
        assert_eq!(node.may_take_in(at(11.0), 0), None, "it is held");
        let (text, sent) = renew(&mut node, at(11.0));
        assert_eq!((&*text, sent), ("b 3 5", at(11.0)));
        node.renewed();
        assert_eq!(node.acts_until(), at(20.0));
        // A replica that lags may show it once more after it is lost.
        node.lost();
        node.looked(&look("b 2 5"), at(21.0));
        assert!(node.held().is_none());

        // But not one of an earlier data set, after which another node led.
        let mut node = Candidate::new("b", LEASE);
        node.looked(&look("a 1 4"), at(0.0));
        assert!(node.take().is_some());
        node.heard_of(6);
        node.looked(&look("b 2 5"), at(11.0));
        assert!(node.held().is_none());
    }

    #[test]
    fn an_absent_lease_rests_too_but_one_that_was_given_away_does_not() {
        let mut node = Candidate::new("b", LEASE);
        node.looked(&look(""), at(0.0));
        assert_eq!(
            node.may_take_in(at(0.0), 0),
            Some(Duration::from_millis(10_500))
        );
        node.looked(&look("- 7 4"), at(1.0));
        assert_eq!(node.may_take_in(at(1.0), 0), AT_ONCE);
        node.heard_of(5);
        assert_eq!(
            node.may_take_in(at(1.0), 0),
            Some(Duration::from_millis(10_500))
        );
        // The same text in another data set may be an old data set that came back.
        let forgot = Look {
            generation: "h".to_owned(),
            ..look("a 7 4")
        };
        node.looked(&forgot, at(2.0));
        assert_eq!(
            node.may_take_in(at(2.0), 0),
            Some(Duration::from_millis(10_500))
        );
    }

    #[test]
    fn a_holder_counts_from_sending_and_stops_when_another_is_seen() {
        let mut node = Candidate::new("b", LEASE);
        node.looked(&look("- 7 4"), at(0.0));
        let (_, lease) = node.take().unwrap();
        node.taken(lease, at(0.0));
        assert_eq!(renew(&mut node, at(3.0)), ("b 9 5".to_owned(), at(3.0)));
        node.renewed();
        assert_eq!(node.acts_until(), at(12.0));
        node.looked(&look("c 10 6"), at(4.0));
        assert!(node.held().is_none());
        assert_eq!(node.acts_until(), Duration::ZERO);
    }

    #[test]
    fn a_renewal_whose_answer_was_lost_lasts_from_when_it_was_first_sent() {
        let mut node = Candidate::new("b", LEASE);
        node.looked(&look("- 7 4"), at(0.0));
        let (_, lease) = node.take().unwrap();
        node.taken(lease, at(0.0));
        let (text, _) = renew(&mut node, at(3.0));
        // It was applied, and another node sees it. Then nobody reaches the engine for a while.
        let mut other = Candidate::new("c", LEASE);
        other.looked(&look(&text), at(3.0));
        node.looked(&look(&text), at(6.0));
        assert_eq!(renew(&mut node, at(6.0)), (text, at(3.0)));
        node.renewed();
        assert_eq!(node.acts_until(), at(12.0));
        assert_eq!(other.may_take_in(at(13.5), 0), AT_ONCE);
        // The next one has another text.
        assert_eq!(renew(&mut node, at(6.1)), ("b 10 5".to_owned(), at(6.1)));
        node.renewed();
        assert_eq!(node.acts_until(), at(15.1));
    }

    #[test]
    fn a_process_is_not_mistaken_for_another_on_the_same_machine() {
        let mut node = Candidate::new("b2", LEASE);
        node.looked(&look("b 1 4"), at(0.0));
        assert!(node.renew(at(0.0)).is_none());
        assert_eq!(
            node.may_take_in(at(1.0), 0),
            Some(Duration::from_millis(9_500))
        );
    }

    #[test]
    fn a_node_that_leads_many_accounts_waits_longer_but_never_keeps_calls_waiting() {
        let wait = |text: &str, led: usize| {
            let mut node = Candidate::new("b", LEASE);
            node.looked(&look(text), at(0.0));
            node.may_take_in(at(0.0), led).unwrap()
        };
        let rest = Duration::from_millis(10_500);
        let ms = Duration::from_millis;
        for (text, rest, most) in [("a 1 4", rest, ms(100)), ("- 7 4", ms(0), ms(100))] {
            assert_eq!(wait(text, 10), rest + ms(20));
            assert_eq!(wait(text, 100_000), rest + most);
        }
        // Before any node led, accounts spread evenly even if one node starts earlier.
        assert_eq!(wait("", 200), rest + ms(10_000));
    }

    #[test]
    fn a_text_that_is_no_lease_rests_like_one() {
        let mut node = Candidate::new("b", LEASE);
        node.heard_of(41);
        node.looked(&look("spoilt"), at(0.0));
        assert_eq!(
            node.may_take_in(at(0.0), 0),
            Some(Duration::from_millis(10_500))
        );
        let (_, lease) = node.take().unwrap();
        assert_eq!(lease.to_string(), "b 1 42");
        // Nothing comes after the last number.
        for text in [format!("a 1 {}", u64::MAX), format!("a {} 1", u64::MAX)] {
            node.looked(&look(&text), at(1.0));
            let (_, lease) = node.take().unwrap();
            assert_eq!(lease.to_string(), "b 1 42", "{text}");
        }
        node.looked(&look(&format!("a {MAX_COUNT} 1")), at(1.0));
        let (_, lease) = node.take().unwrap();
        assert_eq!(lease.to_string(), "b 1 42");
    }

    #[test]
    fn after_the_last_epoch_the_next_data_set_begins_with_the_first() {
        let mut node = Candidate::new("b", LEASE);
        node.looked(&look(&format!("a 1 {}", MAX_COUNT - 1)), at(0.0));
        let (_, lease) = node.take().unwrap();
        assert!(lease.to_string().parse::<Lease>().is_ok());
        node.taken(lease, at(0.0));
        assert!(node.is_at_the_end() && node.take().is_none());
        let next = Look {
            generation: "h".to_owned(),
            ..look("")
        };
        node.looked(&next, at(1.0));
        let (_, lease) = node.take().unwrap();
        assert_eq!(lease.to_string(), "b 1 1");
    }
}
