//! The invented names of queues and people.
//!
//! Some of the names contain apostrophes, accents and other scripts on purpose: real ones do, and every display must handle them.

/// The first name is the one in the documentation's examples.
const QUEUES: [&str; 12] = [
    "sales-queue",
    "support-queue",
    "Billing",
    "spanish-sales",
    "Retention & Win-back",
    "after-hours",
    "New Leads",
    "VIP Support",
    "tech-support-2",
    "Rückrufe",
    "Renewals (West)",
    "overflow",
];

const FIRST: [&str; 24] = [
    "Amara", "Ben", "Carla", "Dmitri", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jamal",
    "Kirsten", "Luis", "Mei", "Noah", "Olga", "Priya", "Quentin", "Rosa", "Søren", "Thảo", "Uma",
    "Viktor", "Wanjiru", "Zoë",
];

const LAST: [&str; 25] = [
    "Adeyemi",
    "Baker",
    "Castillo",
    "D'Angelo",
    "Eriksen",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Johnson",
    "Kowalski",
    "Lee",
    "Müller",
    "Nguyễn",
    "O'Brien",
    "Patel",
    "Quispe",
    "Reyes",
    "Smith-Jones",
    "Tanaka",
    "Usman",
    "Vargas",
    "Williams",
    "Yılmaz",
    "Zhang",
];

/// Returns the name of the n-th queue, counted from 0; no two are alike.
pub(super) fn queue(n: usize) -> String {
    let name = QUEUES[n % QUEUES.len()];
    match n / QUEUES.len() {
        0 => name.to_owned(),
        round => format!("{name} {}", round + 1),
    }
}

/// Returns the name of the n-th agent, counted from 0. As 24 and 25 share no factor, the first 600 differ.
pub(super) fn agent(n: usize) -> String {
    format!("{} {}", FIRST[n % FIRST.len()], LAST[n % LAST.len()])
}

/// Returns a random UUID (version 4).
pub(super) fn uuid(dice: &mut fastrand::Rng) -> String {
    let bits = dice.u128(..);
    let versioned = (bits & !(0xf << 76)) | (0x4 << 76);
    let hex = format!("{:032x}", (versioned & !(0x3 << 62)) | (0x2 << 62));
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}
