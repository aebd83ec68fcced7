//! The few key-value commands: what they write appends to a vbucket, and goes out on its streams.

use super::bucket::Bucket;
use super::config::Config;
use super::data::Kind;
use super::data::Outline;
use super::document::Item;
use super::front::Front;
use super::front::MUTATION_SEQNO;
use super::front::send;
use super::producer::Reply;
use super::producer::answer;
use super::vbucket::Vbucket;
use super::vbucket::seconds;
use crate::Timestamp;
use crate::dcp::Feature;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;
use crate::wire::leb128;

mod counter;

/// The longest value that is taken.
const MAX_VALUE: usize = 512 * 1024;

/// The frame info of a durability requirement, in requests.
const DURABILITY: u16 = 1;

/// A durable write that has to be done in less than so many milliseconds is aborted, as a real node aborts one whose
/// replicas do not answer in time: this one's never need longer, and never less.
const REPLICAS_TAKE: u16 = 10;

/// Expirations up to so many seconds are counted from now on: 30 days.
const RELATIVE: u32 = 30 * 24 * 3600;

/// The extras of a GET_META that asks for the datatype too.
const WITH_DATATYPE: u8 = 2;

/// What a write has to reach before it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Durability {
    level: u8,
    /// It will not come about in time.
    in_vain: bool,
}

/// Whether the node has the command.
pub(super) const fn is_known(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::GET
            | Opcode::GET_META
            | Opcode::SET
            | Opcode::ADD
            | Opcode::REPLACE
            | Opcode::DELETE
            | Opcode::INCREMENT
            | Opcode::DECREMENT
    )
}

/// Answers a command.
pub(super) fn request(frame: &Frame<'_>, front: &Front, bucket: &mut Bucket, config: &Config, now: Timestamp) -> Reply {
    let header = frame.header();
    let alive = bucket.vbucket(header.vbucket_or_status).is_some_and(Vbucket::is_active);
    if !alive {
        return bucket.not_my_vbucket(header, config);
    }
    match execute(frame, front, bucket, now) {
        Ok(reply) => reply,
        Err(status) => answer(header, status),
    }
}

fn execute(frame: &Frame<'_>, front: &Front, bucket: &mut Bucket, now: Timestamp) -> Result<Reply, Status> {
    let header = frame.header();
    let (collection, key) = key(frame, front)?;
    if !bucket.has_collection(collection) {
        return Err(Status::UNKNOWN_COLLECTION);
    }
    let vbucket = bucket.vbucket_mut(header.vbucket_or_status).ok_or(Status::NOT_MY_VBUCKET)?;
    if header.opcode == Opcode::GET_META {
        return meta(frame, vbucket.newest(collection, key));
    }
    let found = vbucket.document(collection, key);
    if header.opcode == Opcode::GET {
        let found = found.ok_or(Status::KEY_ENOENT)?;
        let datatype = if found.json && front.has(Feature::JSON) { Datatype::JSON } else { Datatype::RAW };
        let response = FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque).cas(found.cas);
        return Ok(send(&response.datatype(datatype).extras(found.flags.to_be_bytes()).value(found.body)));
    }
    check_cas(header.opcode, header.cas, found.as_ref())?;
    let durability = durability(frame, front)?;
    let mut item = Item::empty();
    item.key = key.to_vec();
    item.rev_seqno = found.as_ref().map_or(1, |found| found.rev_seqno + 1);
    let deleted = header.opcode == Opcode::DELETE;
    let there = vbucket.collections().into_iter().find(|it| it.id == collection);
    let counted = match header.opcode {
        Opcode::INCREMENT | Opcode::DECREMENT => Some(counter::count(frame, found.as_ref(), &mut item)?),
        _ => None,
    };
    if deleted {
        item.delete_time = seconds(now);
    } else {
        if counted.is_none() {
            write(frame, front, &mut item)?;
        }
        item.expiration = expiration(item.expiration, there.as_ref().and_then(|it| it.max_ttl), now);
    }
    let first = vbucket.high() + 1;
    item.cas = vbucket.next_cas(now);
    let empty = Item::empty().outline;
    let scope = there.map_or(0, |it| it.scope);
    let outline = |seqno, kind| Outline { seqno, kind, collection, scope, birth: first, ..empty };
    let (cas, expires) = (item.cas, item.expiration);
    let (items, seqno) = match durability {
        Some(Durability { level, in_vain }) => {
            let mut outcome = item.clone();
            let kind =
                if in_vain { Kind::Abort { prepared: first } } else { Kind::Commit { prepared: first, deleted } };
            outcome.outline = outline(first + 1, kind);
            item.outline = outline(first, Kind::Prepare { level, deleted });
            (vec![item, outcome], first + 1)
        }
        None => {
            item.outline = outline(first, if deleted { Kind::Deletion } else { Kind::Mutation });
            (vec![item], first)
        }
    };
    if !vbucket.append(items) {
        return Err(Status::ENOMEM);
    }
    if durability.is_some_and(|durability| durability.in_vain) {
        return Err(Status::SYNC_WRITE_AMBIGUOUS);
    }
    let mut response = FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque).cas(cas);
    if front.has(MUTATION_SEQNO) {
        let uuid = vbucket.failover_log().first().map(|entry| entry.vb_uuid).unwrap_or_default();
        response = response.extras([uuid.to_be_bytes(), seqno.to_be_bytes()].concat());
    }
    if let Some(number) = counted {
        response = response.value(number.to_be_bytes().to_vec());
    }
    if expires != 0 {
        bucket.expires(expires, header.vbucket_or_status, collection, key);
    }
    Ok(send(&response))
}

/// What GET_META tells of a document, also of a deleted one: deleted (u32), flags, expiration, revision (u64), and where the
/// client asks for it its datatype.
fn meta(frame: &Frame<'_>, newest: Option<Item>) -> Result<Reply, Status> {
    let it = newest.ok_or(Status::KEY_ENOENT)?;
    let header = frame.header();
    let deleted = u32::from(it.outline.kind.is_removal());
    let mut extras = [deleted, it.flags, it.expiration].map(u32::to_be_bytes).concat();
    extras.extend(it.rev_seqno.to_be_bytes());
    if frame.extras() == [WITH_DATATYPE] {
        extras.push(if it.json { Datatype::JSON } else { Datatype::RAW }.0);
    }
    Ok(send(&FrameBuilder::response(header.opcode, Status::SUCCESS).opaque(header.opaque).cas(it.cas).extras(extras)))
}

fn key<'a>(frame: &Frame<'a>, front: &Front) -> Result<(u32, &'a [u8]), Status> {
    let (collection, key) = if front.has(Feature::COLLECTIONS) {
        leb128::split(frame.key()).map_err(|_| Status::EINVAL)?
    } else {
        (0, frame.key())
    };
    let longest = if collection == 0 { 250 } else { 246 };
    if key.is_empty() || key.len() > longest { Err(Status::EINVAL) } else { Ok((collection, key)) }
}

const fn check_cas(opcode: Opcode, cas: u64, found: Option<&Item>) -> Result<(), Status> {
    match (opcode, found) {
        (Opcode::ADD, Some(_)) => Err(Status::KEY_EEXISTS),
        (Opcode::DELETE | Opcode::REPLACE, None) => Err(Status::KEY_ENOENT),
        (_, None) if cas != 0 => Err(Status::KEY_ENOENT),
        (_, Some(found)) if cas != 0 && cas != found.cas => Err(Status::KEY_EEXISTS),
        _ => Ok(()),
    }
}

/// When a document expires, seconds since the epoch, or 0: as asked, and no later than its collection lets it live.
fn expiration(asked: u32, max_ttl: Option<u32>, now: Timestamp) -> u32 {
    let now = seconds(now);
    let asked = if (1..=RELATIVE).contains(&asked) { now.saturating_add(asked) } else { asked };
    match max_ttl.map(|ttl| now.saturating_add(ttl)) {
        Some(latest) if asked == 0 || asked > latest => latest,
        Some(_) | None => asked,
    }
}

/// What a durable write asks for, where one does.
fn durability(frame: &Frame<'_>, front: &Front) -> Result<Option<Durability>, Status> {
    let mut durability = None;
    for info in frame.frame_infos() {
        let info = info.map_err(|_| Status::EINVAL)?;
        if info.id == DURABILITY {
            let (level, timeout) = match *info.data {
                [level] => (level, None),
                [level, hi, lo] => (level, Some(u16::from_be_bytes([hi, lo]))),
                _ => return Err(Status::EINVAL),
            };
            if !(1..=3).contains(&level) {
                return Err(Status::DURABILITY_INVALID_LEVEL);
            }
            // dcp-protocol.md §1.1.
            if matches!(timeout, Some(0 | u16::MAX)) {
                return Err(Status::EINVAL);
            }
            durability = Some(Durability { level, in_vain: timeout.is_some_and(|timeout| timeout < REPLICAS_TAKE) });
        }
    }
    if durability.is_some() && !front.has(Feature::SYNC_REPLICATION) {
        return Err(Status::NOT_SUPPORTED);
    }
    Ok(durability)
}

/// Fills in what a write carries.
fn write(frame: &Frame<'_>, front: &Front, item: &mut Item) -> Result<(), Status> {
    let extras: [u8; 8] = frame.extras().try_into().map_err(|_| Status::EINVAL)?;
    let [a, b, c, d, e, f, g, h] = extras;
    item.flags = u32::from_be_bytes([a, b, c, d]);
    item.expiration = u32::from_be_bytes([e, f, g, h]);
    let datatype = frame.header().datatype;
    if datatype.contains(Datatype::XATTR) || !datatype.is_defined() {
        return Err(Status::EINVAL);
    }
    let value = frame.value().ok_or(Status::E2BIG)?;
    item.body = if datatype.contains(Datatype::SNAPPY) {
        if !front.has(Feature::SNAPPY) {
            return Err(Status::EINVAL);
        }
        match snap::raw::decompress_len(value) {
            Ok(len) if len <= MAX_VALUE => {
                snap::raw::Decoder::new().decompress_vec(value).map_err(|_| Status::EINVAL)?
            }
            Ok(_) => return Err(Status::E2BIG),
            Err(_) => return Err(Status::EINVAL),
        }
    } else {
        value.to_vec()
    };
    if item.body.len() > MAX_VALUE {
        return Err(Status::E2BIG);
    }
    item.compressed = datatype.contains(Datatype::SNAPPY);
    item.json = serde_json::from_slice::<serde::de::IgnoredAny>(&item.body).is_ok();
    Ok(())
}
