//! Header fields by their names: what `rewrite` and `corrupt` change.

use serde::Deserialize;
use serde::Serialize;

/// A field of the header. Those that say how long the frame is are among them: framing may be lost then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderField {
    /// The magic byte.
    Magic,
    /// The opcode.
    Opcode,
    /// The length of the key.
    KeyLen,
    /// The length of the extras.
    ExtrasLen,
    /// The datatype.
    Datatype,
    /// Of a request, the vbucket.
    Vbucket,
    /// Of a response, the status.
    Status,
    /// The length of the body.
    BodyLen,
    /// The opaque.
    Opaque,
    /// The CAS.
    Cas,
}

impl HeaderField {
    /// Where it stands.
    const fn place(self) -> std::ops::Range<usize> {
        match self {
            Self::Magic => 0..1,
            Self::Opcode => 1..2,
            Self::KeyLen => 2..4,
            Self::ExtrasLen => 4..5,
            Self::Datatype => 5..6,
            Self::Vbucket | Self::Status => 6..8,
            Self::BodyLen => 8..12,
            Self::Opaque => 12..16,
            Self::Cas => 16..24,
        }
    }

    /// Writes a number into it, as far as it fits: its lowest bytes.
    pub(super) fn set(self, frame: &mut [u8], number: u64) {
        let place = self.place();
        let bytes = number.to_be_bytes();
        if let Some(field) = frame.get_mut(place.clone()) {
            field.copy_from_slice(&bytes[bytes.len() - place.len()..]);
        }
    }
}
