//! What admitting one request costs, with a full hour of a usual account and with a full hour of the largest one. Admitting does not read the
//! hour's requests, so the second costs hardly more than the first.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use openseat::{
    budget::{Budget, Purpose},
    clock::{self, VirtualClock},
};
use tokio::runtime::{Builder, Runtime};

const HOUR: Duration = Duration::from_secs(3600);

/// The usual limit, and the highest that a config may set.
const LIMITS: [u32; 2] = [1_000, 20_000];

/// The default reserve.
const RESERVE: u32 = 50;

/// An account that spends its budget evenly, with a clock that only the benchmark advances.
struct Account {
    time: Runtime,
    budget: Budget,
    apart: Duration,
}

impl Account {
    fn with_a_full_hour(limit: u32) -> Self {
        let time = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let budget = time.block_on(async {
            let limit = NonZeroU32::new(limit).expect("more than nothing");
            Budget::in_memory(limit, RESERVE, Arc::new(VirtualClock::default()))
        });
        let account = Self {
            time,
            budget,
            apart: HOUR / (limit - RESERVE),
        };
        for _ in 0..limit {
            account.admit();
        }
        let used = account.budget.usage().used;
        assert!(used + RESERVE + 2 >= limit, "{used} of {limit}");
        account
    }

    /// Admits the next request, and returns how long that took.
    fn admit(&self) -> Duration {
        self.time.block_on(async {
            tokio::time::advance(self.apart).await;
            let begun = clock::steady();
            // A request that comes slightly too early is refused, which costs less.
            if let Ok(permit) = self.budget.permit(Purpose::Poll).await {
                permit.answered();
            }
            clock::steady() - begun
        })
    }
}

fn admission(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("admission with a full hour");
    for limit in LIMITS {
        let account = Account::with_a_full_hour(limit);
        group.bench_function(BenchmarkId::from_parameter(limit), |bench| {
            bench.iter_custom(|times| (0..times).map(|_| account.admit()).sum());
        });
    }
}

criterion_group!(benches, admission);
criterion_main!(benches);
