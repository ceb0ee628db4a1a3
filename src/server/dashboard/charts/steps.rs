//! Values over time, merged where they are equal and split where they are unknown.

use svg::node::element::{Path, path::Data};

/// A value that holds from one point to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<T = f64> {
    pub from: f64,
    pub to: f64,
    pub value: T,
}

/// Merges neighbours of equal value. Otherwise most of a drawing's bytes would be repetition.
pub fn merge_equal<T: PartialEq>(steps: impl Iterator<Item = Step<T>>) -> Vec<Step<T>> {
    let mut merged = Vec::<Step<T>>::new();
    for step in steps {
        match merged.last_mut() {
            Some(last) if last.to == step.from && last.value == step.value => last.to = step.to,
            _ => merged.push(step),
        }
    }
    merged
}

/// The stretches of known values between unknown ones.
pub fn known_stretches(steps: impl Iterator<Item = Option<Step>>) -> Vec<Vec<Step>> {
    let mut stretches = vec![Vec::new()];
    for step in steps {
        match (step, stretches.last_mut()) {
            (Some(step), Some(stretch)) => stretch.push(step),
            _ => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    let merged = stretches
        .into_iter()
        .map(|stretch| merge_equal(stretch.into_iter()));
    merged.collect()
}

/// A line that stays level while a value holds, so that it suggests no values between two known ones.
pub fn staircase(stretch: &[Step], place: &impl Fn(f64, f64) -> (f64, f64)) -> Path {
    let mut data = Data::new();
    for (n, step) in stretch.iter().enumerate() {
        let (x, y) = place(step.from, step.value);
        data = match n {
            0 => data.move_to((x, y)),
            _ => data.vertical_line_to(y),
        };
        data = data.horizontal_line_to(place(step.to, step.value).0);
    }
    Path::new().set("class", "line").set("d", data)
}
