//! What a cluster manager does with the vbuckets that a consumer receives: SET_VBUCKET, GET_VBUCKET and DEL_VBUCKET.

use super::PassiveStreams;
use super::vbucket::VbucketState;
use crate::dcp;
use crate::dcp::SetVbucket;
use crate::wire::Frame;
use crate::wire::Opcode;
use crate::wire::Status;

impl PassiveStreams {
    /// Answers a command of [`crate::node`]'s states, on the connection that the streams come on.
    pub(super) fn manage(&mut self, frame: &Frame<'_>) {
        let header = *frame.header();
        let vbucket = header.vbucket_or_status;
        let (opcode, opaque) = (header.opcode, header.opaque);
        let there = self.vbuckets.get(&vbucket).map(|held| held.state);
        match (opcode, there) {
            (Opcode::SET_VBUCKET, _) => match SetVbucket::parse(frame).and_then(|set| VbucketState::of(set.state)) {
                Some(state) => {
                    self.set_vbucket(vbucket, state);
                    self.respond(opcode, Status::SUCCESS, opaque);
                }
                None => self.respond(opcode, Status::EINVAL, opaque),
            },
            (Opcode::GET_VBUCKET, Some(state)) => {
                let state = u32::from(state.number()).to_be_bytes();
                self.write(&dcp::response(opcode, Status::SUCCESS, opaque).value(state.to_vec()));
            }
            (Opcode::DEL_VBUCKET, Some(_)) => {
                self.delete_vbucket(vbucket);
                self.respond(opcode, Status::SUCCESS, opaque);
            }
            _ => self.respond(opcode, Status::NOT_MY_VBUCKET, opaque),
        }
    }
}
