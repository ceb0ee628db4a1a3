//! A token that callers must show, kept as its digest.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a token. Comparing digests takes the same time whatever was shown, and hides the token's length too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of this token.
    pub fn of(token: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether both are of the same token, in constant time.
    pub fn same(&self, other: &TokenDigest) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(***)")
    }
}
