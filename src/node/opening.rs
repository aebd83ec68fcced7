use super::config::Config;
use super::consumer::PassiveConfig;
use super::front::Front;
use super::terms::Terms;
use super::terms::Values;
use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::Open;
use crate::era::Era;
use crate::wire::Frame;
use crate::wire::Opcode;
use crate::wire::Status;

/// Whether a request with this opcode belongs to DCP connections.
pub(super) const fn is_for_dcp(opcode: Opcode) -> bool {
    dcp::is_stream_message(opcode)
        || matches!(
            opcode,
            Opcode::DCP_OPEN
                | Opcode::DCP_ADD_STREAM
                | Opcode::DCP_CLOSE_STREAM
                | Opcode::DCP_STREAM_REQ
                | Opcode::DCP_GET_FAILOVER_LOG
                | Opcode::DCP_NOOP
                | Opcode::DCP_BUFFER_ACK
                | Opcode::DCP_CONTROL
                | Opcode::DCP_SEQNO_ACK
        )
}

/// What DCP_OPEN makes of a connection.
#[derive(Debug)]
pub(super) enum Opened {
    Producer(Terms),
    Consumer(PassiveConfig),
}

/// What a DCP_OPEN makes of the connection (dcp-protocol.md §2.1).
///
/// # Errors
/// The status to refuse it with.
pub(super) fn open(frame: &Frame<'_>, front: &Front, config: &Config) -> Result<Opened, Status> {
    let open = Open::parse(frame).map_err(|_| Status::EINVAL)?;
    if open.flags & !known_flags(config.era) != 0 {
        return Err(Status::EINVAL);
    }
    let flag = |flag| open.flags & flag != 0;
    let snappy = front.has(Feature::SNAPPY) || front.has(Feature::SNAPPY_EVERYWHERE);
    if !flag(Open::PRODUCER) {
        return Ok(Opened::Consumer(PassiveConfig {
            collections: front.has(Feature::COLLECTIONS),
            snappy,
            delete_times: flag(Open::INCLUDE_DELETE_TIMES),
            quirks: config.quirks.clone(),
            consumer_name: open.consumer_name.filter(|_| config.era >= Era::V2019_07),
            ..PassiveConfig::new(config.era, config.vbuckets)
        }));
    }
    if open.consumer_name.is_some() {
        return Err(Status::EINVAL);
    }
    let values = if flag(Open::NO_VALUE) {
        Values::None
    } else if flag(Open::NO_VALUE_WITH_UNDERLYING_DATATYPE) {
        Values::NoneButDatatype
    } else {
        Values::Whole
    };
    Ok(Opened::Producer(Terms {
        collections: front.has(Feature::COLLECTIONS),
        snappy,
        xattrs: front.has(Feature::XATTR) && flag(Open::INCLUDE_XATTRS),
        values,
        delete_times: flag(Open::INCLUDE_DELETE_TIMES),
        deleted_user_xattrs: flag(Open::INCLUDE_DELETED_USER_XATTRS),
        skip_deletes: flag(Open::SKIP_DELETES_IN_INITIAL_BACKFILL),
        quirks: config.quirks.clone(),
        ..Terms::new(config.era)
    }))
}

const fn known_flags(era: Era) -> u32 {
    let always = Open::PRODUCER
        | Open::INCLUDE_XATTRS
        | Open::NO_VALUE
        | Open::INCLUDE_DELETE_TIMES
        | Open::NO_VALUE_WITH_UNDERLYING_DATATYPE;
    match era {
        Era::V6_0 | Era::V2019_07 | Era::V6_5 => always,
        Era::V6_6 | Era::V7_0 => always | Open::INCLUDE_DELETED_USER_XATTRS,
        Era::Master => always | Open::INCLUDE_DELETED_USER_XATTRS | Open::SKIP_DELETES_IN_INITIAL_BACKFILL,
    }
}
