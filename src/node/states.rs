//! What a cluster manager does with the vbuckets of a node: SET_VBUCKET, GET_VBUCKET and DEL_VBUCKET.

use super::bucket::Bucket;
use super::config::Config;
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

/// Answers a command. A vbucket is active, dead, or deleted for good; as a replica the node plays none, which is answered
/// with NotSupported.
pub(super) fn request(frame: &Frame<'_>, bucket: &mut Bucket, config: &Config) -> Reply {
    let header = frame.header();
    let Some(vbucket) = bucket.vbucket_mut(header.vbucket_or_status).filter(|vbucket| !vbucket.is_deleted()) else {
        return bucket.not_my_vbucket(header, config);
    };
    match header.opcode {
        Opcode::GET_VBUCKET => {
            let state = u32::from(if vbucket.is_dead() { SetVbucketState::DEAD } else { SetVbucketState::ACTIVE });
            let response = FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque);
            send(&response.value(state.to_be_bytes().to_vec()))
        }
        Opcode::DEL_VBUCKET => {
            vbucket.delete();
            answer(header, Status::SUCCESS)
        }
        _ => {
            match SetVbucket::parse(frame).map(|set| set.state) {
                Some(SetVbucketState::ACTIVE) => vbucket.revive(),
                Some(SetVbucketState::DEAD) => vbucket.die(),
                Some(_) => return answer(header, Status::NOT_SUPPORTED),
                None => return answer(header, Status::EINVAL),
            }
            answer(header, Status::SUCCESS)
        }
    }
}
