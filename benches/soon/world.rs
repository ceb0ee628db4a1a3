//! The worlds in which accounts live.

use std::time::Duration;

use openseat::simulator::WorldSettings;

/// How agents behave. Wrap-ups take 45 s on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Wrap-ups have similar lengths: the standard deviation is half the mean.
    Alike,
    /// The standard deviation is a quarter of the mean.
    Regular,
    /// All wrap-ups have the same length.
    Exact,
    /// Wrap-ups have no memory: their lengths are distributed exponentially.
    Random,
    /// Agents have no wrap-ups.
    NoWrapUp,
    /// As `Alike`, but agents end half of the wrap-ups by hand, the mean lengths of calls and wrap-ups drift over hours, and calls that no router
    /// sent take agents.
    Hard,
    /// As `Regular`, but CallTools does not order lists. In a large account, statuses then come from the lists of available agents, and openseat rarely
    /// sees who is in wrap-up.
    Unordered,
    /// As `Alike`, but agents take only the accepted calls.
    Closed,
    /// As `Regular`, but agents take only the accepted calls.
    ClosedRegular,
}

impl World {
    pub fn name(self) -> &'static str {
        match self {
            Self::Alike => "wrap-ups alike",
            Self::Regular => "wrap-ups regular",
            Self::Exact => "wrap-ups exact",
            Self::Random => "wrap-ups random",
            Self::NoWrapUp => "no wrap-ups",
            Self::Hard => "hard",
            Self::Unordered => "no order",
            Self::Closed => "closed",
            Self::ClosedRegular => "closed, wrap-ups regular",
        }
    }

    /// Whether agents take only the accepted calls.
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Closed | Self::ClosedRegular)
    }

    pub fn people(self, (queues, agents): (usize, usize), seed: u64) -> WorldSettings {
        let alike = WorldSettings {
            seed,
            queues,
            agents,
            wrap_up_parts: 4,
            ..WorldSettings::study()
        };
        let regular = WorldSettings {
            wrap_up_parts: 16,
            ..alike.clone()
        };
        let closed = |open| WorldSettings {
            // Longer than the benchmark, so that no call comes by itself.
            mean_idle: Duration::from_secs(100 * 86_400),
            ..open
        };
        match self {
            Self::Alike => alike,
            Self::Regular | Self::Unordered => regular,
            Self::Exact => WorldSettings {
                wrap_up_parts: 0,
                ..alike
            },
            Self::Random => WorldSettings {
                wrap_up_parts: 1,
                ..alike
            },
            Self::NoWrapUp => WorldSettings {
                mean_wrap_up: Duration::from_millis(1),
                ..alike
            },
            Self::Hard => WorldSettings {
                wrap_ups_by_hand: 50,
                ..alike
            },
            Self::Closed => closed(alike),
            Self::ClosedRegular => closed(regular),
        }
    }
}
