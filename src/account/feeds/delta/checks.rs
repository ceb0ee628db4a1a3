//! Checks what the list of changes omits, and how late changes appear on it.

use std::{collections::HashSet, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    Delta,
    reading::{Chain, Reading},
};
use crate::{
    account::{
        feeds::{doubt::Doubt, omitted::CROSSING, page::DeltaPage},
        newest::STRAY,
        roster::Roster,
    },
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// How long the longest delay is remembered.
const LATENESS_LASTS: Duration = Duration::from_secs(3600);

/// The list is distrusted if a page omits this many agents at once. Single ones may have been deleted.
const MAX_ABSENT: usize = 3;

/// How long an omitted agent is watched.
const ABSENCE_LASTS: Duration = Duration::from_secs(600);

impl Delta {
    /// Checks the list against rows of a poll or of a full page, all of one look. Call it before the roster takes them.
    pub fn compare(&mut self, rows: &[Agent], as_of: Moment, roster: &Roster) -> Option<Doubt> {
        let chain = self.chain.filter(|_| self.proved)?;
        let due = chain.reach? - self.overlap();
        let (mut compared, mut missed, mut left_out) = (0, 0, false);
        for row in rows {
            left_out |= self.omitted.is_proved_by(row, as_of, due);
            let Some(known) = roster.newest(&row.id) else {
                continue;
            };
            // After a filtered list, the status of absent agents is unknown.
            let is_comparable = known.at.boot >= chain.base.boot
                && known.at.boot <= as_of.boot
                && known.agent.status.is_some();
            if !is_comparable {
                continue;
            }
            compared += 1;
            let (date, was) = (row.status_since, known.agent.status_since);
            let was_due = date.is_none_or(|date| date <= due);
            let differs =
                || row.status != known.agent.status || row.available != known.agent.available;
            let is_missed = was_due && (date > was || date == was && differs());
            missed += u32::from(is_missed);
            if let (true, Some(date)) = (is_missed && date > was, date) {
                left_out |= self.omitted.add(&row.id, date, as_of);
            }
        }
        let misses = self.misses.add(compared, missed);
        match left_out {
            true => Some(Doubt::LeftOut),
            false => misses.then_some(Doubt::Missed),
        }
    }

    /// Checks that all agents whose known date belongs on the page are on it. Only the first page shows a single moment, so only it is checked.
    pub(super) fn look_for_absent(
        &mut self,
        page: DeltaPage<'_>,
        oldest: Timestamp,
        roster: &Roster,
    ) -> Result<(), Doubt> {
        let strays = self.chain.map(|chain| chain.strays).unwrap_or_default();
        let newest = |reading: &Reading| {
            Some((
                reading.newest.newest_but(&strays)?,
                reading.newest.likely()?,
            ))
        };
        let Some((newest, likely)) = self.reading.as_ref().and_then(newest) else {
            return Ok(());
        };
        let listed: HashSet<&AgentId> = page.rows.iter().map(|row| &row.id).collect();
        self.absent.retain(|id, since| {
            !listed.contains(id) && page.as_of.longest_since(*since) < ABSENCE_LASTS
        });
        let overlap = self.overlap();
        let mut is_lagging = false;
        let mut missing = 0;
        let mut left_out = false;
        for (date, sighting) in roster.rows_changed_since(oldest) {
            let id = &sighting.agent.id;
            let may_have_crossed = sighting.at.boot + CROSSING > page.as_of.boot;
            if date <= oldest || may_have_crossed || listed.contains(id) {
                continue;
            }
            if date > likely - overlap {
                // A date far beyond was wrong, and CallTools has corrected it.
                is_lagging |= date > newest && date <= newest + STRAY;
                continue;
            }
            missing += 1;
            match self.absent.get(id) {
                // Another list has shown the agent since this list first omitted them.
                Some(since) => left_out |= sighting.at.boot > since.boot,
                None => drop(self.absent.insert(id.clone(), page.as_of)),
            }
        }
        if let Some(reading) = &mut self.reading {
            reading.is_lagging = is_lagging;
        }
        match missing >= MAX_ABSENT || left_out {
            true => Err(Doubt::LeftOut),
            false => Ok(()),
        }
    }

    /// Learns delays of commits from new rows whose dates are older than the last reading.
    pub(super) fn learn_lateness(&mut self, page: DeltaPage<'_>, roster: &Roster) {
        let Some(Chain {
            reach: Some(reach),
            base,
            ..
        }) = self.chain
        else {
            return;
        };
        let late = page.rows.iter().filter_map(|row| {
            let date = row.status_since.filter(|date| *date < reach)?;
            let known = roster.newest(&row.id)?;
            let is_news = known.at.boot >= base.boot && known.agent.status_since < Some(date);
            is_news.then(|| reach.duration_since(date))
        });
        let Some(late) = late.max() else { return };
        let is_forgotten = |(known, at): (SignedDuration, Moment)| {
            late >= known || page.as_of.longest_since(at) > LATENESS_LASTS
        };
        if self.late.is_none_or(is_forgotten) {
            self.late = Some((late, page.as_of));
        }
    }
}
