use crate::node::document::Item;
use crate::wire::Frame;
use crate::wire::Opcode;
use crate::wire::Status;

/// The expiration that says: where there is no counter, make none.
const NEVER_MADE: u32 = u32::MAX;

/// Fills in what INCREMENT and DECREMENT make of a counter, decimal text, and tells its number. Counting up goes round after
/// 2^64 - 1, counting down stops at 0.
pub(super) fn count(frame: &Frame<'_>, found: Option<&Item>, item: &mut Item) -> Result<u64, Status> {
    let extras: &[u8; 20] = frame.extras().try_into().map_err(|_| Status::EINVAL)?;
    let (delta, rest) = extras.split_first_chunk().ok_or(Status::EINVAL)?;
    let (initial, expiration) = rest.split_first_chunk().ok_or(Status::EINVAL)?;
    let delta = u64::from_be_bytes(*delta);
    let expiration = u32::from_be_bytes(expiration.try_into().map_err(|_| Status::EINVAL)?);
    let number = match found {
        Some(found) => {
            item.flags = found.flags;
            item.expiration = found.expiration;
            let text = std::str::from_utf8(&found.body).map_err(|_| Status::DELTA_BADVAL)?;
            let before: u64 = text.parse().map_err(|_| Status::DELTA_BADVAL)?;
            if frame.header().opcode == Opcode::INCREMENT {
                before.wrapping_add(delta)
            } else {
                before.saturating_sub(delta)
            }
        }
        None if expiration == NEVER_MADE => return Err(Status::KEY_ENOENT),
        None => {
            item.expiration = expiration;
            u64::from_be_bytes(*initial)
        }
    };
    item.body = number.to_string().into_bytes();
    item.json = true;
    Ok(number)
}
