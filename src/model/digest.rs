//! The digest of a secret, kept and compared instead of the secret itself.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a secret. A comparison always takes the same time, and hides the length as well.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Computes the digest of this secret.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Compares in constant time; returns a [`Choice`] that can be combined in constant time.
    pub fn same(&self, other: &Digest) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// Returns the first 64 bits in hexadecimal: enough to tell accounts apart, too little to learn a secret from.
    pub fn short(&self) -> String {
        self.0[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.same(other).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The digest of a short secret could be guessed.
        f.write_str("Digest(***)")
    }
}
