//! Random events of the machine, its disk and its files.

use proptest::prelude::*;

/// Damage that people and programs do to the files of a state folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    RemoveLedger,
    RemoveLog,
    RemoveWitness,
    RemoveAllThree,
    /// An older copy replaces the ledger.
    RenameOldCopy,
    /// The content of an older copy is written into the ledger.
    WriteOldCopy,
    /// Other content is written into the ledger.
    Overwrite,
    /// One bit of the ledger, its log or its witness flips.
    Flip {
        file: u8,
        place: u32,
    },
}

/// An event on the machine.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Time passes on both clocks, whether the machine sleeps or not.
    Pass { seconds: u32 },
    /// The wall clock is set, while the process runs or while it is down.
    StepWall { seconds: i32, while_down: bool },
    /// The process is killed and starts again, perhaps with another name or token, which may be that of the other account.
    Kill { renamed: u8 },
    /// The process stops cleanly and starts again.
    Restart { renamed: u8 },
    /// The config is read again, with another name or token.
    Reload { renamed: u8 },
    /// The machine is off for a while. Boot time starts again, and the wall clock may have fallen behind. (One that has jumped ahead over a
    /// reboot is impossible to notice.)
    Reboot { seconds: u32, behind_seconds: u32 },
    /// The process restarts in a time namespace, where boot time differs.
    Namespace { boot_offset_seconds: u32 },
    /// The token's file was changed and is read again, while the account goes on, perhaps with the token of the other account.
    NewToken { borrows: bool },
    /// The other account sends requests as fast as its budget allows.
    OthersBurst { wanted: u8 },
    /// This happens while a request is being stored. Then it is sent, if it still may be.
    StoredMeanwhile { event: Box<Event> },
    /// Requests are sent as fast as the budget allows; each answer takes this long.
    Burst {
        wanted: u8,
        latency_ms: u16,
        purpose: u8,
    },
    /// The process is killed while a request is under way, which arrives this much later.
    KilledInFlight { arrives_after_ms: u16 },
    /// The state folder becomes unusable: the disk is read-only, failing or unmounted.
    FolderGoes,
    /// The witness can be written but the ledger cannot: it is locked, or the disk is full.
    LedgerBlocked,
    /// Writers wait for the disk.
    DiskHangs,
    /// The disk works again.
    DiskReturns,
    /// The ledger is copied, as for a backup.
    Backup,
    /// The files are damaged while the process runs, or between a kill and the next start.
    Damage { damage: Damage, while_down: bool },
    /// The whole folder is removed while the process runs.
    RemoveFolder,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        1 => Just(Damage::RemoveLedger),
        1 => Just(Damage::RemoveLog),
        1 => Just(Damage::RemoveWitness),
        1 => Just(Damage::RemoveAllThree),
        1 => Just(Damage::RenameOldCopy),
        1 => Just(Damage::WriteOldCopy),
        1 => Just(Damage::Overwrite),
        3 => (0u8..3, any::<u32>()).prop_map(|(file, place)| Damage::Flip { file, place }),
    ]
}

/// An event that leaves the process running.
fn meanwhile() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (1u32..10_000).prop_map(|seconds| Event::Pass { seconds }),
        2 => (0u8..4).prop_map(|renamed| Event::Reload { renamed }),
        2 => any::<bool>().prop_map(|borrows| Event::NewToken { borrows }),
        1 => (1u8..40).prop_map(|wanted| Event::OthersBurst { wanted }),
    ]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u32..2_000).prop_map(|seconds| Event::Pass { seconds }),
        1 => (2_000u32..10_000).prop_map(|seconds| Event::Pass { seconds }),
        2 => (-10_000i32..10_000, any::<bool>()).prop_map(|(seconds, while_down)| Event::StepWall { seconds, while_down }),
        2 => (0u8..4).prop_map(|renamed| Event::Kill { renamed }),
        1 => (0u8..4).prop_map(|renamed| Event::Restart { renamed }),
        1 => (0u8..4).prop_map(|renamed| Event::Reload { renamed }),
        1 => any::<bool>().prop_map(|borrows| Event::NewToken { borrows }),
        3 => (1u8..40).prop_map(|wanted| Event::OthersBurst { wanted }),
        3 => meanwhile().prop_map(|event| Event::StoredMeanwhile { event: event.into() }),
        1 => (1u32..5_000, 0u32..20_000).prop_map(|(seconds, behind_seconds)| Event::Reboot { seconds, behind_seconds }),
        1 => (0u32..200_000).prop_map(|boot_offset_seconds| Event::Namespace { boot_offset_seconds }),
        8 => (1u8..40, 0u16..10_000, 0u8..3).prop_map(|(wanted, latency_ms, purpose)| Event::Burst { wanted, latency_ms, purpose }),
        2 => (0u16..30_000).prop_map(|arrives_after_ms| Event::KilledInFlight { arrives_after_ms }),
        1 => Just(Event::FolderGoes),
        1 => Just(Event::LedgerBlocked),
        1 => Just(Event::DiskHangs),
        4 => Just(Event::DiskReturns),
        2 => Just(Event::Backup),
        4 => (damage(), any::<bool>()).prop_map(|(damage, while_down)| Event::Damage { damage, while_down }),
        1 => Just(Event::RemoveFolder),
    ]
}
