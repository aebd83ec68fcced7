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
use super::Mutation;
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
use super::expects_answer;
use super::server_expects_answer;
use crate::wire::Header;

/// What a frame says. The journal keeps it, so no variant holds a document, its key or a credential.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // each variant is documented at its struct
pub enum Message {
    Mutation(Mutation),
    Deletion(Deletion),
    Expiration(Expiration),
    Prepare(Prepare),
    Commit(Commit),
    Abort(Abort),
    SystemEvent(SystemEvent),
    SnapshotMarker(SnapshotMarker),
    SeqnoAdvanced(SeqnoAdvanced),
    OsoSnapshot(OsoSnapshot),
    CacheTransfer(CacheTransfer),
    CacheTransferEnd(CacheTransferEnd),
    SetVbucketState(SetVbucketState),
    StreamEnd(StreamEnd),
    StreamReq(StreamReq),
    StreamReqResponse(StreamReqResponse),
    AddStream(AddStream),
    AddStreamResponse(AddStreamResponse),
    CloseStream(CloseStream),
    SeqnoAck(SeqnoAck),
    BufferAck(BufferAck),
    DcpNoop(DcpNoop),
    Control(Control),
    Open(Open),
    GetFailoverLog(GetFailoverLog),
    FailoverLog(FailoverLog),
    GetAllVbSeqnos(GetAllVbSeqnos),
    VbSeqnos(VbSeqnos),
    Hello(Hello),
    HelloResponse(HelloResponse),
    SaslListMechs(SaslListMechs),
    SaslMechanisms(SaslMechanisms),
    SaslAuth(SaslAuth),
    SelectBucket(SelectBucket),
    SetVbucket(SetVbucket),
    GetErrorMap(GetErrorMap),
    GetClusterConfig(GetClusterConfig),
    Version(Version),
    VersionResponse(VersionResponse),
    Stat(Stat),
    StatResponse(StatResponse),
    Noop(Noop),
    ClustermapChange(ClustermapChange),
    ErrorResponse(ErrorResponse),
    /// A response with a status that counts as success, of which nothing beyond its header is of interest here.
    Response,
    /// Nothing beyond its header is known of it.
    Other,
}

impl Message {
    /// The seqno that the message has in its stream: a commit's or abort's own one. Markers have none.
    #[inline]
    pub const fn by_seqno(&self) -> Option<u64> {
        #[allow(clippy::wildcard_enum_match_arm)] // the question is put to eight kinds of message
        match self {
            Self::Mutation(m) => Some(m.by_seqno),
            Self::Deletion(m) => Some(m.by_seqno),
            Self::Expiration(m) => Some(m.by_seqno),
            Self::Prepare(m) => Some(m.by_seqno),
            Self::Commit(m) => Some(m.commit_seqno),
            Self::Abort(m) => Some(m.abort_seqno),
            Self::SystemEvent(m) => Some(m.by_seqno),
            Self::SeqnoAdvanced(m) => Some(m.by_seqno),
            _ => None,
        }
    }

    /// Whether an answer follows when all goes well: as [`expects_answer`] says of the opcode, and a snapshot marker
    /// with the Ack flag is answered too (dcp-protocol.md §4.1). Never for a response.
    #[inline]
    pub const fn expects_answer(&self, header: &Header) -> bool {
        if let Self::SnapshotMarker(marker) = self {
            return marker.flags & SnapshotMarker::ACK != 0;
        }
        header_expects_answer(header)
    }
}

/// Whether the header alone says that an answer follows.
#[inline]
pub(super) const fn header_expects_answer(header: &Header) -> bool {
    match header.server_opcode() {
        Some(opcode) => header.magic.is_request() && server_expects_answer(opcode),
        None => header.is_request() && expects_answer(header.opcode),
    }
}
