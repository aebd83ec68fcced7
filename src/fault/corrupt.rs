use std::num::NonZeroU32;

use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::HeaderField;
use super::Scene;
use super::Shot;
use super::Spec;
use super::once::once;
use crate::engine::Action;
use crate::engine::Event;
use crate::wire::HEADER_LEN;

/// The frame goes on garbled: a field of its header by chance, or some of its bits turned. Bits are turned behind the
/// header only, unless `header` says otherwise, so that frames which are no more than a header are passed over; of a very long frame
/// those of its first 128 KiB.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorruptSpec {
    /// The field that gets a number by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<HeaderField>,
    /// How many bits are turned where no field is named; one where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<NonZeroU32>,
    /// Whether bits of the header are turned too, so that framing may be lost; else only those behind it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub header: bool,
}

impl Spec for CorruptSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        // Behind a header that nothing follows there is nothing to turn.
        let header = self.header || self.field.is_some();
        shot.from.filter(|_| header || shot.len > HEADER_LEN as u64)?;
        let (spec, mut chance) = (self.clone(), shot.chance.clone());
        Some(once(move |event, scene| {
            let Event::Frame { from, frame, head, .. } = event else { return };
            let mut bytes = frame.bytes().to_vec();
            match spec.field {
                Some(field) => field.set(&mut bytes, chance.u64(..)),
                None => {
                    let first = if spec.header { 0 } else { HEADER_LEN };
                    let mut places: Vec<usize> = Vec::new();
                    let most = (bytes.len() - first) * 8;
                    while places.len() < (spec.bits.map_or(1, NonZeroU32::get) as usize).min(most) {
                        let place = chance.usize(0..most);
                        if !places.contains(&place) {
                            places.push(place);
                            bytes[first + place / 8] ^= 1 << (place % 8);
                        }
                    }
                }
            }
            scene.rebook(*from, frame, head, &bytes);
            scene.actions.push(Action::Replace(bytes.into()));
        }))
    }
}
