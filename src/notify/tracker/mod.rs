//! Decides what to tell one recipient: once that a condition has lasted, and once that it has ended.
//!
//! It is pure: sights and moments go in, news comes out. A fault that comes and goes is one condition, which ends when it has been away for a
//! while. A condition that ends before it was reported is not reported at all. The time in which a queue is closed does
//! not count: a condition that was not reported before begins anew.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use super::sight::{Absence, Evidence, Sight, Subject};
use crate::clock::Moment;

/// How long a condition must be away to be over: one good poll between two bad ones is no recovery. If `after` is shorter, that is long enough.
const AWAY: Duration = Duration::from_secs(60);

/// A condition that holds, or has been away for only a moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lasting {
    /// When it began; once the recipient was told, what the message said.
    pub since: Moment,
    /// When it was last seen.
    pub seen: Moment,
    /// When the recipient was told.
    pub told: Option<Moment>,
    /// Whether somebody has asked since it began; true for conditions where that does not matter.
    pub asked: bool,
    /// The number of questions when this process first saw it.
    asked_before: Option<u64>,
    /// Since when it has not been seen.
    away_since: Option<Moment>,
    /// How it looked last, for the message.
    evidence: Option<Evidence>,
}

impl Lasting {
    /// As an earlier run stored it.
    pub fn restored(since: Moment, seen: Moment, told: Option<Moment>, asked: bool) -> Self {
        Self {
            since,
            seen,
            told,
            asked,
            asked_before: None,
            away_since: None,
            evidence: None,
        }
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct News {
    pub subject: Subject,
    pub since: Moment,
    /// When its beginning was told.
    pub told: Moment,
    /// When it ended; `None` while it lasts.
    pub until: Option<Moment>,
    /// What was seen; `None` if it has ended and only an earlier run has seen it.
    pub evidence: Option<Evidence>,
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tracker {
    pub lasting: BTreeMap<Subject, Lasting>,
}

impl Tracker {
    /// Evaluates a sight. `after` says how long a condition must last to be reported; `None` if the recipient does not want it.
    pub fn look(
        &mut self,
        sight: &Sight,
        after: impl Fn(&Subject) -> Option<Duration>,
        now: Moment,
    ) -> Vec<News> {
        let mut news = Vec::new();
        for (subject, evidence) in &sight.lasting {
            if let Some(after) = after(subject) {
                news.extend(self.seen(subject, evidence, after, now));
            }
        }
        self.begin_together(&mut news);
        self.lasting.retain(|subject, lasting| {
            if sight.lasting.contains_key(subject) && after(subject).is_some() {
                return true;
            }
            let Some(after) = after(subject) else {
                return false;
            };
            match sight.absence(subject, lasting.seen) {
                Absence::Gone => return false,
                // Nobody knows whether it lasts while the queue is closed. If it is there when the queue opens, it begins then.
                Absence::Closed if lasting.told.is_none() => return false,
                Absence::Closed | Absence::Unknown => {
                    lasting.away_since = None;
                    return true;
                }
                Absence::Over => {}
            }
            let away_since = *lasting.away_since.get_or_insert(now);
            if now.boot_since(away_since) < AWAY.min(after) {
                return true;
            }
            news.extend(lasting.told.map(|told| News {
                subject: subject.clone(),
                since: lasting.since,
                told,
                until: Some(away_since),
                evidence: lasting.evidence.take(),
            }));
            false
        });
        news
    }

    /// One message tells of all queues of an account with the same condition, and since when: since the earliest. They keep this beginning, so that
    /// the messages about their ends say the same.
    fn begin_together(&mut self, begun: &mut [News]) {
        let group = |subject: &Subject| (subject.condition, subject.account.clone());
        let mut earliest = BTreeMap::new();
        for one in &*begun {
            let known = earliest.entry(group(&one.subject)).or_insert(one.since);
            if one.since.boot < known.boot {
                *known = one.since;
            }
        }
        for one in begun {
            one.since = earliest[&group(&one.subject)];
            if let Some(lasting) = self.lasting.get_mut(&one.subject) {
                lasting.since = one.since;
            }
        }
    }

    fn seen(
        &mut self,
        subject: &Subject,
        evidence: &Evidence,
        after: Duration,
        now: Moment,
    ) -> Option<News> {
        let since = evidence.since.unwrap_or(now);
        let entry = self.lasting.entry(subject.clone());
        let lasting = entry.or_insert_with(|| Lasting::restored(since, now, None, false));
        let before = *lasting
            .asked_before
            .get_or_insert(evidence.asked.unwrap_or_default());
        lasting.asked |= evidence.asked.is_none_or(|asked| asked != before);
        lasting.seen = now;
        lasting.away_since = None;
        lasting.evidence = Some(evidence.clone());
        if lasting.told.is_some() || !lasting.asked || now.boot_since(lasting.since) < after {
            return None;
        }
        lasting.told = Some(now);
        Some(News {
            subject: subject.clone(),
            since: lasting.since,
            told: now,
            until: None,
            evidence: Some(evidence.clone()),
        })
    }
}
