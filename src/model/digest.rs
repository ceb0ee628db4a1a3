//! The digest of a secret: what is kept and compared, so that the secret itself need not be.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a secret. Comparing two takes the same time wherever they differ, and hides the length as well.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of this secret.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether both are of the same secret, as a [`Choice`] that can be combined in constant time.
    pub fn same(&self, other: &Digest) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// Its first 64 bits in hexadecimal: enough to tell accounts apart, too little to learn a secret from.
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
        // Of a short secret even the digest would tell too much.
        f.write_str("Digest(***)")
    }
}
