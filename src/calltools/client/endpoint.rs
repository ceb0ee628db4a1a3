//! The lists of CallTools' API that openseat reads, and their URLs.

use std::fmt;

use crate::calltools::Ask;

/// The largest page that CallTools returns.
pub(crate) const PAGE_SIZE: u32 = 250;

/// How many rows of the page before it a page of available agents begins with, besides one for each page: the rows at the end of a long list move
/// further. Of 2,000 agents, about five become available and five no longer are while a page is read.
const OVERLAP: u32 = 4;

/// The field that says when an agent's status changed.
pub(crate) const ORDERING_FIELD: &str = "agent_status_modified_on";

/// The lists that openseat reads: the values of the metric label `endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `agentstatuses/?queue=…`
    AgentStatuses,
    /// `queues/`
    Queues,
    /// `statuses/`
    Statuses,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 3] = [
        Endpoint::AgentStatuses,
        Endpoint::Queues,
        Endpoint::Statuses,
    ];

    /// The name in metrics and logs, which is also the path below `…/api/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::AgentStatuses => "agentstatuses",
            Endpoint::Queues => "queues",
            Endpoint::Statuses => "statuses",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which agents of the whole account to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Everyone {
    /// All.
    Listed,
    /// All on one page, if CallTools allows it.
    AtOnce,
    /// All, the most recently changed status first, on pages of this size.
    NewestFirst(u32),
    /// Those whose status has this id.
    WithStatus(u64),
}

impl Everyone {
    /// Returns the URL of a page, relative to `…/api/`.
    pub(super) fn path(self, ask: Ask, ordering_field: &str) -> String {
        let page = path(Endpoint::AgentStatuses, ask);
        match self {
            Everyone::Listed => page,
            Everyone::AtOnce => format!("{}/?page_size=max", Endpoint::AgentStatuses),
            Everyone::NewestFirst(size) => {
                let page = path_of(Endpoint::AgentStatuses, ask, size);
                format!("{page}&ordering=-{ordering_field}")
            }
            Everyone::WithStatus(id) => {
                let smaller = |size, page| overlapping(size, page, OVERLAP + page);
                let size = (2..=ask.page).fold(PAGE_SIZE, smaller);
                let page = path_of(Endpoint::AgentStatuses, ask, size);
                format!("{page}&agent_status={id}")
            }
        }
    }
}

/// Returns a size for this page with which it begins with the last `overlap` rows of the page before it, which has `size` rows, or a few more. Agents come
/// and go while a list is read, so rows move between its pages; an agent who is on two pages shows that none has moved past the edge between them.
pub(crate) fn overlapping(size: u32, page: u32, overlap: u32) -> u32 {
    let earlier = page.saturating_sub(1).max(1);
    let begin = (size * earlier).saturating_sub(overlap);
    (begin / earlier).max(1)
}

/// Returns the URL of a page, relative to `…/api/`.
pub(super) fn path(endpoint: Endpoint, ask: Ask) -> String {
    path_of(endpoint, ask, PAGE_SIZE)
}

fn path_of(endpoint: Endpoint, ask: Ask, page_size: u32) -> String {
    let mut path = format!("{endpoint}/?");
    if let Some(queue) = ask.queue {
        path += &format!("queue={queue}&");
    }
    path += &format!("page_size={page_size}");
    if ask.page > 1 {
        path += &format!("&page={}", ask.page);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_changes_have_the_size_that_is_asked_for() {
        let path = |page, size| {
            let ask = Ask { page, queue: None };
            Everyone::NewestFirst(size).path(ask, "changed")
        };
        let first = "agentstatuses/?page_size=250&ordering=-changed";
        assert_eq!(path(1, 250), first);
        let second = "agentstatuses/?page_size=246&page=2&ordering=-changed";
        assert_eq!(path(2, 246), second);
        assert_eq!(overlapping(250, 2, 4), 246);
        // All pages before it have its size, too.
        assert_eq!(overlapping(246, 3, 4), 244);
        assert_eq!(overlapping(2, 2, 4), 1);
    }

    #[test]
    fn each_page_of_available_agents_begins_before_the_end_of_the_page_before_it() {
        let size = |page: u32| {
            let ask = Ask { page, queue: None };
            let path = Everyone::WithStatus(7).path(ask, ORDERING_FIELD);
            let (_, size) = path.split_once("page_size=").expect(&path);
            let size = size.split('&').next().and_then(|size| size.parse().ok());
            size.unwrap_or(0_u32)
        };
        assert_eq!(size(1), PAGE_SIZE);
        for page in 2..=40 {
            let (begin, end) = ((page - 1) * size(page), (page - 1) * size(page - 1));
            let overlap = end - begin;
            // No more than needed: the size is the same for all rows before it.
            assert!(
                (4 + page..4 + 2 * page).contains(&overlap),
                "{page}: {overlap}"
            );
        }
        assert!(8 * size(8) > 1_750, "{}", size(8));
        assert!(size(u32::from(u16::MAX)) > 0);
    }
}
