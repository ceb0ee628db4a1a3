//! A number of seats, or of anything else that criteria measure.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A finite number that prints as an integer if it is one: `7`, not `7.0`.
///
/// Seats are whole numbers, but criteria may measure any number that CallTools sends, so counts and thresholds share this type.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Quantity(f64);

impl Quantity {
    /// No seats.
    pub const ZERO: Quantity = Quantity(0.0);

    /// Creates a quantity; `None` for infinities and NaN, with which no comparison could decide about a call.
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number))
    }

    /// Returns the number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Returns this minus `count` seats, for example those held by reservations.
    pub fn less(self, count: u32) -> Self {
        Self(self.0 - f64::from(count))
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

impl From<u32> for Quantity {
    fn from(number: u32) -> Self {
        Self(f64::from(number))
    }
}

impl From<usize> for Quantity {
    fn from(number: usize) -> Self {
        // Exact up to 2^53, far more than a list of agents may have.
        Self(number as f64)
    }
}

/// Returns the whole number, if every JSON reader keeps it exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match whole(self.0) {
            Some(integer) => integer.fmt(f),
            // With an exponent instead of hundreds of digits.
            None => write!(f, "{:?}", self.0),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match whole(self.0) {
            Some(integer) => serializer.serialize_i64(integer),
            None => serializer.serialize_f64(self.0),
        }
    }
}

/// Not a finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a finite number")]
pub struct NotANumber;

impl FromStr for Quantity {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        text.parse().ok().and_then(Self::new).ok_or(NotANumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_whole_numbers_without_a_point() {
        let json =
            |number| serde_json::to_string(&Quantity::new(number)).expect("numbers serialize");
        assert_eq!(json(7.0), "7");
        assert_eq!(json(-0.0), "0");
        assert_eq!(json(2.5), "2.5");
        assert_eq!(json(0.1), "0.1");
        for (number, printed) in [(7.0, "7"), (2.5, "2.5"), (-1e300, "-1e300"), (1e-7, "1e-7")] {
            assert_eq!(Quantity(number).to_string(), printed);
            assert_eq!(json(number).parse(), Ok(Quantity(number)));
        }
    }

    #[test]
    fn accepts_only_finite_numbers() {
        assert_eq!("2".parse(), Ok(Quantity(2.0)));
        assert_eq!("-1.5".parse(), Ok(Quantity(-1.5)));
        for wrong in ["", "two", "NaN", "inf", "1e999", " 2"] {
            assert_eq!(wrong.parse::<Quantity>(), Err(NotANumber), "{wrong:?}");
        }
    }
}
