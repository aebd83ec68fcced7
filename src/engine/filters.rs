use std::collections::BTreeMap;

use crate::dcp;
use crate::dcp::FrameHead;
use crate::session::StreamKey;
use crate::wire::Frame;

/// The values of the consumer's stream requests, to repeat a request with: those of streams too that were opened before
/// anything was armed.
#[derive(Debug, Default)]
pub(super) struct Filters(BTreeMap<StreamKey, Vec<u8>>);

/// Values up to this long are kept, and so many of them.
const MAX_FILTER: usize = 16 * 1024;
const MAX_FILTERS: usize = 4096;

impl Filters {
    /// Takes note of a stream request.
    pub(super) fn remember(&mut self, frame: &Frame<'_>, head: &FrameHead) {
        let Some(vbucket) = head.header.vbucket() else { return };
        let value = frame.value().filter(|value| value.len() <= MAX_FILTER).unwrap_or_default();
        let sid = match &head.message {
            Ok(dcp::Message::StreamReq(request)) => request.value.as_ref().and_then(|value| value.sid),
            Ok(_) | Err(_) => None,
        };
        let key = StreamKey { vbucket, stream_id: sid };
        if value.is_empty() {
            self.0.remove(&key);
        } else if self.0.len() < MAX_FILTERS || self.0.contains_key(&key) {
            self.0.insert(key, value.to_vec());
        }
    }

    /// The value of a stream's request; empty where it had none.
    pub(super) fn of(&self, key: StreamKey) -> Vec<u8> {
        self.0.get(&key).cloned().unwrap_or_default()
    }
}
