//! Extend: takes the next block of an open reservation, keeps what was produced, and renews the lease.

use devstudio_kit::clock::Clock;
use devstudio_proto::billing::v1::ExtendRequest;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Config,
    error::{Error, Refusal},
    lane::Act,
    reserve::{refused, request_id},
    store::Store,
};

/// A block that is asked for; 0 tokens only beat.
#[derive(Debug)]
pub(crate) struct Block {
    pub request_id: Uuid,
    pub tokens: i64,
    pub produced_tokens: i64,
}

impl Block {
    /// Reads a block; the field rules of the contract were checked before.
    pub fn new(request: &ExtendRequest) -> Result<Self, Error> {
        Ok(Self {
            request_id: request_id(&request.request_id)?,
            tokens: request.tokens.into(),
            produced_tokens: request.produced_tokens.into(),
        })
    }
}

/// What became of a block whose reservation there is.
pub(crate) enum Outcome {
    /// It holds so many tokens now.
    Open(i64),
    Refused(Refusal),
    Settled,
}

/// An extended reservation.
#[derive(Debug)]
pub(crate) struct Extended {
    pub lease_until: OffsetDateTime,
    pub reserved: i64,
}

/// Extends, batch by batch.
pub(crate) struct Extend {
    pub store: Store,
    pub clock: Clock,
    pub config: Config,
}

impl Act for Extend {
    type Order = Block;
    type Answer = Extended;

    fn request_id(block: &Block) -> Uuid {
        block.request_id
    }

    async fn run(&self, blocks: &[Block]) -> Result<Vec<Result<Extended, Error>>, sqlx::Error> {
        let now = self.clock.now();
        let lease_until = now + self.config.lease();
        let default = self.config.default_monthly_tokens;
        let mut outcomes = self.store.extend(blocks, now, lease_until, default).await?;
        Ok(blocks
            .iter()
            .map(|block| match outcomes.remove(&block.request_id) {
                None => Err(Error::Missing),
                Some(Outcome::Open(reserved)) => Ok(Extended { lease_until, reserved }),
                Some(Outcome::Refused(refusal)) => Err(refused(refusal)),
                Some(Outcome::Settled) => Err(Error::Settled),
            })
            .collect())
    }
}
