//! JSON to message and back, and calls of any method by its descriptor over a tonic service.

use devstudio_kit::{Fault, Reason, rpc::Method};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{forms, schema};

/// Parameters to message: canonical form, schema, protobuf. Missing parameters are an empty object.
pub fn read(method: &Method, mut params: Value) -> Result<DynamicMessage, Fault> {
    if params.is_null() {
        params = Value::Object(serde_json::Map::new());
    }
    forms::normalise(&method.input, &mut params);
    schema::check(method, &params)?;
    forms::read(&method.input, params).map_err(|error| {
        Fault::new(Reason::SchemaViolation, error).with("pointer", "").with("keyword", "type")
    })
}

/// The codec of messages that are known by their descriptor only.
#[derive(Debug, Clone)]
pub struct DynamicCodec {
    /// The messages that come back.
    pub output: MessageDescriptor,
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder(self.output.clone())
    }
}

/// Writes a message.
#[derive(Debug)]
pub struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.encoded_len());
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Reads a message of the descriptor.
#[derive(Debug)]
pub struct DynamicDecoder(MessageDescriptor);

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.0.clone(), from)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
