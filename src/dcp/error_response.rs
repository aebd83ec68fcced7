use serde_json::Value;
use serde_json::json;

use super::Member;
use super::MemberName;
use super::MemberSink;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// A response with a status that does not count as success. Its JSON, if any, stays in the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ErrorResponse {
    /// The manifest uid that comes with UnknownCollection and UnknownScope (hex in the JSON).
    pub manifest_uid: Option<u64>,
}

impl ErrorResponse {
    /// Reads the message out of its frame. Whatever the body holds, it is no error.
    pub fn parse(frame: &Frame<'_>) -> Self {
        let told = matches!(frame.header().status(), Some(Status::UNKNOWN_COLLECTION | Status::UNKNOWN_SCOPE));
        let manifest_uid = error_json(frame).filter(|_| told).and_then(|json| {
            u64::from_str_radix(json.get("manifest_uid").or(json.get("error")?.get("manifest_uid"))?.as_str()?, 16).ok()
        });
        Self { manifest_uid }
    }

    /// An error response whose JSON says why (status-codes.md, "Body of an error response").
    pub fn response(opcode: Opcode, status: Status, context: &str, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::response(opcode, status)
            .opaque(opaque)
            .datatype(Datatype::JSON)
            .value(json!({ "error": { "context": context } }).to_string().into_bytes())
    }

    pub(super) fn members(frame: &Frame<'_>, to: &mut impl MemberSink) {
        if to.wants(MemberName::error_json)
            && let Some(json) = error_json(frame)
        {
            to.member(MemberName::error_json, Member::Json(&json));
        }
    }
}

/// The longest error that is read as JSON; what real servers send has some hundred bytes.
const MAX_JSON_LEN: usize = 64 * 1024;

/// The JSON that says more of an error: not a cluster map, and nothing of a SASL exchange.
fn error_json(frame: &Frame<'_>) -> Option<Value> {
    let header = frame.header();
    let sasl = matches!(header.opcode, Opcode::SASL_AUTH | Opcode::SASL_STEP);
    if sasl || header.datatype != Datatype::JSON || header.status() == Some(Status::NOT_MY_VBUCKET) {
        return None;
    }
    let value = frame.value().filter(|value| value.len() <= MAX_JSON_LEN)?;
    serde_json::from_slice(value).ok()
}
