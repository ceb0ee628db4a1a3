//! What can happen to the machine, its disk and its files, at random.

use proptest::prelude::*;

/// What people and programs do to the files of a state folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    RemoveLedger,
    RemoveLog,
    RemoveWitness,
    RemoveAllThree,
    /// A copy of an earlier moment takes the ledger's name.
    RenameOldCopy,
    /// The same, written into the file that is there.
    WriteOldCopy,
    /// Something else is written into the file.
    Wreck,
    /// One bit of the ledger, its log or its witness turns.
    Flip {
        file: u8,
        place: u32,
    },
}

/// What can happen to a machine.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Time passes, asleep or awake: both clocks go on.
    Pass { seconds: u32 },
    /// The wall clock is set, while the process runs or while it is down.
    StepWall { seconds: i32, while_down: bool },
    /// The process is killed in the middle of what it does, and starts again, perhaps with another name or token.
    Kill { renamed: u8 },
    /// The process ends well and starts again.
    Restart { renamed: u8 },
    /// The config is read again, with another name or token.
    Reload { renamed: u8 },
    /// The machine is off for a while; boot time starts again, and the wall clock may have fallen behind. (One that is ahead
    /// after a reboot cannot be found out by anybody.)
    Reboot { seconds: u32, behind_seconds: u32 },
    /// The process is started again in a time namespace, where boot time is another.
    Namespace { boot_offset_seconds: u32 },
    /// Requests are sent as fast as the budget allows; each answer takes this long.
    Burst {
        wanted: u8,
        latency_ms: u16,
        purpose: u8,
    },
    /// A request is on its way when the process is killed; it arrives all the same, this much later.
    KilledInFlight { arrives_after_ms: u16 },
    /// The state folder can no longer be used: a disk that is read-only, failing or unmounted.
    FolderGoes,
    /// The ledger cannot be written and the witness can: a file that is locked, or a disk that is full.
    LedgerBlocked,
    /// Whoever writes waits for the disk.
    DiskHangs,
    /// All is well again.
    DiskReturns,
    /// A copy of the ledger is made, as a backup does it.
    Backup,
    /// While the process runs, or between its killing and the next start.
    Deed { deed: Deed, while_down: bool },
    /// The whole folder is removed under a process that runs.
    RemoveFolder,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        1 => Just(Deed::RemoveLedger),
        1 => Just(Deed::RemoveLog),
        1 => Just(Deed::RemoveWitness),
        1 => Just(Deed::RemoveAllThree),
        1 => Just(Deed::RenameOldCopy),
        1 => Just(Deed::WriteOldCopy),
        1 => Just(Deed::Wreck),
        3 => (0u8..3, any::<u32>()).prop_map(|(file, place)| Deed::Flip { file, place }),
    ]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u32..2_000).prop_map(|seconds| Event::Pass { seconds }),
        1 => (2_000u32..10_000).prop_map(|seconds| Event::Pass { seconds }),
        2 => (-10_000i32..10_000, any::<bool>()).prop_map(|(seconds, while_down)| Event::StepWall { seconds, while_down }),
        2 => (0u8..3).prop_map(|renamed| Event::Kill { renamed }),
        1 => (0u8..3).prop_map(|renamed| Event::Restart { renamed }),
        1 => (0u8..3).prop_map(|renamed| Event::Reload { renamed }),
        1 => (1u32..5_000, 0u32..20_000).prop_map(|(seconds, behind_seconds)| Event::Reboot { seconds, behind_seconds }),
        1 => (0u32..200_000).prop_map(|boot_offset_seconds| Event::Namespace { boot_offset_seconds }),
        8 => (1u8..40, 0u16..10_000, 0u8..3).prop_map(|(wanted, latency_ms, purpose)| Event::Burst { wanted, latency_ms, purpose }),
        2 => (0u16..30_000).prop_map(|arrives_after_ms| Event::KilledInFlight { arrives_after_ms }),
        1 => Just(Event::FolderGoes),
        1 => Just(Event::LedgerBlocked),
        1 => Just(Event::DiskHangs),
        4 => Just(Event::DiskReturns),
        2 => Just(Event::Backup),
        4 => (deed(), any::<bool>()).prop_map(|(deed, while_down)| Event::Deed { deed, while_down }),
        1 => Just(Event::RemoveFolder),
    ]
}
