use serde::Deserialize;
use serde::Serialize;

use super::EndsBy;
use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::disconnect::close;
use super::once::once;
use crate::engine::Action;
use crate::engine::Event;

/// What follows a frame that was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Both ends are closed by FIN.
    #[default]
    Fin,
    /// Both ends are closed by RST.
    Rst,
    /// What the end says next follows, so that the other loses its framing.
    GoOn,
}

impl Then {
    pub(super) const fn ends_by(self) -> Option<EndsBy> {
        match self {
            Self::Fin => Some(EndsBy::Fin),
            Self::Rst => Some(EndsBy::Rst),
            Self::GoOn => None,
        }
    }
}

/// Only the first bytes of the frame go on, wherever in it that is. It does not fire at a frame that has no more.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TruncateSpec {
    /// How many, the header's 24 included; where it is not said, some by chance, at least one and not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What follows.
    pub then: Then,
}

impl Spec for TruncateSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        shot.from.filter(|_| self.bytes.is_none_or(|bytes| bytes < shot.len))?;
        let (then, mut chance) = (self.then, shot.chance.clone());
        let bytes = self.bytes.unwrap_or_else(|| chance.u64(1..shot.len));
        Some(once(move |event, scene| {
            let Event::Frame { from, head, .. } = event else { return };
            scene.actions.push(Action::Truncate(usize::try_from(bytes).unwrap_or(usize::MAX)));
            match then.ends_by() {
                Some(how) => close(&[from.other(), *from], how, scene),
                None if *from == scene.producer => scene.give_back_charge(&head.header),
                None => {}
            }
        }))
    }
}
