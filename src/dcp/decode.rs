use super::Abort;
use super::AddStream;
use super::AddStreamResponse;
use super::BufferAck;
use super::CacheTransfer;
use super::CacheTransferEnd;
use super::CloseStream;
use super::ClustermapChange;
use super::Commit;
use super::Control;
use super::DcpNoop;
use super::Deletion;
use super::ErrorResponse;
use super::Expiration;
use super::FailoverLog;
use super::GetAllVbSeqnos;
use super::GetClusterConfig;
use super::GetErrorMap;
use super::GetFailoverLog;
use super::Hello;
use super::HelloResponse;
use super::Malformed;
use super::Message;
use super::Mutation;
use super::Negotiated;
use super::Noop;
use super::Open;
use super::OsoSnapshot;
use super::Prepare;
use super::SaslAuth;
use super::SaslListMechs;
use super::SaslMechanisms;
use super::SelectBucket;
use super::SeqnoAck;
use super::SeqnoAdvanced;
use super::SetVbucket;
use super::SetVbucketState;
use super::SnapshotMarker;
use super::Stat;
use super::StatResponse;
use super::StreamEnd;
use super::StreamReq;
use super::StreamReqResponse;
use super::SystemEvent;
use super::VbSeqnos;
use super::Version;
use super::VersionResponse;
use super::felen0;
use super::malformed::malformed;
use crate::wire::Frame;
use crate::wire::FrameInfo;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::ServerOpcode;
use crate::wire::Status;

/// Reads what a frame says.
///
/// Only what makes a frame unreadable or illegal by itself is refused. What the two ends have not agreed on (a datatype
/// bit, a version) is for the invariants. Of a frame whose value is not whole, messages that live in their value are
/// [`Message::Other`]. A message without values of its own allocates nothing.
///
/// # Errors
/// The first rule of dcp-protocol.md that the frame breaks: what was expected and what was found.
pub fn decode(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Message, Malformed> {
    framing_extras(frame)?;
    felen0::refuse(frame, negotiated)?;
    let header = frame.header();
    if let Some(opcode) = header.server_opcode() {
        return server(frame, opcode);
    }
    match header.status() {
        Some(status) => response(frame, status),
        None => request(frame, negotiated),
    }
}

#[inline]
fn framing_extras(frame: &Frame<'_>) -> Result<(), Malformed> {
    for info in frame.frame_infos() {
        let info = info.map_err(|error| malformed!("frame info: {error}"))?;
        if frame.header().is_request() && info.id == FrameInfo::STREAM_ID && info.data.len() != 2 {
            return Err(malformed!("expected the stream id frame info to have 2 bytes, found {}", info.data.len()));
        }
    }
    Ok(())
}

fn server(frame: &Frame<'_>, opcode: ServerOpcode) -> Result<Message, Malformed> {
    match opcode {
        ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION if frame.header().magic.is_request() => {
            ClustermapChange::parse(frame).map(Message::ClustermapChange)
        }
        _ => Ok(Message::Other),
    }
}

fn request(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Message, Malformed> {
    let header = frame.header();
    if !frame.is_whole() && lives_in_value(header) {
        return Ok(Message::Other);
    }
    Ok(match header.opcode {
        Opcode::DCP_MUTATION => Message::Mutation(Mutation::parse(frame, negotiated)?),
        Opcode::DCP_DELETION => Message::Deletion(Deletion::parse(frame, negotiated)?),
        Opcode::DCP_EXPIRATION => Message::Expiration(Expiration::parse(frame, negotiated)?),
        Opcode::DCP_PREPARE => Message::Prepare(Prepare::parse(frame, negotiated)?),
        Opcode::DCP_COMMIT => Message::Commit(Commit::parse(frame, negotiated)?),
        Opcode::DCP_ABORT => Message::Abort(Abort::parse(frame, negotiated)?),
        Opcode::DCP_SYSTEM_EVENT => Message::SystemEvent(SystemEvent::parse(frame)?),
        Opcode::DCP_SNAPSHOT_MARKER => Message::SnapshotMarker(SnapshotMarker::parse(frame)?),
        Opcode::DCP_SEQNO_ADVANCED => Message::SeqnoAdvanced(SeqnoAdvanced::parse(frame)?),
        Opcode::DCP_OSO_SNAPSHOT => Message::OsoSnapshot(OsoSnapshot::parse(frame)?),
        Opcode::DCP_CACHE_TRANSFER => Message::CacheTransfer(CacheTransfer::parse(frame, negotiated)?),
        Opcode::DCP_CACHE_TRANSFER_END => Message::CacheTransferEnd(CacheTransferEnd::parse(frame)?),
        Opcode::DCP_SET_VBUCKET_STATE => Message::SetVbucketState(SetVbucketState::parse(frame)?),
        Opcode::DCP_STREAM_END => Message::StreamEnd(StreamEnd::parse(frame)?),
        Opcode::DCP_STREAM_REQ => Message::StreamReq(StreamReq::parse(frame)?),
        Opcode::DCP_ADD_STREAM => Message::AddStream(AddStream::parse(frame)?),
        Opcode::DCP_CLOSE_STREAM => Message::CloseStream(CloseStream::parse(frame)?),
        Opcode::DCP_SEQNO_ACK => Message::SeqnoAck(SeqnoAck::parse(frame)?),
        Opcode::DCP_BUFFER_ACK => Message::BufferAck(BufferAck::parse(frame)?),
        Opcode::DCP_NOOP => Message::DcpNoop(DcpNoop::parse(frame)?),
        Opcode::DCP_CONTROL => Message::Control(Control::parse(frame)?),
        Opcode::DCP_OPEN => Message::Open(Open::parse(frame)?),
        Opcode::DCP_GET_FAILOVER_LOG | Opcode::GET_FAILOVER_LOG => {
            Message::GetFailoverLog(GetFailoverLog::parse(frame)?)
        }
        Opcode::GET_ALL_VB_SEQNOS => Message::GetAllVbSeqnos(GetAllVbSeqnos::parse(frame)?),
        Opcode::HELLO => Message::Hello(Hello::parse(frame)?),
        Opcode::SASL_LIST_MECHS => Message::SaslListMechs(SaslListMechs::parse(frame)?),
        Opcode::SASL_AUTH | Opcode::SASL_STEP => Message::SaslAuth(SaslAuth::parse(frame)?),
        Opcode::SELECT_BUCKET => Message::SelectBucket(SelectBucket::parse(frame)?),
        Opcode::SET_VBUCKET => SetVbucket::parse(frame).map_or(Message::Other, Message::SetVbucket),
        Opcode::GET_ERROR_MAP => Message::GetErrorMap(GetErrorMap::parse(frame)?),
        Opcode::GET_CLUSTER_CONFIG => Message::GetClusterConfig(GetClusterConfig::parse(frame)?),
        Opcode::VERSION => Message::Version(Version::parse(frame)?),
        Opcode::STAT => Message::Stat(Stat::parse(frame)?),
        Opcode::NOOP => Message::Noop(Noop::parse(frame)?),
        _ => Message::Other,
    })
}

/// Whether a request cannot be read without its value.
const fn lives_in_value(header: &Header) -> bool {
    matches!(
        header.opcode,
        Opcode::DCP_OPEN
            | Opcode::DCP_CONTROL
            | Opcode::DCP_STREAM_REQ
            | Opcode::DCP_SYSTEM_EVENT
            | Opcode::DCP_CACHE_TRANSFER
            | Opcode::HELLO
    )
}

fn response(frame: &Frame<'_>, status: Status) -> Result<Message, Malformed> {
    let opcode = frame.header().opcode;
    if opcode == Opcode::DCP_ADD_STREAM && frame.header().extras_len != 0 {
        return AddStreamResponse::parse(frame).map(Message::AddStreamResponse);
    }
    let readable = frame.is_whole();
    Ok(match (opcode, status) {
        (Opcode::DCP_STREAM_REQ, Status::SUCCESS | Status::ROLLBACK) if readable => {
            Message::StreamReqResponse(StreamReqResponse::parse(frame)?)
        }
        (Opcode::DCP_GET_FAILOVER_LOG | Opcode::GET_FAILOVER_LOG, Status::SUCCESS) if readable => {
            Message::FailoverLog(FailoverLog::parse(frame)?)
        }
        (Opcode::GET_ALL_VB_SEQNOS, Status::SUCCESS) if readable => Message::VbSeqnos(VbSeqnos::parse(frame)?),
        (Opcode::HELLO, Status::SUCCESS) if readable => Message::HelloResponse(HelloResponse::parse(frame)?),
        (Opcode::SASL_LIST_MECHS, Status::SUCCESS) => Message::SaslMechanisms(SaslMechanisms::parse(frame)),
        (Opcode::VERSION, Status::SUCCESS) => Message::VersionResponse(VersionResponse::parse(frame)),
        (Opcode::STAT, Status::SUCCESS) => Message::StatResponse(StatResponse::parse(frame)),
        _ if counts_as_success(status) => Message::Response,
        _ => Message::ErrorResponse(ErrorResponse::parse(frame)),
    })
}

/// Whether a response with this status has its operation's own body (status-codes.md, "Body of an error response").
pub const fn counts_as_success(status: Status) -> bool {
    matches!(
        status,
        Status::SUCCESS
            | Status::AUTH_CONTINUE
            | Status::ROLLBACK
            | Status::SUBDOC_SUCCESS_DELETED
            | Status::SUBDOC_MULTI_PATH_FAILURE
            | Status::SUBDOC_MULTI_PATH_FAILURE_DELETED
            | Status::RANGE_SCAN_MORE
            | Status::RANGE_SCAN_COMPLETE
    )
}
