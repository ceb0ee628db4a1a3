//! Permits: who has one may send a request, and reports how it ended.

use std::sync::Arc;

use super::{
    Budget, Cause, Purpose, Refusal,
    member::Member,
    witness::{Admitted, Witness},
};

/// A request that is spent, but neither stored nor known to other nodes. Dropping it withdraws the request.
#[derive(Debug)]
#[must_use = "an admission is a spent request"]
pub struct Admission(Option<Permit>);

impl Admission {
    pub(super) fn new(permit: Permit) -> Self {
        Self(Some(permit))
    }

    /// Returns the permit once the request is stored, unless the disk fails, and other nodes of a cluster know of it.
    ///
    /// # Errors
    /// [`Refusal`] if this node no longer leads, or if CallTools has asked for a pause meanwhile. Then the request is withdrawn.
    pub async fn stored(mut self) -> Result<Permit, Refusal> {
        let permit = self.0.as_ref().expect("only this method takes it");
        let member = Arc::clone(&permit.member);
        let written = member.ledger.written(permit.number);
        let is_announced = match &permit.witness {
            Some((witness, admitted)) => tokio::join!(witness.admitted(*admitted), written).0,
            None => {
                written.await;
                true
            }
        };
        if !is_announced {
            return Err(member.not_leading());
        }
        member.with(|book| member.refuse_in_silence(book))?;
        Ok(self.0.take().expect("only this method takes it"))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.withdraw();
        }
    }
}

/// The right to send one request. It is already spent: dropping it unused gives nothing back.
#[derive(Debug)]
#[must_use = "a permit is a spent request"]
pub struct Permit {
    pub(super) member: Arc<Member>,
    pub(super) number: u64,
    pub(super) polling: bool,
    pub(super) witness: Option<(Arc<dyn Witness>, Admitted)>,
}

impl Permit {
    /// Returns whether the request may still be sent: in a cluster, a permit is valid only briefly, and ends with the lease.
    pub fn is_valid(&self) -> bool {
        let witness = self.witness.as_ref();
        witness.is_none_or(|(witness, admitted)| witness.may_send(admitted))
    }

    /// Withdraws the request, which is not sent and never will be. It no longer counts on this node.
    pub fn withdraw(self) {
        let owner = self.member.owner();
        self.member
            .with(|book| book.withdraw(owner, self.number, self.polling));
    }

    /// Records that the answer came, or never will. The request leaves the window an hour from now.
    pub fn answered(self) {
        let owner = self.member.owner();
        self.member
            .with(|book| book.answered(owner, self.number, self.polling));
        if let Some((witness, admitted)) = &self.witness {
            witness.answered(admitted);
        }
    }
}

impl Budget {
    /// Confirms that a request may still be sent, with the token that the account has now. It was counted when its permit was given. If the account has got
    /// the token of another one since, both spend from one hour, which may have more requests than the limit.
    ///
    /// # Errors
    /// [`Refusal`] if the hour of this token has no room for the request, or does not count it. Then the request is withdrawn.
    pub fn confirm(&self, permit: Permit) -> Result<Permit, Refusal> {
        let owner = self.member.owner();
        let until = self.member.with(|book| {
            let allowance = self.allowance_in(book);
            let window = &book.hour(owner).window;
            if window.is_under_way(permit.number, permit.polling)
                && window.used() <= allowance.limit as usize
            {
                return None;
            }
            book.withdraw(permit.member.owner(), permit.number, permit.polling);
            let room_at = book
                .hour(owner)
                .window
                .room_at(allowance, Purpose::OnDemand);
            Some(book.moment(room_at.unwrap_or(book.now())))
        });
        let Some(until) = until else {
            return Ok(permit);
        };
        tracing::debug!(
            account = self.account,
            "a request is not sent: since it was counted, its hour has filled, as with the token of another account, or has passed"
        );
        Err(Refusal {
            until,
            cause: Cause::Spent,
        })
    }
}
