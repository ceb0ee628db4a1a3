//! The cost of evaluating a path, known before it is evaluated.
//!
//! The evaluator cannot be stopped: nested filters over a few hundred rows would keep it busy for minutes. The structure of a path and the
//! [`Shape`] of a response say how often each part of it can run. The estimate is never too low: it assumes that every filter runs to its end,
//! although evaluation often stops early. Paths that people write stay far below [`MAX_STEPS`], even over ten thousand rows.

use serde_json::Value;

use super::query::{Filter, Query, Selector};

/// A step visits one node and takes some 100 ns. So one evaluation occupies a thread for at most 0.2 s; other accounts wait for that thread.
pub(super) const MAX_STEPS: u64 = 2_000_000;

/// Responses are not nested deeper: the JSON parser rejects more.
const MAX_DEPTH: usize = 128;

/// How many characters are read in the time of a step: a comparison or a pattern takes 1 to 2 ns for each.
const CHARACTERS: usize = 64;

/// The cost of a match in addition to its text, in steps: finding the pattern that was compiled before.
const MATCH: u64 = 8;

/// How large a response is, at each depth. The response itself is at depth 0.
#[derive(Debug)]
pub(super) struct Shape {
    /// The most children of any node.
    widths: Vec<u64>,
    /// The size of the largest node with everything below it, in steps.
    sizes: Vec<u64>,
    /// The longest text, in steps.
    longest: u64,
}

impl Shape {
    pub(super) fn new(response: &Value) -> Self {
        let mut shape = Self {
            widths: Vec::new(),
            sizes: Vec::new(),
            longest: 1,
        };
        shape.measure(response, 0);
        shape
    }

    fn measure(&mut self, value: &Value, depth: usize) -> u64 {
        if self.sizes.len() == depth {
            self.sizes.push(0);
            self.widths.push(0);
        }
        let (children, below) = match value {
            Value::Array(items) => {
                let below = items.iter().map(|item| self.measure(item, depth + 1)).sum();
                (items.len(), below)
            }
            Value::Object(fields) => {
                let below = fields
                    .values()
                    .map(|field| self.measure(field, depth + 1))
                    .sum();
                (fields.len(), below)
            }
            Value::String(text) => {
                let steps = (text.len() / CHARACTERS) as u64;
                self.longest = self.longest.max(steps);
                (0, steps)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => (0, 0),
        };
        let size: u64 = 1 + below;
        self.sizes[depth] = self.sizes[depth].max(size);
        self.widths[depth] = self.widths[depth].max(children as u64);
        size
    }

    fn width(&self, place: Place) -> u64 {
        place.most(&self.widths)
    }

    fn size(&self, place: Place) -> u64 {
        place.most(&self.sizes)
    }

    /// Returns how many levels there are below a node.
    fn levels(&self, place: Place) -> u64 {
        self.sizes.len().saturating_sub(place.depth).max(1) as u64
    }
}

/// Where nodes are: at this depth, or at this depth and below.
#[derive(Clone, Copy, Debug)]
struct Place {
    depth: usize,
    exact: bool,
}

impl Place {
    fn most(self, values: &[u64]) -> u64 {
        let from = values.get(self.depth..).unwrap_or_default();
        let looked_at = if self.exact { 1 } else { from.len() };
        from.iter().take(looked_at).copied().max().unwrap_or(0)
    }

    fn children(self) -> Self {
        Self {
            depth: (self.depth + 1).min(MAX_DEPTH),
            ..self
        }
    }
}

/// The most that one evaluation of a query takes, and where its nodes are.
struct Run {
    steps: u64,
    place: Place,
    singular: bool,
}

impl Query {
    /// Returns the most steps that an evaluation over such a response takes.
    pub(super) fn steps(&self, shape: &Shape) -> u64 {
        let root = Place {
            depth: 0,
            exact: true,
        };
        self.run(root, shape).steps
    }

    /// Evaluates the query once, from one node.
    fn run(&self, current: Place, shape: &Shape) -> Run {
        let mut place = match self.from_root {
            true => Place {
                depth: 0,
                exact: true,
            },
            false => current,
        };
        // All nodes that can be reached, and how often each can be selected.
        let (whole, mut times) = (shape.size(place), 1_u64);
        let (mut nodes, mut steps, mut singular) = (1_u64, 1_u64, true);
        for segment in &self.segments {
            if segment.descends {
                // Starting from several depths, the same node is reached several times.
                let nested = if place.exact { 1 } else { shape.levels(place) };
                times = times.saturating_mul(nested);
                nodes = nodes
                    .saturating_mul(shape.size(place))
                    .min(whole.saturating_mul(times));
                // The evaluator copies what it finds upwards, level by level.
                steps = steps.saturating_add(nodes.saturating_mul(shape.levels(place)));
                place.exact = false;
            }
            singular &= segment.is_singular();
            times = times.saturating_mul(segment.selectors.len() as u64);
            let most = whole.saturating_mul(times);
            let children = match segment.descends {
                true => nodes,
                false => nodes.saturating_mul(shape.width(place)).min(most),
            };
            let mut found = 0_u64;
            for selector in &segment.selectors {
                let (candidates, each) = match selector {
                    Selector::Name(_) | Selector::Index => (nodes, 1),
                    Selector::Wildcard | Selector::Slice => (children, 1),
                    Selector::Filter(filter) => (children, filter.steps(place.children(), shape)),
                };
                found = found.saturating_add(candidates);
                steps = steps
                    .saturating_add(nodes)
                    .saturating_add(candidates.saturating_mul(each));
            }
            nodes = found.min(most);
            place = place.children();
        }
        Run {
            steps,
            place,
            singular,
        }
    }
}

impl Filter {
    /// Evaluates the filter once, for one candidate.
    fn steps(&self, candidate: Place, shape: &Shape) -> u64 {
        let of_text = self.matches.saturating_mul(shape.longest + MATCH);
        let mut steps = 1_u64.saturating_add(of_text);
        // Comparing two nodes reads everything below them, and a function may read the whole of a text.
        let compares = self.queries.len() > 1 || self.functions > 0;
        for query in &self.queries {
            let run = query.run(candidate, shape);
            steps = steps.saturating_add(run.steps);
            if compares && run.singular {
                steps = steps.saturating_add(shape.size(run.place));
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests;
