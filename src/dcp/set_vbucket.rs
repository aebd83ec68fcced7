use super::MemberSink;
use super::SetVbucketState;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// SET_VBUCKET: a cluster manager gives a vbucket of a node its state. That is no message of DCP; it takes the vbucket's streams with it
/// (orphaned-responses.md §1, case 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetVbucket {
    /// One of [`SetVbucketState`]'s constants.
    pub state: u8,
}

impl SetVbucket {
    /// Reads the state: one byte of extras, or four as before 6.5, or those as the value. `None` for everything else, of which
    /// nothing is known to be wrong.
    pub fn parse(frame: &Frame<'_>) -> Option<Self> {
        let bytes = if frame.extras().is_empty() { frame.value()? } else { frame.extras() };
        let (&[state] | &[0, 0, 0, state]) = bytes else { return None };
        (SetVbucketState::ACTIVE..=SetVbucketState::DEAD).contains(&state).then_some(Self { state })
    }

    /// The request, as since 6.5.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::SET_VBUCKET).vbucket(vbucket).opaque(opaque).extras([self.state])
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, state);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(extras: &[u8], value: &[u8]) -> Option<u8> {
        let frame = FrameBuilder::request(Opcode::SET_VBUCKET).extras(extras.to_vec()).value(value.to_vec()).build();
        SetVbucket::parse(&Frame::new(&frame).unwrap()).map(|set| set.state)
    }

    #[test]
    fn the_state_is_read_in_every_form_and_anything_else_is_left_alone() {
        assert_eq!(read(&[1], b""), Some(1));
        assert_eq!(read(&[4], br#"{"topology":[["n"]]}"#), Some(4));
        assert_eq!(read(&[0, 0, 0, 2], b""), Some(2));
        assert_eq!(read(&[], &[0, 0, 0, 3]), Some(3));
        for (extras, value) in [(&[0][..], &b""[..]), (&[5], b""), (&[1, 0, 0, 1], b""), (&[1, 1], b""), (&[], b"")] {
            assert_eq!(read(extras, value), None, "{extras:?} {value:?}");
        }
        let built = SetVbucket { state: 1 }.request(7, Opaque([0, 0, 0, 9])).build();
        assert_eq!(SetVbucket::parse(&Frame::new(&built).unwrap()), Some(SetVbucket { state: 1 }));
    }
}
