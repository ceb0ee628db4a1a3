//! Remembers which faults of an account were logged, so that each is logged once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::PresentFault;
use crate::{
    clock::Moment,
    decision::board::QueueKey,
    model::fault::{Fault, FaultKind},
};

/// A fault that returns within this time after its end is the same fault.
const SAME_FAULT: Duration = Duration::from_secs(3600);

/// A fault that has returned ends once it has been gone for this long. So a fault that comes every few minutes is one line.
const STAYS_AWAY: Duration = Duration::from_secs(600);

/// The first wait between two lines about queues. It doubles with each line, up to [`SAME_FAULT`], and starts again after that time without a
/// line. So the first failing queue is named at once, and a hundred that follow share a handful of lines.
const FIRST_GAP: Duration = Duration::from_secs(60);

/// How many queues a line names; the others are counted.
const NAMED: usize = 10;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct LoggedFaults {
    account: Arc<str>,
    /// The account's faults, in the order of [`FaultKind::ALL`].
    of_account: [Logged; FaultKind::ALL.len()],
    /// Each queue's own fault.
    of_queues: Vec<Option<FaultKind>>,
    /// When the last line about queues was written, and how long the next one waits.
    last: Option<Moment>,
    gap: Duration,
}

/// What was logged about one kind of fault.
#[derive(Clone, Copy, Debug, Default)]
struct Logged {
    /// When the logged fault began.
    began: Option<Moment>,
    /// When it ended, if that was not logged yet.
    over: Option<Moment>,
    /// The last end that was logged.
    ended: Option<Moment>,
}

impl LoggedFaults {
    pub fn new(account: Arc<str>, queues: usize) -> Self {
        Self {
            account,
            of_account: Default::default(),
            of_queues: vec![None; queues],
            last: None,
            gap: FIRST_GAP,
        }
    }

    pub fn rearrange(&mut self, account: Arc<str>, places: &[Option<usize>]) {
        let kind = |was: &Option<usize>| was.and_then(|was| self.of_queues[was]);
        self.of_queues = places.iter().map(kind).collect();
        self.account = account;
    }

    /// Logs a change of the account's fault.
    pub fn account(&mut self, present: Option<&PresentFault>, now: Moment) {
        for (&kind, logged) in FaultKind::ALL.iter().zip(&mut self.of_account) {
            match present.filter(|present| present.kind() == kind) {
                Some(present) => logged.persists(present, &self.account),
                None => logged.ended(kind, &self.account, now),
            }
        }
    }

    /// Logs changes of the queues' own faults.
    pub fn queues<'a>(
        &mut self,
        faults: impl Iterator<Item = Option<&'a Arc<Fault>>>,
        keys: impl Fn(usize) -> QueueKey,
        now: Moment,
    ) {
        let waited = self.last.map(|last| now.longest_since(last));
        if waited.is_some_and(|waited| waited < self.gap) {
            return;
        }
        let (mut failing, mut answered) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for (place, (fault, logged)) in faults.zip(&mut self.of_queues).enumerate() {
            let kind = fault.map(|fault| fault.kind());
            if kind == *logged {
                continue;
            }
            *logged = kind;
            match fault.zip(kind) {
                Some((fault, kind)) => failing.entry(kind).or_default().push((place, fault)),
                None => answered.push(place),
            }
        }
        if failing.is_empty() && answered.is_empty() {
            return;
        }
        let starts_again = waited.is_none_or(|waited| waited >= SAME_FAULT);
        self.gap = if starts_again {
            FIRST_GAP
        } else {
            (self.gap * 2).min(SAME_FAULT)
        };
        self.last = Some(now);
        for (kind, queues) in failing {
            let (first, fault) = queues[0];
            let others = queues.len() - 1;
            let names = named(queues.iter().map(|(place, _)| *place), &keys);
            let (fault_name, advice) = (kind.as_str(), fault.full_advice());
            match others {
                0 => {
                    tracing::warn!(queue = %keys(first), fault = fault_name, cause = cause(fault), advice, "{fault}")
                }
                _ => {
                    tracing::warn!(
                        account = &*self.account,
                        queues = names,
                        fault = fault_name,
                        cause = cause(fault),
                        advice,
                        "{fault}; {others} more queues have the same fault"
                    )
                }
            }
        }
        match *answered {
            [] => {}
            [one] => tracing::info!(queue = %keys(one), "polls succeed again"),
            _ => {
                let queues = named(answered.into_iter(), &keys);
                tracing::info!(account = &*self.account, queues, "polls succeed again");
            }
        }
    }
}

impl Logged {
    fn persists(&mut self, present: &PresentFault, account: &str) {
        self.over = None;
        if self.began.is_some() {
            return;
        }
        self.began = Some(present.since);
        let fault = &present.fault;
        tracing::warn!(
            account,
            fault = present.kind().as_str(),
            cause = cause(fault),
            advice = fault.advice(),
            "{fault}"
        );
    }

    fn ended(&mut self, kind: FaultKind, account: &str, now: Moment) {
        let Some(began) = self.began else { return };
        let over = *self.over.get_or_insert(now);
        let came_back = self
            .ended
            .is_some_and(|ended| began.longest_since(ended) < SAME_FAULT);
        if came_back && now.longest_since(over) < STAYS_AWAY {
            return;
        }
        let lasted = Duration::from_secs(over.longest_since(began).as_secs());
        let lasted = humantime::format_duration(lasted).to_string();
        tracing::info!(account, fault = kind.as_str(), lasted, "the fault is over");
        *self = Self {
            began: None,
            over: None,
            ended: Some(over),
        };
    }
}

/// What exactly is wrong, where the kind of the fault does not say it: the lines about its end have only the kind.
fn cause(fault: &Fault) -> Option<&'static str> {
    Some(fault.as_str()).filter(|cause| *cause != fault.kind().as_str())
}

fn named(places: impl ExactSizeIterator<Item = usize>, keys: impl Fn(usize) -> QueueKey) -> String {
    let more = places.len().saturating_sub(NAMED);
    let names: Vec<_> = places
        .take(NAMED)
        .map(|place| keys(place).queue.to_string())
        .collect();
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
