//! What happened to calls.

use std::array;

use openseat::decision::soon::week::Tenths;

/// What happened to the calls under one rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Calls that only `soon` accepts.
    pub by_soon: u32,
    /// Calls that only `soon` accepts, and that met no agent.
    pub by_soon_lost: u32,
    /// How many of the calls that only `soon` accepts should meet an agent, as it predicts.
    likely: f64,
    /// All accepted calls that met an agent.
    pub served: u32,
    /// All accepted calls that met no agent.
    pub lost: u32,
    /// Rejected calls that would have met an agent.
    good_rejected: u32,
}

impl Outcome {
    /// Counts a call. `by_soon` is the prediction if only `soon` accepts it.
    pub fn take(&mut self, accepts: bool, by_soon: Option<f64>, meets: bool) {
        self.by_soon += u32::from(by_soon.is_some());
        self.by_soon_lost += u32::from(by_soon.is_some() && !meets);
        self.likely += by_soon.unwrap_or_default();
        self.served += u32::from(accepts && meets);
        self.lost += u32::from(accepts && !meets);
        self.good_rejected += u32::from(!accepts && meets);
    }

    fn loss(&self, cost: u32) -> f64 {
        f64::from(self.lost * cost + self.good_rejected)
    }

    /// Of the calls that only `soon` accepts, the predicted share that meets an agent, and the true one; `None` without such calls.
    pub fn reliability(&self) -> Option<(f64, f64)> {
        let all = f64::from(self.by_soon);
        let met = f64::from(self.by_soon - self.by_soon_lost);
        (self.by_soon > 0).then(|| (self.likely / all, met / all))
    }

    fn plus(self, other: Self) -> Self {
        Self {
            likely: self.likely + other.likely,
            by_soon: self.by_soon + other.by_soon,
            by_soon_lost: self.by_soon_lost + other.by_soon_lost,
            served: self.served + other.served,
            lost: self.lost + other.lost,
            good_rejected: self.good_rejected + other.good_rejected,
        }
    }
}

/// What a reference knows at zero seats beside what openseat does.
pub const REFERENCES: [&str; 3] = [
    "true lengths",
    "true lengths, current statuses",
    "the future",
];

/// The result.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub calls: u32,
    /// Without `soon`.
    pub today: Outcome,
    /// With `soon`, at a cost of 1 and of 2.
    pub soon: [Outcome; 2],
    /// With more knowledge at zero seats than `soon` has, in the order of [`REFERENCES`], at both costs.
    pub references: [[Outcome; 2]; REFERENCES.len()],
    pub tenths: Tenths,
    /// The most requests in any sliding hour.
    pub worst_hour: usize,
}

impl Figures {
    /// The loss with `soon`.
    pub fn loss(&self, cost: u32) -> f64 {
        self.soon[cost as usize - 1].loss(cost)
    }

    /// The loss with `soon`, relative to the loss without it.
    pub fn relative_loss(&self, cost: u32) -> f64 {
        self.relative(&self.soon, cost)
    }

    /// The loss of any rule, relative to the loss without `soon`.
    pub fn relative(&self, rule: &[Outcome; 2], cost: u32) -> f64 {
        rule[cost as usize - 1].loss(cost) / self.today.loss(cost).max(1.0)
    }

    pub fn plus(mut self, other: Self) -> Self {
        for (sum, one) in self
            .tenths
            .iter_mut()
            .flatten()
            .zip(other.tenths.iter().flatten())
        {
            *sum += one;
        }
        Self {
            calls: self.calls + other.calls,
            today: self.today.plus(other.today),
            soon: sums(self.soon, other.soon),
            references: array::from_fn(|one| sums(self.references[one], other.references[one])),
            worst_hour: self.worst_hour.max(other.worst_hour),
            ..self
        }
    }
}

fn sums(some: [Outcome; 2], others: [Outcome; 2]) -> [Outcome; 2] {
    array::from_fn(|cost| some[cost].plus(others[cost]))
}

/// The results with several seeds: worlds of the same kind.
pub struct Runs(pub Vec<Figures>);

impl Runs {
    /// All of them added up.
    pub fn sum(&self) -> Figures {
        let runs = self.0.iter().cloned();
        runs.reduce(Figures::plus).unwrap_or_default()
    }

    /// The relative loss of all, with the lowest and the highest of one seed.
    pub fn relative_loss(&self, cost: u32) -> String {
        let losses = self.0.iter().map(|run| run.relative_loss(cost));
        let (low, high) = losses.fold((f64::MAX, f64::MIN), |(low, high), loss| {
            (low.min(loss), high.max(loss))
        });
        format!("{:.2} ({low:.2}–{high:.2})", self.sum().relative_loss(cost))
    }
}
