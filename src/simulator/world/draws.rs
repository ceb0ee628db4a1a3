//! The random times and chances that a person draws.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Person, WorldSettings, behaviour::signed};

impl Person {
    /// Draws a time from the exponential distribution with this mean.
    pub(super) fn draw(&mut self, mean: Duration) -> SignedDuration {
        let unit = -(1.0 - self.dice.f64()).ln();
        signed(mean.mul_f64(unit))
    }

    /// Draws a time with this mean as a sum of `parts` parts; without parts, it is the mean itself.
    fn draw_in_parts(&mut self, mean: Duration, parts: u8) -> SignedDuration {
        if parts == 0 {
            return signed(mean);
        }
        let part = mean / u32::from(parts);
        (0..parts).map(|_| self.draw(part)).sum()
    }

    /// A world where nobody ends a wrap-up by hand draws nothing for it, so its events are the same as before this option existed.
    pub(super) fn draw_wrap_up(&mut self, settings: &WorldSettings) -> SignedDuration {
        let whole = self.draw_in_parts(settings.mean_wrap_up, settings.wrap_up_parts);
        let by_hand = settings.wrap_ups_by_hand;
        if by_hand > 0 && self.happens(f64::from(by_hand) / 100.0) {
            let share = self.dice.f64();
            return signed(whole.unsigned_abs().mul_f64(share));
        }
        whole
    }

    pub(super) fn between(&mut self, least: Duration, most: Duration) -> SignedDuration {
        let share = self.dice.f64();
        signed(least + (most - least).mul_f64(share))
    }

    pub(super) fn happens(&mut self, share: f64) -> bool {
        self.dice.f64() < share
    }
}
