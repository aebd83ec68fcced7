use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::HeaderField;
use super::Scene;
use super::Shot;
use super::Spec;
use super::once::once;
use crate::dcp::Control;
use crate::dcp::FrameHead;
use crate::dcp::Hello;
use crate::dcp::HelloResponse;
use crate::dcp::Message;
use crate::engine::Action;
use crate::engine::Event;
use crate::wire::Frame;

/// The frame goes on with something in it changed: a field of its header, the value of a DCP_CONTROL, the features of a
/// HELLO or of its answer. What does not apply to the frame is left.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewriteSpec {
    /// A field of the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<HeaderField>,
    /// The number that it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// The value that a DCP_CONTROL becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Features that are taken out of a HELLO: their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_features: Vec<u16>,
    /// Features that are put into it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with_features: Vec<u16>,
}

impl Spec for RewriteSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let whole = self.value.is_none() && self.without_features.is_empty() && self.with_features.is_empty();
        shot.from.filter(|_| whole || shot.is_whole)?;
        let spec = self.clone();
        Some(once(move |event, scene| {
            if let Event::Frame { from, frame, head, .. } = event {
                let bytes = spec.rewritten(frame, head);
                scene.rebook(*from, frame, head, &bytes);
                scene.actions.push(Action::Replace(bytes));
            }
        }))
    }
}

impl RewriteSpec {
    fn rewritten(&self, frame: &Frame<'_>, head: &FrameHead) -> Bytes {
        let opaque = head.header.opaque;
        let features = |features: &[u16]| {
            let mut all: Vec<u16> =
                features.iter().copied().filter(|feature| !self.without_features.contains(feature)).collect();
            all.extend(self.with_features.iter().filter(|feature| !features.contains(feature)));
            all
        };
        let mut bytes = match (&head.message, &self.value) {
            (Ok(Message::Control(control)), Some(value)) => {
                Control { key: control.key.clone(), value: value.clone() }.request(opaque).build().to_vec()
            }
            (Ok(Message::Hello(hello)), _) => Hello { agent: hello.agent.clone(), features: features(&hello.features) }
                .request(opaque)
                .build()
                .to_vec(),
            (Ok(Message::HelloResponse(hello)), _) => {
                HelloResponse { features: features(&hello.features) }.response(opaque).build().to_vec()
            }
            (Ok(_) | Err(_), _) => frame.bytes().to_vec(),
        };
        if let (Some(field), Some(to)) = (self.field, self.to) {
            field.set(&mut bytes, to);
        }
        bytes.into()
    }
}
