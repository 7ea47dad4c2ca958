//! The gRPC codec of every generated client and server: protobuf, and each message is checked against its
//! field rules as it is decoded, so that no service can forget to.

use std::{collections::HashMap, marker::PhantomData};

use prost::Message;
use tonic::{
    Code, Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstDecoder, ProstEncoder};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::check::{Check, Violation};

/// Encodes `T`, decodes and checks `U`. What breaks a rule fails with `INVALID_ARGUMENT` `SCHEMA_VIOLATION`.
#[derive(Debug, Clone)]
pub struct CheckedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for CheckedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for CheckedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Check + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CheckedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        CheckedDecoder(ProstDecoder::new(BufferSettings::default()))
    }
}

/// Decodes a message and checks it.
#[derive(Debug, Clone)]
pub struct CheckedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + Check> Decoder for CheckedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let Some(message) = self.0.decode(buf)? else { return Ok(None) };
        let mut violations = Vec::new();
        message.check("", &mut violations);
        if violations.is_empty() { Ok(Some(message)) } else { Err(violation_status(&violations)) }
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// The status that tells which fields break which rules; its details name the first.
pub fn violation_status(violations: &[Violation]) -> Status {
    let mut details = ErrorDetails::new();
    let mut message = "the request breaks a rule".to_owned();
    if let Some(first) = violations.first() {
        message = format!(
            "{} {}",
            if first.pointer.is_empty() { "the request" } else { &first.pointer },
            first.message
        );
        let metadata = HashMap::from([
            ("pointer".to_owned(), first.pointer.clone()),
            ("keyword".to_owned(), first.keyword.to_owned()),
        ]);
        details.set_error_info("SCHEMA_VIOLATION", crate::ERROR_DOMAIN, metadata);
    }
    for violation in violations {
        details.add_bad_request_violation(violation.pointer.as_str(), violation.message.as_str());
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}
