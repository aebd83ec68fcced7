//! What a cluster manager does with the vbuckets of a node: SET_VBUCKET, GET_VBUCKET and DEL_VBUCKET.

use super::bucket::Bucket;
use super::config::Config;
use super::consumer::VbucketState;
use super::front::send;
use super::producer::Reply;
use super::producer::answer;
use crate::dcp::SetVbucket;
use crate::dcp::SetVbucketState;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;

/// Whether the node has the command.
pub(super) const fn is_known(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::SET_VBUCKET | Opcode::GET_VBUCKET | Opcode::DEL_VBUCKET)
}

/// Answers a command. A vbucket that is not there can be made anew as a replica.
pub(super) fn request(frame: &Frame<'_>, bucket: &mut Bucket, config: &Config) -> Reply {
    let header = frame.header();
    let wanted = SetVbucket::parse(frame).and_then(|set| VbucketState::of(set.state));
    let makes =
        header.opcode == Opcode::SET_VBUCKET && matches!(wanted, Some(VbucketState::Replica | VbucketState::Pending));
    let there = bucket.vbucket_mut(header.vbucket_or_status).filter(|vbucket| makes || !vbucket.is_deleted());
    let Some(vbucket) = there else { return bucket.not_my_vbucket(header, config) };
    match header.opcode {
        Opcode::GET_VBUCKET => {
            let state = u32::from(vbucket.state().map_or(SetVbucketState::DEAD, VbucketState::number));
            let response = FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque);
            send(&response.value(state.to_be_bytes().to_vec()))
        }
        Opcode::DEL_VBUCKET => {
            vbucket.delete();
            answer(header, Status::SUCCESS)
        }
        _ => {
            let Some(state) = wanted else { return answer(header, Status::EINVAL) };
            vbucket.set_state(state);
            answer(header, Status::SUCCESS)
        }
    }
}
